//! All of a bundle's volumes, read as the one file that was split. Lost or damaged volumes are rebuilt from parity in memory while they are
//! read, if parity suffices.
//!
//! The volumes are not hashed before they are read: a reader of a bundle compares its content with the signed list. If that fails,
//! [`VolumeSet::mend`] checks the volumes' own digests and leaves out the damaged ones.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::VolumeError;
use super::choice::Choice;
use super::found::{FoundVolumes, Volume};
use super::header::{HEADER_BYTES, Header, Kind};
use super::mended::MendedVolume;

/// All volumes of a bundle.
pub struct VolumeSet {
    header: Header,
    found: FoundVolumes,
    choice: RwLock<Arc<Choice>>,
}

impl VolumeSet {
    /// Finds the volumes in `places` and checks that they fit together and are complete, or can be completed from parity.
    pub fn open(places: &[PathBuf]) -> Result<Self, VolumeError> {
        let found = FoundVolumes::look(places)?;
        let choice = Choice::among(&found, places, |volume| volume.check_length().is_ok())?;
        Ok(Self { header: found.any_header(), found, choice: RwLock::new(Arc::new(choice)) })
    }

    fn choice(&self) -> Arc<Choice> {
        Arc::clone(&self.choice.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of the bundle.
    #[must_use]
    pub fn bundle_bytes(&self) -> u64 {
        self.header.bundle_bytes
    }

    /// Reads as from the joined file.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let choice = self.choice();
        while !buffer.is_empty() {
            let index = usize::try_from(offset / self.header.volume_bytes).unwrap_or(usize::MAX);
            let within = offset % self.header.volume_bytes;
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            if number > self.header.data_count {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let payload_bytes = Header { kind: Kind::Data, number, ..self.header }.payload_bytes();
            let left = usize::try_from(payload_bytes.saturating_sub(within)).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = buffer.split_at_mut(count);
            choice.read_exact_at(index, now, within)?;
            buffer = later;
            offset += count as u64;
        }
        Ok(())
    }

    /// Reads all volumes, and from now on leaves out those that cannot be read or do not match their headers: another copy is read instead,
    /// or they are rebuilt from parity. Returns whether that changed anything; nothing changes if parity does not suffice.
    pub fn mend(&self) -> bool {
        let Ok(choice) = Choice::among(&self.found, &[], Volume::is_whole) else { return false };
        let mut now = self.choice.write().unwrap_or_else(PoisonError::into_inner);
        let changed = !choice.reads_the_same_as(&now);
        if changed {
            *now = Arc::new(choice);
        }
        changed
    }

    /// The volumes that are not read, each with its replacement.
    #[must_use]
    pub fn mended(&self) -> Vec<MendedVolume> {
        self.choice().mended.clone()
    }

    /// The number of parity volumes, including damaged ones.
    #[must_use]
    pub fn parity_volumes(&self) -> usize {
        self.found.parity().count()
    }

    /// The volume that contains the byte of the bundle at `offset`, and the offset in its file.
    #[must_use]
    pub fn volume_at(&self, offset: u64) -> Option<(PathBuf, u64)> {
        let index = usize::try_from(offset / self.header.volume_bytes).ok()?;
        let number = u32::try_from(index + 1).ok().filter(|number| *number <= self.header.data_count)?;
        let chosen = self.choice().volume(index).map(|volume| volume.path.clone());
        let path = chosen.unwrap_or_else(|| self.found.name(number));
        Some((path, HEADER_BYTES as u64 + offset % self.header.volume_bytes))
    }

    /// The part of `range` in the first volume in use that does not match its header. Reads the volumes up to that one.
    pub fn damaged_in(&self, range: Range<u64>) -> Option<Range<u64>> {
        let choice = self.choice();
        (0..u64::from(self.header.data_count)).zip(choice.volumes()).find_map(|(index, volume)| {
            let start = index * self.header.volume_bytes;
            let part = range.start.max(start)..range.end.min(start + self.header.volume_bytes);
            let damaged = !part.is_empty() && volume.is_some_and(|volume| !volume.is_whole());
            damaged.then_some(part)
        })
    }

    /// The volumes in use that cannot be read, or whose payload does not match their header. Reads all of them.
    pub fn damaged(&self) -> Vec<PathBuf> {
        let choice = self.choice();
        let damaged = choice.volumes().flatten().filter(|volume| !volume.is_whole());
        damaged.map(|volume| volume.path.clone()).collect()
    }
}
