//! A bundle with a part of another's entries, as ranges of bytes: made without decoding, and with little memory.
//!
//! Head and end are copied unchanged, so that [`compose`](crate::compose) with the whole head would write the same. Content from a base is
//! copied as well. Only if an entry has another name in the base, the frame with its header is made again.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::os::unix::fs::FileExt as _;

use super::locate::frame_count;
use super::{IndexedBundle, Location};
use crate::frame::{self, FrameError, Guard};
use crate::head::ReadError;
use crate::list::Entry;
use crate::seek_table::{self, FrameSizes};
use crate::tar_layer::{BLOCK_BYTES, TarHeader};

/// Bytes that are read and written at once.
const PIECE_BYTES: u64 = 1 << 18;

/// A part of a bundle that is a bundle itself.
pub struct Excerpt<'a> {
    ranges: Vec<Range<'a>>,
    /// Frames that were made again.
    aside: Aside,
    seek_table: Vec<u8>,
    content_bytes: u64,
}

/// A range of adjacent frames.
struct Range<'a> {
    /// The bundle that has them; `None` for frames that were made again.
    bundle: Option<&'a IndexedBundle>,
    offset: u64,
    bytes: u64,
}

impl<'a> Excerpt<'a> {
    /// The excerpt with the entries that `wanted` picks, from `bundle` and its bases. The content of entries is not checked: readers of the
    /// excerpt do that.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when no bundle carries one of them; an error when the frames are not laid out as in a bundle.
    pub fn of(bundle: &'a IndexedBundle, wanted: impl Fn(&Entry) -> bool) -> Result<Self, ReadError> {
        bundle.check_layout()?;
        let locations = &bundle.frames.locations;
        let end = locations.len() - 1;
        let after_head = bundle.starts.values().copied().min().unwrap_or(end);
        let mut parts = Parts::default();
        for location in &locations[..after_head] {
            parts.add(Some(bundle), *location);
        }
        let mut content_bytes = 0;
        for entry in bundle.list().entries.iter().filter(|entry| wanted(entry)) {
            parts.add_entry(bundle, entry)?;
            content_bytes += entry.size;
        }
        parts.add(Some(bundle), locations[end]);
        let Parts { ranges, sizes, aside } = parts;
        Ok(Self { ranges, aside, seek_table: seek_table::encode(&sizes), content_bytes })
    }

    /// The size in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.bytes).sum::<u64>() + self.seek_table.len() as u64
    }

    /// The size of the entries' content in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Writes the excerpt with a small buffer.
    pub fn write_to(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        for range in &self.ranges {
            let end = range.offset + range.bytes;
            let mut offset = range.offset;
            while offset < end {
                let piece = PIECE_BYTES.min(end - offset);
                buffer.resize(usize::try_from(piece).expect("small"), 0);
                let read = match range.bundle {
                    Some(bundle) => bundle.source().read_exact_at(&mut buffer, offset),
                    None => self.aside.read_exact_at(&mut buffer, offset),
                };
                read.map_err(|source| io::Error::other(FrameError::Read { offset, source }))?;
                output.write_all(&buffer)?;
                offset += piece;
            }
        }
        output.write_all(&self.seek_table)?;
        output.flush()
    }
}

/// An excerpt that is being assembled.
#[derive(Default)]
struct Parts<'a> {
    ranges: Vec<Range<'a>>,
    sizes: Vec<FrameSizes>,
    aside: Aside,
}

impl<'a> Parts<'a> {
    /// Adds a frame, to the previous range if it continues that.
    fn add(&mut self, bundle: Option<&'a IndexedBundle>, Location { offset, sizes }: Location) {
        let bytes = u64::from(sizes.compressed);
        let same = |last: &&mut Range<'a>| match (last.bundle, bundle) {
            (Some(one), Some(other)) => std::ptr::eq(one, other) && last.offset + last.bytes == offset,
            _ => false,
        };
        match self.ranges.last_mut().filter(same) {
            Some(last) => last.bytes += bytes,
            None => self.ranges.push(Range { bundle, offset, bytes }),
        }
        self.sizes.push(sizes);
    }

    fn add_entry(&mut self, bundle: &'a IndexedBundle, entry: &'a Entry) -> Result<(), ReadError> {
        let missing = || ReadError::Missing { path: entry.path.clone() };
        let (holder, theirs) = bundle.holder(entry).ok_or_else(missing)?;
        let start = holder.start(theirs).ok_or_else(missing)?;
        let header = TarHeader::of_entry(entry);
        let mut first = start;
        if TarHeader::of_entry(theirs) != header {
            let location = self.aside.with_header(holder, start, &header)?;
            self.add(None, location);
            first += 1;
        }
        let frames = holder.frames.locations.get(first..start + frame_count(theirs)).ok_or_else(missing)?;
        for location in frames {
            self.add(Some(holder), *location);
        }
        Ok(())
    }
}

/// Frames that were made again, in a temporary file.
#[derive(Default)]
struct Aside(Option<File>);

impl Aside {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?.read_exact_at(buffer, offset)
    }

    /// Makes the frame at `index` of `holder` again with another header, and keeps it.
    fn with_header(&mut self, holder: &IndexedBundle, index: usize, header: &TarHeader) -> Result<Location, ReadError> {
        let compressed = holder.frames.compressed(index)?;
        let failed = |source| FrameError::Read { offset: compressed.offset, source };
        let decompressor = &mut frame::decompressor().map_err(failed)?;
        let mut content = frame::decode(decompressor, &compressed, Vec::new())?;
        if let Some(block) = content.first_chunk_mut::<BLOCK_BYTES>() {
            *block = header.to_block();
        }
        let mut compressor = frame::compressor(holder.list().compression.level).map_err(failed)?;
        let bytes = frame::compress(&mut compressor, &content, Guard::Digest).map_err(failed)?;
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a frame is small");
        let sizes = FrameSizes { compressed: size(&bytes), content: size(&content) };
        Ok(Location { offset: self.keep(&bytes).map_err(failed)?, sizes })
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let file = match &mut self.0 {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let offset = file.stream_position()?;
        file.write_all(bytes)?;
        Ok(offset)
    }
}
