//! The Reed-Solomon code of one bundle's volumes, stripe by stripe, when some of them are lost.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::VolumeError;
use super::found::Volume;
use super::header::{Header, Kind};
use super::parity::{STRIPE_BYTES, code, read_piece};

/// The same piece of several volumes, by number: of the lost ones, and of all data volumes if parity was computed.
pub(super) struct Stripe {
    pub data: Vec<Vec<u8>>,
    pub parity: Vec<Vec<u8>>,
}

/// The Reed-Solomon code for one bundle's volumes.
pub(super) struct Code {
    decoder: ReedSolomonDecoder,
    /// Present only if parity volumes are wanted, because it needs as much memory as the decoder.
    encoder: Option<ReedSolomonEncoder>,
    data_count: usize,
    parity_count: usize,
    /// Whether data volumes are wanted.
    data_wanted: bool,
}

impl Code {
    pub fn new(header: &Header, lost: &[(Kind, u32)]) -> Result<Self, VolumeError> {
        let (data_count, parity_count) = (header.data_count as usize, header.parity_count as usize);
        let decoder = ReedSolomonDecoder::new(data_count, parity_count, STRIPE_BYTES).map_err(code)?;
        let wanted = |wanted| lost.iter().any(|(kind, _)| *kind == wanted);
        let encoder = wanted(Kind::Parity).then(|| ReedSolomonEncoder::new(data_count, parity_count, STRIPE_BYTES));
        let encoder = encoder.transpose().map_err(code)?;
        Ok(Self { decoder, encoder, data_count, parity_count, data_wanted: wanted(Kind::Data) })
    }

    /// The `length` bytes at `offset` of lost volumes, computed from `good`: all other volumes, or enough of them.
    pub fn stripe<'v>(
        &mut self,
        good: impl IntoIterator<Item = &'v Volume>,
        offset: u64,
        length: usize,
    ) -> Result<Stripe, VolumeError> {
        let mut stripe = Stripe { data: vec![Vec::new(); self.data_count], parity: Vec::new() };
        self.decoder.reset(self.data_count, self.parity_count, length).map_err(code)?;
        let mut piece = vec![0; length];
        for volume in good {
            let payload_bytes = volume.header.payload_bytes();
            read_piece(|buffer, offset| volume.read_exact_at(buffer, offset), payload_bytes, offset, &mut piece)?;
            let index = volume.header.number as usize - 1;
            match volume.header.kind {
                Kind::Data => {
                    self.decoder.add_original_shard(index, &piece).map_err(code)?;
                    if self.encoder.is_some() {
                        stripe.data[index].clone_from(&piece);
                    }
                }
                Kind::Parity => self.decoder.add_recovery_shard(index, &piece).map_err(code)?,
            }
        }
        if self.data_wanted {
            let decoded = self.decoder.decode().map_err(code)?;
            for (index, shard) in decoded.restored_original_iter() {
                stripe.data[index] = shard.to_vec();
            }
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.reset(self.data_count, self.parity_count, length).map_err(code)?;
            stripe.data.iter().try_for_each(|shard| encoder.add_original_shard(shard)).map_err(code)?;
            stripe.parity = encoder.encode().map_err(code)?.recovery_iter().map(<[u8]>::to_vec).collect();
        }
        Ok(stripe)
    }
}
