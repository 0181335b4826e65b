//! Zstandard frames: each has at most [`MAX_FRAME_BYTES`] of content, states the size in its header, and is decoded independently.
//!
//! Because every frame states its content size and that size is limited, a decoder knows the memory that it needs before it decodes: no
//! decompression bomb is possible, and there is no window to set. Source: RFC 8878, section 3.1.

use std::io::{self, Read};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, find_frame_compressed_size};

use crate::limits::{MAX_COMPRESSED_FRAME_BYTES, MAX_FRAME_BYTES, MAX_THREADS};
use crate::tar_layer::{BLOCK_BYTES, Block};

/// Base-two logarithm of the largest window: a frame's content fits in it.
pub const MAX_WINDOW_LOG: u32 = MAX_FRAME_BYTES.ilog2();

/// Most bytes of a frame header with its magic number; this format's are shorter. Source: RFC 8878, 3.1.1.1.
pub(crate) const MAX_FRAME_HEADER_BYTES: u32 = 18;
pub(crate) const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Bits of the frame header descriptor.
const SINGLE_SEGMENT: u8 = 0x20;
const CHECKSUM: u8 = 0x04;
/// Skippable frames have magic numbers that differ in the lowest four bits.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
/// Largest skippable frame that is read: a seek table for the largest possible bundle is far smaller.
const MAX_SKIPPABLE_BYTES: usize = 64 << 20;

/// Why a piece of the file is not a frame of this format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The file ended within a frame, or could not be read.
    #[error("the file ends or cannot be read at offset {offset}, within a compressed frame")]
    Read {
        /// Byte offset in the compressed file.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// No frame begins here.
    #[error("no zstd frame begins at offset {offset}")]
    Magic {
        /// Byte offset in the compressed file.
        offset: u64,
    },
    /// zstd could read this frame, but no bundle has such a frame.
    #[error("the zstd frame at offset {offset} {reason}")]
    Shape {
        /// Byte offset in the compressed file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// zstd refused the content.
    #[error("the zstd frame at offset {offset} is damaged")]
    Content {
        /// Byte offset in the compressed file.
        offset: u64,
        /// zstd's error.
        source: io::Error,
    },
}

impl FrameError {
    /// The offset of the error in the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::Read { offset, .. }
            | Self::Magic { offset }
            | Self::Shape { offset, .. }
            | Self::Content { offset, .. } => *offset,
        }
    }
}

/// A frame in the file.
#[derive(Debug, PartialEq, Eq)]
pub enum RawFrame {
    /// A frame with content.
    Content(CompressedFrame),
    /// A frame that decoders skip; the seek table is one.
    Skippable {
        /// Offset in the file.
        offset: u64,
        /// The lowest four bits of the magic number.
        kind: u8,
        /// The content without the header.
        payload: Vec<u8>,
    },
}

/// The compressed bytes of one frame, from its header on.
#[derive(Debug, PartialEq, Eq)]
pub struct CompressedFrame {
    /// Offset in the file.
    pub offset: u64,
    /// The whole frame.
    pub bytes: Vec<u8>,
    /// The content size in its header, at most [`MAX_FRAME_BYTES`].
    pub content_bytes: usize,
}

/// How many threads to use on this machine: one for each core, within the limit.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS)
}

/// How damage of a frame's content is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// By zstd's checksum at the end of the frame.
    Checksum,
    /// By something better that the reader compares anyway, such as an entry's digest in the list.
    Digest,
}

/// A compressor for frames as [`read_frame`] requires them, without checksums.
pub fn compressor(level: i32) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    // With a window as large as the largest frame, zstd makes each frame a single segment.
    compressor.set_parameter(CParameter::WindowLog(MAX_WINDOW_LOG))?;
    Ok(compressor)
}

/// Makes one frame of `content`.
pub fn compress(compressor: &mut Compressor<'_>, content: &[u8], guard: Guard) -> io::Result<Vec<u8>> {
    compressor.set_parameter(CParameter::ChecksumFlag(guard == Guard::Checksum))?;
    compressor.compress(content)
}

/// A decompressor for [`decode`].
pub fn decompressor() -> io::Result<Decompressor<'static>> {
    Decompressor::new()
}

/// Decodes one frame into `memory`, which is resized to the size in the frame's header and returned with the content.
pub fn decode(
    decompressor: &mut Decompressor<'_>,
    frame: &CompressedFrame,
    memory: Vec<u8>,
) -> Result<Vec<u8>, FrameError> {
    let mut content = memory;
    content.clear();
    content.reserve_exact(frame.content_bytes);
    decompressor
        .decompress_to_buffer(&frame.bytes, &mut content)
        .map_err(|source| FrameError::Content { offset: frame.offset, source })?;
    if content.len() == frame.content_bytes {
        Ok(content)
    } else {
        Err(FrameError::Shape { offset: frame.offset, reason: "holds less than its header states" })
    }
}

