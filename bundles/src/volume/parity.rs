//! Parity volumes: Reed-Solomon over the data volumes, stripe by stripe, so that memory does not grow with their size.
//!
//! A stripe is the same [`STRIPE_BYTES`] of each data volume, with zeros beyond the last one's end. The stripes of the parity volumes are
//! computed from it.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use reed_solomon_simd::ReedSolomonEncoder;

use super::VolumeError;
use super::header::{HEADER_BYTES, Header, Kind};
use super::volume_file::{Closed, blank, volume_path};
use crate::Hasher;

/// Bytes of each volume in one stripe; with the largest number of volumes, a stripe needs 16 MiB.
pub(super) const STRIPE_BYTES: usize = 16 << 10;

/// Offsets of the stripes of a volume of `volume_bytes`, and the bytes in each.
pub(super) fn stripes(volume_bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..volume_bytes).step_by(STRIPE_BYTES).map(move |offset| {
        let left = usize::try_from(volume_bytes - offset).unwrap_or(usize::MAX);
        (offset, left.min(STRIPE_BYTES))
    })
}

pub(super) fn code(error: reed_solomon_simd::Error) -> VolumeError {
    VolumeError::Unusable { reason: error.to_string() }
}

/// Reads one piece of a stripe; bytes beyond the payload's end count as zero.
pub(super) fn read_piece(
    read_exact_at: impl Fn(&mut [u8], u64) -> io::Result<()>,
    payload_bytes: u64,
    offset: u64,
    piece: &mut [u8],
) -> io::Result<()> {
    let there = usize::try_from(payload_bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(piece.len());
    piece[there..].fill(0);
    read_exact_at(&mut piece[..there], offset)
}

/// Makes the parity volumes for complete data volumes.
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
