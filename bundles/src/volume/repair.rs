//! Rebuilds lost and damaged volumes, both data and parity, from the good ones.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::VolumeError;
use super::choice::describe;
use super::code::{Code, Stripe};
use super::found::{FoundVolumes, PayloadReader, Volume};
use super::header::{Header, Kind};
use super::parity::stripes;
use super::split::{blank, place, volume_path};
use crate::Hasher;

/// The result of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Volumes that were rewritten.
    pub rebuilt: Vec<PathBuf>,
    /// Damaged files that stayed in their place and now have a good replacement elsewhere.
    pub damaged: Vec<PathBuf>,
}

/// Rebuilds lost and damaged volumes from the good ones into the folder of `bundle`, under its volumes' names.
///
/// Damaged files stay as they are, except one with the name and place of a rebuilt volume.
///
/// # Errors
/// [`VolumeError::BeyondRepair`] when parity does not suffice, [`VolumeError::Rebuilt`] when the result is not the bundle that was split.
/// Nothing was written then.
pub fn repair(places: &[PathBuf], bundle: &Path) -> Result<Repair, VolumeError> {
    let found = FoundVolumes::look(places)?;
    let header = found.any_header();
    let mut good: Vec<&Volume> = Vec::new();
    let mut damaged = found.unreadable.clone();
    for copy in found.volumes.values().flatten() {
        let known = good.iter().any(|volume| volume.place() == copy.place());
        match copy.is_whole() {
            true if !known => good.push(copy),
            true => {}
            false => damaged.push(copy.path.clone()),
        }
    }
    let lost = lost(&found, &good, &header)?;
    let rebuilt = if lost.is_empty() { Vec::new() } else { rebuild(&good, &lost, &header, bundle)? };
    damaged.retain(|path| !rebuilt.iter().any(|new| is_same(path, new)));
    Ok(Repair { rebuilt, damaged })
}

/// Kind and number of the volumes to make, if the good ones suffice for that.
fn lost(found: &FoundVolumes, good: &[&Volume], header: &Header) -> Result<Vec<(Kind, u32)>, VolumeError> {
    let all = [(Kind::Data, header.data_count), (Kind::Parity, header.parity_count)];
    let lost: Vec<_> = all
        .into_iter()
        .flat_map(|(kind, count)| (1..=count).map(move |number| (kind, number)))
        .filter(|place| !good.iter().any(|volume| volume.place() == *place))
        .collect();
    let data: Vec<_> = lost.iter().filter(|(kind, _)| *kind == Kind::Data).collect();
    let parity = good.iter().filter(|volume| volume.header.kind == Kind::Parity).count();
    if data.len() > parity {
        let list = data.iter().map(|&&(_, number)| describe(found, number)).collect();
        return Err(VolumeError::BeyondRepair { lost: data.len(), parity, list });
    }
    Ok(lost)
}

/// Whether two paths lead to one file; links and `..` can make them look different.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A volume that is being rebuilt.
struct Output {
    header: Header,
    file: NamedTempFile,
    hasher: Hasher<io::Sink>,
}

impl Output {
    fn new((kind, number): (Kind, u32), header: &Header, bundle: &Path) -> io::Result<Self> {
        let file = blank(&volume_path(bundle, kind, number))?;
        Ok(Self { header: Header { kind, number, ..*header }, file, hasher: Hasher::new(io::sink()) })
    }

    /// Writes its part of the stripe at `offset`, without bytes beyond the payload's end.
    fn take(&mut self, stripe: &Stripe, offset: u64) -> io::Result<()> {
        let shards = match self.header.kind {
            Kind::Data => &stripe.data,
            Kind::Parity => &stripe.parity,
        };
        let shard = &shards[self.header.number as usize - 1];
        let left = usize::try_from(self.header.payload_bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let part = &shard[..shard.len().min(left)];
        self.file.write_all(part)?;
        self.hasher.write_all(part)
    }
}

fn rebuild(
    good: &[&Volume],
    lost: &[(Kind, u32)],
    header: &Header,
    bundle: &Path,
) -> Result<Vec<PathBuf>, VolumeError> {
    let outputs = lost.iter().map(|&place| Output::new(place, header, bundle));
    let mut outputs = outputs.collect::<io::Result<Vec<_>>>()?;
    let mut code = Code::new(header, lost)?;
    for (offset, length) in stripes(header.volume_bytes) {
        let stripe = code.stripe(good.iter().copied(), offset, length)?;
        outputs.iter_mut().try_for_each(|output| output.take(&stripe, offset))?;
    }
    check_identity(good, &outputs, header)?;
    let mut paths = Vec::new();
    for output in outputs {
        let path = volume_path(bundle, output.header.kind, output.header.number);
        place(output.file, &Header { payload: output.hasher.finish().0, ..output.header }, &path)?;
        paths.push(path);
    }
    Ok(paths)
}

/// Checks that the good volumes and the new ones together are the bundle that was split.
fn check_identity(good: &[&Volume], outputs: &[Output], header: &Header) -> Result<(), VolumeError> {
    let mut hasher = Hasher::new(io::sink());
    for number in 1..=header.data_count {
        let place = (Kind::Data, number);
        let kept = good.iter().find(|volume| volume.place() == place).map(|volume| volume.file.file());
        let made = outputs.iter().find(|output| (output.header.kind, output.header.number) == place);
        let file = kept.or_else(|| made.map(|output| output.file.as_file())).ok_or(VolumeError::Rebuilt)?;
        let payload_bytes = Header { kind: Kind::Data, number, ..*header }.payload_bytes();
        io::copy(&mut PayloadReader::new(file).take(payload_bytes), &mut hasher)?;
    }
    if hasher.finish().0 == header.identity { Ok(()) } else { Err(VolumeError::Rebuilt) }
}
