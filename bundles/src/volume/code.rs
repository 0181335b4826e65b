//! The Reed-Solomon code of one bundle's volumes, stripe by stripe, where some of them are lost.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::VolumeError;
use super::found::Volume;
use super::header::{Header, Kind};
use super::parity::{STRIPE_BYTES, code, read_piece};

/// The same piece of every volume. Parity is there only when a parity volume has to be made.
pub(super) struct Stripe {
    pub data: Vec<Vec<u8>>,
    pub parity: Vec<Vec<u8>>,
}

/// The Reed-Solomon code for one bundle's volumes.
pub(super) struct Code {
    decoder: ReedSolomonDecoder,
    encoder: ReedSolomonEncoder,
    data_count: usize,
    parity_count: usize,
    /// Whether the parity volumes themselves are wanted.
    parity_wanted: bool,
}

impl Code {
    pub fn new(header: &Header, lost: &[(Kind, u32)]) -> Result<Self, VolumeError> {
        let (data_count, parity_count) = (header.data_count as usize, header.parity_count as usize);
        let decoder = ReedSolomonDecoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
        let encoder = ReedSolomonEncoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
        let parity_wanted = lost.iter().any(|(kind, _)| *kind == Kind::Parity);
        Ok(Self { decoder, encoder, data_count, parity_count, parity_wanted })
    }

    /// The `length` bytes at `offset` of every volume, those of lost ones computed.
    pub fn stripe<'v>(
        &mut self,
        good: impl IntoIterator<Item = &'v Volume>,
        offset: u64,
        length: usize,
    ) -> Result<Stripe, VolumeError> {
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