/// Reads the next frame from `input`, which is at `offset` of the file; `None` at a clean end.
pub fn read_frame(input: &mut impl Read, offset: u64) -> Result<Option<RawFrame>, FrameError> {
    let mut reader = FrameReader { input, offset, bytes: Vec::new() };
    let Some(magic) = reader.first_bytes()? else {
        return Ok(None);
    };
    if u32::from_le_bytes(magic) & !0xF == SKIPPABLE_MAGIC {
        return reader.skippable(magic[0] & 0xF).map(Some);
    }
    if magic != MAGIC {
        return Err(FrameError::Magic { offset });
    }
    reader.content().map(Some)
}

/// The bytes that are needed to decode a frame's first block, which contains a tar header: the largest size of a block and some more.
pub(crate) const FIRST_BLOCK_BYTES: u32 = (128 << 10) + 64;

/// The first [`BLOCK_BYTES`] of content of the frame that begins with `bytes`; `None` if they cannot be decoded. Nothing is checked.
pub(crate) fn first_block(bytes: &[u8], window_log: u32) -> Option<Block> {
    let mut block = [0; BLOCK_BYTES];
    let mut decoder = zstd::Decoder::with_buffer(bytes).ok()?;
    decoder.window_log_max(window_log).ok()?;
    decoder.read_exact(&mut block).ok()?;
    Some(block)
}

/// Treats `bytes`, which are at `offset` of the file, as exactly one frame with content.
pub fn whole(bytes: Vec<u8>, offset: u64) -> Result<CompressedFrame, FrameError> {
    let refuse = |reason| Err(FrameError::Shape { offset, reason });
    let content_bytes = stated_content(&bytes, offset)?;
    if bytes.len() > MAX_COMPRESSED_FRAME_BYTES {
        return refuse("is larger than its content could be");
    }
    match find_frame_compressed_size(&bytes) {
        Ok(length) if length == bytes.len() => Ok(CompressedFrame { offset, bytes, content_bytes }),
        _ => refuse("does not end where it should"),
    }
}

/// The content size that the frame states which begins with `bytes` at `offset` of the file: at most [`MAX_FRAME_BYTES`].
pub(crate) fn stated_content(bytes: &[u8], offset: u64) -> Result<usize, FrameError> {
    let mut after_magic = bytes.strip_prefix(&MAGIC).ok_or(FrameError::Magic { offset })?;
    FrameReader { input: &mut after_magic, offset, bytes: Vec::new() }.header()
}

/// Whether the frame that begins with `bytes` has a checksum at its end.
pub(crate) fn has_checksum(bytes: &[u8]) -> bool {
    bytes.get(MAGIC.len()).is_some_and(|descriptor| descriptor & CHECKSUM != 0)
}

/// Collects the bytes of one frame.
struct FrameReader<'a, R> {
    input: &'a mut R,
    offset: u64,
    bytes: Vec<u8>,
}

impl<R: Read> FrameReader<'_, R> {
    fn first_bytes(&mut self) -> Result<Option<[u8; 4]>, FrameError> {
        let mut first = [0; 1];
        match self.input.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => self.bytes.push(first[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.first_bytes(),
            Err(source) => return Err(FrameError::Read { offset: self.offset, source }),
        }
        let rest = self.take(3)?;
        Ok(Some([first[0], rest[0], rest[1], rest[2]]))
    }

    /// Reads `count` more bytes and returns them.
    fn take(&mut self, count: usize) -> Result<&[u8], FrameError> {
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        self.input
            .read_exact(&mut self.bytes[start..])
            .map_err(|source| FrameError::Read { offset: self.offset + start as u64, source })?;
        Ok(&self.bytes[start..])
    }

    /// Reads a little-endian number of `count` bytes, at most 8.
    fn number(&mut self, count: usize) -> Result<u64, FrameError> {
        let mut wide = [0; 8];
        wide[..count].copy_from_slice(self.take(count)?);
        Ok(u64::from_le_bytes(wide))
    }

    fn refuse<T>(&self, reason: &'static str) -> Result<T, FrameError> {
        Err(FrameError::Shape { offset: self.offset, reason })
    }

    fn skippable(mut self, kind: u8) -> Result<RawFrame, FrameError> {
        let size = usize::try_from(self.number(4)?).unwrap_or(usize::MAX);
        if size > MAX_SKIPPABLE_BYTES {
            return self.refuse("is a skippable frame larger than any seek table");
        }
        self.bytes.clear();
        self.take(size)?;
        Ok(RawFrame::Skippable { offset: self.offset, kind, payload: self.bytes })
    }

    fn content(mut self) -> Result<RawFrame, FrameError> {
        let content_bytes = self.header()?;
        let checksum = self.bytes[MAGIC.len()] & CHECKSUM != 0;
        self.blocks()?;
        if checksum {
            self.take(4)?;
        }
        Ok(RawFrame::Content(CompressedFrame { offset: self.offset, bytes: self.bytes, content_bytes }))
    }

    /// Reads the frame header after the magic number. Returns the size of the content, which is limited.
    fn header(&mut self) -> Result<usize, FrameError> {
        // RFC 8878, 3.1.1.1: descriptor, window, dictionary, content size.
        let descriptor = self.take(1)?[0];
        // A bundle's frames are single segments without a dictionary; a single segment states its size.
        if descriptor & 0x3F & !CHECKSUM != SINGLE_SEGMENT {
            return self.refuse("is not a single segment with a size, as a bundle's are");
        }
        let content_bytes = match descriptor >> 6 {
            0 => self.number(1)?,
            1 => self.number(2)? + 256,
            2 => self.number(4)?,
            _ => self.number(8)?,
        };
        if content_bytes > MAX_FRAME_BYTES as u64 {
            return self.refuse("states more content than a bundle's frame may hold");
        }
        Ok(usize::try_from(content_bytes).expect("bounded above"))
    }

    /// Reads blocks until the one that is marked as the last. Source: RFC 8878, 3.1.1.2.
    fn blocks(&mut self) -> Result<(), FrameError> {
        loop {
            let header = self.number(3)?;
            let size = usize::try_from(header >> 3).expect("21 bits");
            match header >> 1 & 3 {
                0 | 2 => self.take(size)?,
                1 => self.take(1)?,
                _ => return self.refuse("has a block of a reserved type"),
            };
            if self.bytes.len() > MAX_COMPRESSED_FRAME_BYTES {
                return self.refuse("is larger than its content could be");
            }
            if header & 1 == 1 {
                return Ok(());
            }
        }
    }
}

