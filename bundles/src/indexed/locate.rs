//! Finds where the entries of a bundle file begin, by the headers in its frames.

use std::collections::HashMap;

use super::Frames;
use crate::EntryPath;
use crate::head::ReadError;
use crate::limits::MAX_FRAME_BYTES;
use crate::list::Entry;
use crate::tar_layer::{BLOCK_BYTES, TarHeader};

/// Walks over the frames, and records the first frame of each entry, and the frames that belong to no entry. Entries are in the order of
/// the list; some may be left out.
///
/// An entry with a damaged header is recognized by the sizes of its frames, so that reading it reports what is wrong with it.
pub(super) fn locate(
    frames: &Frames,
    entries: &[Entry],
    after_head: usize,
) -> Result<(HashMap<EntryPath, usize>, Vec<usize>), ReadError> {
    let (mut starts, mut strays) = (HashMap::new(), Vec::new());
    let mut expected = entries.iter();
    let mut index = after_head;
    while index < frames.locations.len() {
        let found = match frames.header(index)? {
            Some(header) => {
                let offset = frames.locations[index].offset;
                let found = expected.find(|entry| TarHeader::of_entry(entry) == header);
                Some(found.ok_or(ReadError::NotListed { path: header.path, offset })?)
            }
            None => expected.clone().find(|entry| fits(frames, index, entry)),
        };
        let Some(entry) = found else {
            strays.push(index);
            index += 1;
            continue;
        };
        // The frames that seemed to be this entry's by their sizes belong to something else.
        strays.extend(starts.insert(entry.path.clone(), index));
        index += frame_count(entry);
    }
    strays.sort_unstable();
    Ok((starts, strays))
}

/// Whether the frames from `index` on have the sizes of `entry`'s frames, and others follow.
fn fits(frames: &Frames, index: usize, entry: &Entry) -> bool {
    let mut left = archived_bytes(entry);
    for location in frames.locations.iter().skip(index).take(frame_count(entry)) {
        let expected = left.min(MAX_FRAME_BYTES as u64);
        if u64::from(location.sizes.content) != expected {
            return false;
        }
        left -= expected;
    }
    left == 0 && index + frame_count(entry) < frames.locations.len()
}

/// Bytes of an entry in the archive, header and padding included.
fn archived_bytes(entry: &Entry) -> u64 {
    let header = TarHeader::of_entry(entry);
    BLOCK_BYTES as u64 + header.size + header.padding() as u64
}

/// How many frames an entry has, including header and padding.
pub(super) fn frame_count(entry: &Entry) -> usize {
    let frames = archived_bytes(entry).div_ceil(MAX_FRAME_BYTES as u64);
    usize::try_from(frames).expect("an entry has at most a thousand frames")
}
