//! The seek table at the end of a bundle: the place of each frame, in the zstd seekable format, version 0.1.0.
//!
//! Source: `contrib/seekable_format/zstd_seekable_compression_format.md` of the zstd project. The table is a convenience and never trusted:
//! content that is found through it is checked like any other, and a reader of the whole file compares the table with the frames that it
//! has seen.

use std::io;

use crate::BundleSource;
use crate::frame::skippable;
use crate::limits::{MAX_COMPRESSED_FRAME_BYTES, MAX_FRAME_BYTES};

/// The skippable frame's kind that the seekable format uses.
pub const SKIPPABLE_KIND: u8 = 0xE;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const FOOTER_BYTES: usize = 9;
const ROW_BYTES: usize = 8;
/// Enough for the largest bundles, even with many small frames; limits the memory that a table can demand.
const MAX_FRAMES: usize = 4 << 20;

/// Sizes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSizes {
    /// Its size in the file.
    pub compressed: u32,
    /// The size of its content.
    pub content: u32,
}

/// Why the end of a file is not a seek table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeekTableError {
    /// The end of the file could not be read.
    #[error("cannot read the seek table at the end of the bundle")]
    Read {
        /// The cause.
        source: io::Error,
    },
    /// The end of the file is something else.
    #[error("the bundle does not end in a seek table ({reason}); it is cut off or something was appended")]
    Shape {
        /// What is wrong.
        reason: &'static str,
    },
    /// The table does not match this file.
    #[error("the seek table does not describe this file: {reason}")]
    Lies {
        /// What does not match.
        reason: &'static str,
    },
}

/// The table as a frame, ready to be appended.
#[must_use]
pub fn encode(frames: &[FrameSizes]) -> Vec<u8> {
    let count = u32::try_from(frames.len()).expect("a bundle has fewer than 2^32 frames");
    let mut payload = Vec::with_capacity(frames.len() * ROW_BYTES + FOOTER_BYTES);
    for frame in frames {
        payload.extend(frame.compressed.to_le_bytes());
        payload.extend(frame.content.to_le_bytes());
    }
    payload.extend(count.to_le_bytes());
    payload.push(0); // descriptor: no checksum column
    payload.extend(SEEKABLE_MAGIC.to_le_bytes());
    skippable(SKIPPABLE_KIND, &payload)
}

/// Reads a table from a skippable frame's payload.
pub fn decode(payload: &[u8]) -> Result<Vec<FrameSizes>, SeekTableError> {
    let refuse = |reason| Err(SeekTableError::Shape { reason });
    let Some((rows, footer)) = payload.split_last_chunk::<FOOTER_BYTES>() else {
        return refuse("it is too short");
    };
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    if word(&footer[5..]) != SEEKABLE_MAGIC || footer[4] != 0 {
        return refuse("its footer is not one");
    }
    if rows.len() != word(&footer[..4]) as usize * ROW_BYTES {
        return refuse("its length is not that of its rows");
    }
    let frames: Vec<_> = rows
        .chunks_exact(ROW_BYTES)
        .map(|row| FrameSizes { compressed: word(&row[..4]), content: word(&row[4..]) })
        .collect();
    let fits = |frame: &FrameSizes| {
        frame.compressed as usize <= MAX_COMPRESSED_FRAME_BYTES && frame.content as usize <= MAX_FRAME_BYTES
    };
    if frames.iter().all(fits) { Ok(frames) } else { refuse("a frame in it is larger than any may be") }
}

/// Reads the table from the end of a bundle and checks that its rows fill the bundle exactly.
pub fn read(source: &BundleSource) -> Result<Vec<FrameSizes>, SeekTableError> {
    let failed = |source| SeekTableError::Read { source };
    let length = source.size_bytes();
    let mut footer = [0; FOOTER_BYTES];
    if length < (FOOTER_BYTES + 8) as u64 {
        return Err(SeekTableError::Shape { reason: "the file is too short" });
    }
    source.read_exact_at(&mut footer, length - FOOTER_BYTES as u64).map_err(failed)?;
    let count = u32::from_le_bytes([footer[0], footer[1], footer[2], footer[3]]) as usize;
    let payload_bytes = count.saturating_mul(ROW_BYTES) + FOOTER_BYTES;
    if footer[5..] != SEEKABLE_MAGIC.to_le_bytes() {
        return Err(SeekTableError::Shape { reason: "its footer is not one" });
    }
    if count > MAX_FRAMES || payload_bytes as u64 + 8 > length {
        return Err(SeekTableError::Shape { reason: "it claims more rows than fit" });
    }
    let mut frame = vec![0; payload_bytes + 8];
    source.read_exact_at(&mut frame, length - (payload_bytes + 8) as u64).map_err(failed)?;
    if frame[..8] != skippable(SKIPPABLE_KIND, &frame[8..])[..8] {
        return Err(SeekTableError::Shape { reason: "its frame header is not one" });
    }
    let frames = decode(&frame[8..])?;
    let described: u64 = frames.iter().map(|frame| u64::from(frame.compressed)).sum();
    if described + frame.len() as u64 == length {
        Ok(frames)
    } else {
        Err(SeekTableError::Lies { reason: "its frames do not fill the file" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<FrameSizes>, SeekTableError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), bytes).unwrap();
        read(&BundleSource::open(file.path()).unwrap())
    }

    #[test]
    fn a_table_comes_back_from_the_end_of_its_file() {
        let frames = [FrameSizes { compressed: 5, content: 70 }, FrameSizes { compressed: 3, content: 0 }];
        let mut file = vec![1; 8];
        file.extend(encode(&frames));
        assert_eq!(read_bytes(&file).unwrap(), frames);
        file.insert(0, 1);
        assert!(matches!(read_bytes(&file), Err(SeekTableError::Lies { .. })));
        file.push(0);
        assert!(matches!(read_bytes(&file), Err(SeekTableError::Shape { .. })));
    }

    proptest! {
        #[test]
        fn noise_is_an_error_and_no_panic(mut noise in proptest::collection::vec(any::<u8>(), 0..200), count in any::<u32>()) {
            let _ = decode(&noise);
            noise.extend(count.to_le_bytes());
            noise.push(0);
            noise.extend(SEEKABLE_MAGIC.to_le_bytes());
            prop_assert!(read_bytes(&noise).is_err());
        }
    }
}