/// A skippable frame with `payload`.
#[must_use]
pub fn skippable(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a seek table is smaller than 4 GiB");
    let mut frame = Vec::with_capacity(payload.len() + 8);
    frame.extend((SKIPPABLE_MAGIC | u32::from(kind & 0xF)).to_le_bytes());
    frame.extend(size.to_le_bytes());
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame_of(content: &[u8], guard: Guard) -> Vec<u8> {
        compress(&mut compressor(3).unwrap(), content, guard).unwrap()
    }

    fn read_content(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        match read_frame(&mut &bytes[..], 0)? {
            Some(RawFrame::Content(frame)) => decode(&mut decompressor().unwrap(), &frame, Vec::new()),
            other => panic!("not a frame with content: {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_and_end_where_they_end(content in proptest::collection::vec(any::<u8>(), 0..70_000), repeat in 1..4_usize,
            guard in prop_oneof![Just(Guard::Checksum), Just(Guard::Digest)]) {
            let content = content.repeat(repeat);
            let mut bytes = frame_of(&content, guard);
            let length = bytes.len();
            bytes.extend(b"next");
            let mut input = &bytes[..];
            let Some(RawFrame::Content(frame)) = read_frame(&mut input, 0).unwrap() else { panic!() };
            prop_assert_eq!(frame.bytes.len(), length);
            prop_assert_eq!(decode(&mut decompressor().unwrap(), &frame, Vec::new()).unwrap(), content);
            prop_assert_eq!(input, b"next");
        }

        #[test]
        fn noise_is_an_error_and_no_panic(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(noise);
            if let Ok(Some(RawFrame::Content(frame))) = read_frame(&mut &bytes[..], 0) {
                let _ = decode(&mut decompressor().unwrap(), &frame, Vec::new());
            }
        }
    }

    #[test]
    fn a_cut_frame_is_refused_at_every_length() {
        for bytes in [Guard::Checksum, Guard::Digest].map(|guard| frame_of(b"some content that is cut", guard)) {
            for length in 1..bytes.len() {
                let error = read_frame(&mut &bytes[..length], 0).unwrap_err();
                assert!(matches!(error, FrameError::Read { .. }), "{length}: {error}");
            }
        }
        assert!(read_frame(&mut &b""[..], 0).unwrap().is_none());
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        let bytes = frame_of(&b"content with a checksum".repeat(50), Guard::Checksum);
        for index in 5..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            let refused = !matches!(read_frame(&mut &damaged[..], 0).map(|frame| match frame {
                Some(RawFrame::Content(frame)) => decode(&mut decompressor().unwrap(), &frame, Vec::new()).ok(),
                _ => None,
            }), Ok(Some(content)) if content != b"content with a checksum".repeat(50));
            assert!(refused, "byte {index}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_decoded() {
        let mut compressor = compressor(3).unwrap();
        compressor.set_parameter(CParameter::WindowLog(MAX_WINDOW_LOG + 1)).unwrap();
        let bomb = compressor.compress(&vec![0; MAX_FRAME_BYTES + 1]).unwrap();
        assert!(bomb.len() < 2000);
        let error = read_content(&bomb).unwrap_err();
        assert!(error.to_string().contains("more content than a bundle's frame may hold"), "{error}");
    }

    #[test]
    fn a_frame_without_a_size_is_refused() {
        let streamed = zstd::stream::encode_all(&b"streamed"[..], 3).unwrap();
        let error = read_content(&streamed).unwrap_err();
        assert!(error.to_string().contains("is not a single segment"), "{error}");
    }

    #[test]
    fn skippable_frames_show_their_payload() {
        let bytes = skippable(0xE, b"table");
        let frame = read_frame(&mut &bytes[..], 7).unwrap().unwrap();
        assert_eq!(frame, RawFrame::Skippable { offset: 7, kind: 0xE, payload: b"table".to_vec() });
    }
}
