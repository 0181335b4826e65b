//! Which copy of each volume is read, and which volumes are rebuilt from parity.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::VolumeError;
use super::code::{Code, Stripe};
use super::found::{FoundVolumes, Volume};
use super::header::{Header, Kind};
use super::mended::MendedVolume;
use super::parity::STRIPE_BYTES;

/// A way to read a bundle.
pub(super) struct Choice {
    /// Data volumes by number; `None` for volumes that are rebuilt.
    data: Vec<Option<Arc<Volume>>>,
    /// Present if a volume is rebuilt. One thread at a time, so that memory does not grow with the number of cores.
    rebuild: Option<Mutex<Rebuild>>,
    pub mended: Vec<MendedVolume>,
}

impl Choice {
    /// Chooses the first good copy of each data volume, and as many good parity volumes as data volumes are lost.
    ///
    /// # Errors
    /// When parity does not suffice. The error also names volumes among `places`, which the user named.
    pub fn among(
        found: &FoundVolumes,
        places: &[PathBuf],
        is_good: impl Fn(&Volume) -> bool,
    ) -> Result<Self, VolumeError> {
        let header = found.any_header();
        let good = |place| found.copies(place).iter().find(|copy| is_good(copy)).cloned();
        let data: Vec<_> = (1..=header.data_count).map(|number| good((Kind::Data, number))).collect();
        let lost: Vec<u32> =
            (1..).zip(&data).filter(|(_, chosen)| chosen.is_none()).map(|(number, _)| number).collect();
        let parity: Vec<_> = (1..=header.parity_count).filter_map(|number| good((Kind::Parity, number))).collect();
        if lost.len() > parity.len() {
            return Err(shortage(found, places, lost, parity.len()));
        }
        let rebuild = if lost.is_empty() {
            None
        } else {
            let good = data.iter().flatten().chain(parity.iter().take(lost.len())).cloned().collect();
            Some(Mutex::new(Rebuild::new(&header, &lost, good)?))
        };
        let mended = (1..).zip(&data).filter_map(|(number, chosen)| mended(found, number, chosen.as_ref())).collect();
        Ok(Self { data, rebuild, mended })
    }

    pub fn volumes(&self) -> impl Iterator<Item = Option<&Arc<Volume>>> {
        self.data.iter().map(Option::as_ref)
    }

    pub fn volume(&self, index: usize) -> Option<&Arc<Volume>> {
        self.data.get(index)?.as_ref()
    }

    /// Reads from the payload of the data volume at `index`.
    pub fn read_exact_at(&self, index: usize, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match (self.volume(index), &self.rebuild) {
            (Some(volume), _) => volume.read_exact_at(buffer, offset),
            (None, Some(rebuild)) => {
                let mut rebuild = rebuild.lock().unwrap_or_else(PoisonError::into_inner);
                rebuild.read_exact_at(index, buffer, offset)
            }
            (None, None) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub fn reads_the_same_as(&self, other: &Self) -> bool {
        let files = |choice: &Self| -> Vec<_> {
            let parity = choice
                .rebuild
                .iter()
                .flat_map(|rebuild| rebuild.lock().unwrap_or_else(PoisonError::into_inner).good.clone());
            choice.data.iter().flatten().cloned().chain(parity).map(|volume| volume.path.clone()).collect()
        };
        files(self) == files(other)
    }
}

/// The report about a data volume for which `chosen` is read.
fn mended(found: &FoundVolumes, number: u32, chosen: Option<&Arc<Volume>>) -> Option<MendedVolume> {
    let copies = found.copies((Kind::Data, number));
    let first = copies.first();
    if first.is_some_and(|first| chosen.is_some_and(|chosen| Arc::ptr_eq(first, chosen))) {
        return None;
    }
    let (path, defect) = found.defect(number);
    let count = found.any_header().data_count;
    Some(MendedVolume { number, count, path, defect, copy: chosen.map(|volume| volume.path.clone()) })
}

/// The error that more data volumes are `lost` than there are good `parity` volumes.
fn shortage(found: &FoundVolumes, places: &[PathBuf], lost: Vec<u32>, parity: usize) -> VolumeError {
    let count = found.any_header().data_count;
    if parity > 0 {
        let list = lost.iter().map(|&number| describe(found, number)).collect();
        return VolumeError::BeyondRepair { lost: lost.len(), parity, list };
    }
    if let Some(path) = found.unreadable.iter().find(|path| places.contains(path)) {
        return VolumeError::Header { path: path.clone() };
    }
    let copies = |number| found.copies((Kind::Data, number));
    let (damaged, missing): (Vec<u32>, _) = lost.into_iter().partition(|&number| !copies(number).is_empty());
    match damaged.iter().find_map(|&number| copies(number).first()?.check_length().err()) {
        Some(error) if missing.is_empty() => error,
        _ => VolumeError::Missing {
            missing: missing.into_iter().map(|number| (number, found.name(number))).collect(),
            count,
        },
    }
}

/// A lost volume, for people.
pub(super) fn describe(found: &FoundVolumes, number: u32) -> String {
    let (path, defect) = found.defect(number);
    format!("{} is {defect}", path.display())
}

/// Computes the bytes of lost data volumes. Keeps the last stripe, since reads are seldom cut as stripes are.
struct Rebuild {
    code: Code,
    /// The volumes from which the lost ones are computed.
    good: Vec<Arc<Volume>>,
    volume_bytes: u64,
    last: Option<(u64, Stripe)>,
}

impl Rebuild {
    fn new(header: &Header, lost: &[u32], good: Vec<Arc<Volume>>) -> Result<Self, VolumeError> {
        let lost: Vec<_> = lost.iter().map(|&number| (Kind::Data, number)).collect();
        Ok(Self { code: Code::new(header, &lost)?, good, volume_bytes: header.volume_bytes, last: None })
    }

    fn read_exact_at(&mut self, index: usize, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let within = usize::try_from(offset % STRIPE_BYTES as u64).expect("less than a stripe");
            let shard = &self.stripe(offset - within as u64)?.data[index];
            let count = buffer.len().min(shard.len() - within);
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&shard[within..within + count]);
            buffer = later;
            offset += count as u64;
        }
        Ok(())
    }

    fn stripe(&mut self, start: u64) -> io::Result<&Stripe> {
        if self.last.as_ref().is_none_or(|(at, _)| *at != start) {
            let left = usize::try_from(self.volume_bytes - start).unwrap_or(usize::MAX);
            let good = self.good.iter().map(AsRef::as_ref);
            let stripe = self.code.stripe(good, start, left.min(STRIPE_BYTES)).map_err(into_io)?;
            self.last = Some((start, stripe));
        }
        Ok(&self.last.as_ref().expect("computed above").1)
    }
}

fn into_io(error: VolumeError) -> io::Error {
    match error {
        VolumeError::File { source } => source,
        other => io::Error::other(other),
    }
}
