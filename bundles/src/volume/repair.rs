//! Rebuilds lost and damaged volumes, of data as of parity, from the good ones.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use tempfile::NamedTempFile;

use super::VolumeError;
use super::header::{Header, Kind};
use super::parity::{STRIPE_BYTES, code, read_piece, stripes};
use super::set::{Found, PayloadReader, Volume};
use super::split::{blank, place, volume_path};
use crate::Hasher;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Volumes that were written anew.
    pub rebuilt: Vec<PathBuf>,
    /// Damaged files that were left where they are, for which there is a good one elsewhere now.
    pub damaged: Vec<PathBuf>,
}

/// Rebuilds lost and damaged volumes from the good ones into the folder of `bundle`, under its volumes' names.
///
/// Damaged files stay as they are, but for one that has the name and place of a rebuilt volume.
///
/// # Errors
/// [`VolumeError::BeyondRepair`] where parity does not suffice, [`VolumeError::Rebuilt`] where the result is not the bundle that was
/// split; nothing has been written then.
pub fn repair(places: &[PathBuf], bundle: &Path) -> Result<Repair, VolumeError> {
    let found = Found::look(places)?;
    let header = found.any_header();
    let mut good: Vec<&Volume> = Vec::new();
    let mut damaged = found.unreadable.clone();
    for copy in found.volumes.values().flatten() {
        let known = good.iter().any(|volume| volume.place() == copy.place());
        match copy.is_whole()? {
            true if !known => good.push(copy),
            true => {}
            false => damaged.push(copy.path.clone()),
        }
    }
    let lost = lost(&good, &header)?;
    let rebuilt = if lost.is_empty() { Vec::new() } else { rebuild(&good, &lost, &header, bundle)? };
    damaged.retain(|path| !rebuilt.iter().any(|new| is_same(path, new)));
    Ok(Repair { rebuilt, damaged })
}

/// Kind and number of the volumes that have to be made, where the good ones suffice for that.
fn lost(good: &[&Volume], header: &Header) -> Result<Vec<(Kind, u32)>, VolumeError> {
    let all = [(Kind::Data, header.data_count), (Kind::Parity, header.parity_count)];
    let lost: Vec<_> = all
        .into_iter()
        .flat_map(|(kind, count)| (1..=count).map(move |number| (kind, number)))
        .filter(|place| !good.iter().any(|volume| volume.place() == *place))
        .collect();
    let data: Vec<_> = lost.iter().filter(|(kind, _)| *kind == Kind::Data).collect();
    let parity = good.iter().filter(|volume| volume.header.kind == Kind::Parity).count();
    if data.len() > parity {
        let list = data.iter().map(|(_, number)| format!("{number} of {}", header.data_count)).collect();
        return Err(VolumeError::BeyondRepair { lost: data.len(), parity, list });
    }
    Ok(lost)
}

/// Two paths to one file; links and `..` make it look like two.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A volume that is being made anew.
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

    /// Takes its part of the stripe at `offset`, but not what lies beyond the payload's end.
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

/// The same piece of every volume. Parity is there only when a parity volume has to be made.
struct Stripe {
    data: Vec<Vec<u8>>,
    parity: Vec<Vec<u8>>,
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
        let stripe = code.stripe(good, offset, length)?;
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

/// The Reed-Solomon code for one bundle's volumes.
struct Code {
    decoder: ReedSolomonDecoder,
    encoder: ReedSolomonEncoder,
    data_count: usize,
    parity_count: usize,
    /// Whether the parity volumes themselves are wanted.
    parity_wanted: bool,
}

impl Code {
    fn new(header: &Header, lost: &[(Kind, u32)]) -> Result<Self, VolumeError> {
        let (data_count, parity_count) = (header.data_count as usize, header.parity_count as usize);
        let decoder = ReedSolomonDecoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
        let encoder = ReedSolomonEncoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
        let parity_wanted = lost.iter().any(|(kind, _)| *kind == Kind::Parity);
        Ok(Self { decoder, encoder, data_count, parity_count, parity_wanted })
    }

    /// The `length` bytes at `offset` of every volume, those of lost ones computed.
    fn stripe(&mut self, good: &[&Volume], offset: u64, length: usize) -> Result<Stripe, VolumeError> {
        let mut stripe = Stripe { data: vec![Vec::new(); self.data_count], parity: Vec::new() };
        self.decoder.reset(self.data_count, self.parity_count, length).map_err(code)?;
        for volume in good {
            let mut piece = vec![0; length];
            let payload_bytes = volume.header.payload_bytes();
            read_piece(|buffer, offset| volume.read_exact_at(buffer, offset), payload_bytes, offset, &mut piece)?;
            let index = volume.header.number as usize - 1;
            match volume.header.kind {
                Kind::Data => {
                    self.decoder.add_original_shard(index, &piece).map_err(code)?;
                    stripe.data[index] = piece;
                }
                Kind::Parity => self.decoder.add_recovery_shard(index, &piece).map_err(code)?,
            }
        }
        if stripe.data.iter().any(Vec::is_empty) {
            let decoded = self.decoder.decode().map_err(code)?;
            for (index, shard) in decoded.restored_original_iter() {
                stripe.data[index] = shard.to_vec();
            }
        }
        if self.parity_wanted {
            self.encoder.reset(self.data_count, self.parity_count, length).map_err(code)?;
            stripe.data.iter().try_for_each(|shard| self.encoder.add_original_shard(shard)).map_err(code)?;
            stripe.parity = self.encoder.encode().map_err(code)?.recovery_iter().map(<[u8]>::to_vec).collect();
        }
        Ok(stripe)
    }
}

/// Makes sure that the good volumes and the new ones together are the bundle they were cut from.
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
