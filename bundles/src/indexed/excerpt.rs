//! A bundle that carries part of another's entries, as ranges of its bytes: made without decoding and without memory.
//!
//! Head and end are taken over as they are, so that [`compose`](crate::compose) with all of the head would write the same.

use std::io::{self, Write};

use super::locate::frame_count;
use super::{IndexedBundle, Location};
use crate::frame::FrameError;
use crate::head::ReadError;
use crate::list::Entry;
use crate::seek_table::{self, FrameSizes};

/// Bytes that are read and written at once.
const PIECE_BYTES: u64 = 1 << 18;

/// A part of a bundle that is a bundle itself.
pub struct Excerpt<'a> {
    bundle: &'a IndexedBundle,
    ranges: Vec<Range>,
    seek_table: Vec<u8>,
    content_bytes: u64,
}

/// Frames that lie one after the other.
struct Range {
    offset: u64,
    bytes: u64,
}

impl<'a> Excerpt<'a> {
    /// What `bundle` carries of the entries that `wanted` picks.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when it does not carry one of them, or that its frames do not lie as a bundle's do. What the
    /// entries hold is not looked at: whoever reads the excerpt checks it.
    pub fn of(bundle: &'a IndexedBundle, wanted: impl Fn(&Entry) -> bool) -> Result<Self, ReadError> {
        bundle.check_layout()?;
        let locations = &bundle.frames.locations;
        let end = locations.len() - 1;
        let after_head = bundle.starts.values().copied().min().unwrap_or(end);
        let mut chosen: Vec<_> = locations[..after_head].to_vec();
        let mut content_bytes = 0;
        for entry in bundle.list().entries.iter().filter(|entry| wanted(entry)) {
            let start = bundle.start(entry).ok_or_else(|| ReadError::Missing { path: entry.path.clone() })?;
            chosen.extend(locations.iter().skip(start).take(frame_count(entry)));
            content_bytes += entry.size;
        }
        chosen.push(locations[end]);
        let sizes: Vec<FrameSizes> = chosen.iter().map(|location| location.sizes).collect();
        Ok(Self { bundle, ranges: joined(&chosen), seek_table: seek_table::encode(&sizes), content_bytes })
    }

    /// Bytes in all.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.bytes).sum::<u64>() + self.seek_table.len() as u64
    }

    /// Bytes of the entries' content.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Writes the whole, with a small buffer.
    pub fn write_to(&self, output: &mut dyn Write) -> io::Result<()> {
        let mut buffer = Vec::new();
        for range in &self.ranges {
            let end = range.offset + range.bytes;
            let mut offset = range.offset;
            while offset < end {
                let piece = PIECE_BYTES.min(end - offset);
                buffer.resize(usize::try_from(piece).expect("small"), 0);
                let read = self.bundle.source().read_exact_at(&mut buffer, offset);
                read.map_err(|source| io::Error::other(FrameError::Read { offset, source }))?;
                output.write_all(&buffer)?;
                offset += piece;
            }
        }
        output.write_all(&self.seek_table)?;
        output.flush()
    }
}

/// The same bytes in fewer ranges.
fn joined(locations: &[Location]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for location in locations {
        let bytes = u64::from(location.sizes.compressed);
        match ranges.last_mut() {
            Some(last) if last.offset + last.bytes == location.offset => last.bytes += bytes,
            _ => ranges.push(Range { offset: location.offset, bytes }),
        }
    }
    ranges
}
