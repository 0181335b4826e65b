//! Parity volumes: Reed-Solomon over the data volumes, stripe by stripe, so that memory does not grow with their size.
//!
//! A stripe is the same [`STRIPE_BYTES`] of each data volume, with zeros beyond the last one's end; the stripes of the parity
//! volumes follow from them.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::VolumeError;
use super::header::{HEADER_BYTES, Header, Kind};
use super::set::{Found, Volume, VolumeSet};
use super::split::{Closed, blank, place, volume_path};
use crate::Hasher;

/// Bytes of each volume in one stripe; with the most volumes allowed a stripe takes 16 MiB.
const STRIPE_BYTES: usize = 16 << 10;

/// Offsets of the stripes of a volume of `volume_bytes`, and the bytes in each.
fn stripes(volume_bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..volume_bytes).step_by(STRIPE_BYTES).map(move |offset| {
        let left = usize::try_from(volume_bytes - offset).unwrap_or(usize::MAX);
        (offset, left.min(STRIPE_BYTES))
    })
}

fn code(error: reed_solomon_simd::Error) -> VolumeError {
    VolumeError::Unusable { reason: error.to_string() }
}

/// Reads one piece of a stripe; what lies beyond the payload's end counts as zero.
fn read_piece(
    read_exact_at: impl Fn(&mut [u8], u64) -> io::Result<()>,
    payload_bytes: u64,
    offset: u64,
    piece: &mut [u8],
) -> io::Result<()> {
    let there = usize::try_from(payload_bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(piece.len());
    piece[there..].fill(0);
    read_exact_at(&mut piece[..there], offset)
}

/// Makes the parity volumes for finished data volumes.
pub(super) fn encode(data: &[Closed], header: &Header, bundle: &Path) -> Result<Vec<Closed>, VolumeError> {
    let parity_count = header.parity_count as usize;
    if parity_count == 0 {
        return Ok(Vec::new());
    }
    let mut parity = Vec::new();
    for number in 1..=header.parity_count {
        let volume = volume_path(bundle, Kind::Parity, number);
        parity.push((blank(&volume)?, Hasher::new(io::sink())));
    }
    let mut encoder = ReedSolomonEncoder::new(data.len(), parity_count, STRIPE_BYTES).map_err(code)?;
    let mut piece = vec![0; STRIPE_BYTES];
    for (offset, length) in stripes(header.volume_bytes) {
        encoder.reset(data.len(), parity_count, length).map_err(code)?;
        let piece = &mut piece[..length];
        for (closed, number) in data.iter().zip(1..) {
            let payload_bytes = Header { number, ..*header }.payload_bytes();
            let file = closed.file.as_file();
            let read = |buffer: &mut [u8], offset| file.read_exact_at(buffer, HEADER_BYTES as u64 + offset);
            read_piece(read, payload_bytes, offset, piece)?;
            encoder.add_original_shard(&*piece).map_err(code)?;
        }
        let encoded = encoder.encode().map_err(code)?;
        for ((file, hasher), shard) in parity.iter_mut().zip(encoded.recovery_iter()) {
            file.write_all(shard)?;
            hasher.write_all(shard)?;
        }
    }
    Ok(parity.into_iter().map(|(file, hasher)| Closed { file, payload: hasher.finish().0 }).collect())
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Volumes that were written anew.
    pub rebuilt: Vec<PathBuf>,
}

/// Rebuilds lost and damaged data volumes from the good ones and parity, into the folder of `bundle`, under its volumes' names.
pub fn repair(places: &[PathBuf], bundle: &Path) -> Result<Repair, VolumeError> {
    let found = Found::look(places)?;
    let header = found.any_header();
    let mut good: Vec<&Volume> = Vec::new();
    for volume in found.0.values() {
        if volume.is_whole()? {
            good.push(volume);
        }
    }
    let has = |kind, number| good.iter().any(|volume| (volume.header.kind, volume.header.number) == (kind, number));
    let lost: Vec<u32> = (1..=header.data_count).filter(|&number| !has(Kind::Data, number)).collect();
    let parity = good.iter().filter(|volume| volume.header.kind == Kind::Parity).count();
    if lost.is_empty() {
        return Ok(Repair::default());
    }
    if lost.len() > parity {
        let list = lost.iter().map(|number| format!("{number} of {}", header.data_count)).collect();
        return Err(VolumeError::BeyondRepair { lost: lost.len(), parity, list });
    }
    let repair = rebuild(&good, &lost, &header, bundle)?;
    check_identity(places, &repair, &header)?;
    Ok(repair)
}

fn rebuild(good: &[&Volume], lost: &[u32], header: &Header, bundle: &Path) -> Result<Repair, VolumeError> {
    let mut outputs = Vec::new();
    for &number in lost {
        outputs.push((number, blank(&volume_path(bundle, Kind::Data, number))?, Hasher::new(io::sink())));
    }
    let (data_count, parity_count) = (header.data_count as usize, header.parity_count as usize);
    let mut decoder = ReedSolomonDecoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
    let mut piece = vec![0; STRIPE_BYTES];
    for (offset, length) in stripes(header.volume_bytes) {
        decoder.reset(data_count, parity_count, length).map_err(code)?;
        let piece = &mut piece[..length];
        for volume in good {
            let payload_bytes = volume.header.payload_bytes();
            read_piece(|buffer, offset| volume.read_exact_at(buffer, offset), payload_bytes, offset, piece)?;
            let index = volume.header.number as usize - 1;
            match volume.header.kind {
                Kind::Data => decoder.add_original_shard(index, &*piece),
                Kind::Parity => decoder.add_recovery_shard(index, &*piece),
            }
            .map_err(code)?;
        }
        let decoded = decoder.decode().map_err(code)?;
        for (number, file, hasher) in &mut outputs {
            let left = Header { kind: Kind::Data, number: *number, ..*header }.payload_bytes().saturating_sub(offset);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
            let shard = decoded.restored_original(*number as usize - 1).ok_or(VolumeError::Rebuilt)?;
            file.write_all(&shard[..length])?;
            hasher.write_all(&shard[..length])?;
        }
    }
    let mut repair = Repair::default();
    for (number, file, hasher) in outputs {
        let path = volume_path(bundle, Kind::Data, number);
        place(file, &Header { kind: Kind::Data, number, payload: hasher.finish().0, ..*header }, &path)?;
        repair.rebuilt.push(path);
    }
    Ok(repair)
}

/// Makes sure that all volumes together are the bundle they were cut from; if not, takes the rebuilt ones away again.
fn check_identity(places: &[PathBuf], repair: &Repair, header: &Header) -> Result<(), VolumeError> {
    let places: Vec<_> = places.iter().chain(&repair.rebuilt).cloned().collect();
    let set = VolumeSet::open(&places)?;
    let mut hasher = Hasher::new(io::sink());
    io::copy(&mut set.reader(), &mut hasher)?;
    if hasher.finish().0 == header.identity {
        return Ok(());
    }
    repair.rebuilt.iter().try_for_each(fs::remove_file)?;
    Err(VolumeError::Rebuilt)
}
