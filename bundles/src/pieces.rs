//! Decodes frames piece by piece, for callers that process each piece before the next.

use std::io;

use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::DParameter;

use crate::frame::MAX_WINDOW_LOG;

/// Decodes so that each piece can be hashed while it is still in the processor's cache.
pub(crate) struct PieceDecoder(Decoder<'static>);

impl PieceDecoder {
    pub fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        // Content is decoded directly to its final place, without a copy from a window of zstd's own.
        decoder.set_parameter(DParameter::StableOutBuffer(true))?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(Self(decoder))
    }

    /// Prepares for another frame, even if the previous one was not finished.
    pub fn begin(&mut self) -> io::Result<()> {
        self.0.reinit()
    }

    /// Decodes the frame's next bytes and appends them to `content`, which must have memory for the whole frame from the first piece on.
    /// Returns whether the frame ended exactly with the last byte of `piece`.
    ///
    /// # Errors
    /// zstd's error, or an error when the frame ended before the last byte.
    pub fn decode(&mut self, piece: &[u8], content: &mut Vec<u8>) -> io::Result<bool> {
        let mut input = InBuffer::around(piece);
        loop {
            let position = content.len();
            let left = self.0.run(&mut input, &mut OutBuffer::around_pos(content, position))?;
            let ended = left == 0;
            if input.pos() == piece.len() {
                return Ok(ended);
            }
            if ended {
                return Err(io::Error::other("it ends before its last byte"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::compressor;

    /// Decodes `bytes` by the piece; the content, and whether the frame ended with the last byte.
    fn by_pieces(bytes: &[u8], piece_bytes: usize, room: usize) -> io::Result<(Vec<u8>, bool)> {
        let (mut decoder, mut content, mut ended) = (PieceDecoder::new()?, Vec::with_capacity(room), false);
        decoder.begin()?;
        for piece in bytes.chunks(piece_bytes) {
            ended = decoder.decode(piece, &mut content)?;
        }
        Ok((content, ended))
    }

    #[test]
    fn pieces_of_any_size_give_the_same_content() {
        let content: Vec<u8> =
            (0..300_000_u32).flat_map(|number| (number / 3).wrapping_mul(97).to_le_bytes()).collect();
        let bytes = compressor(3).unwrap().compress(&content).unwrap();
        for piece_bytes in [1, 7, 4096, bytes.len() - 1, bytes.len()] {
            let (decoded, ended) = by_pieces(&bytes, piece_bytes, content.len()).unwrap();
            assert!(decoded == content && ended, "{piece_bytes}");
            let (_, ended) = by_pieces(&bytes[..bytes.len() - 1], piece_bytes, content.len()).unwrap();
            assert!(!ended, "{piece_bytes}");
        }
        let longer = [bytes.as_slice(), b"more"].concat();
        assert!(by_pieces(&longer, longer.len(), content.len()).is_err());
        assert!(by_pieces(&bytes, 4096, content.len() - 1).is_err());
    }
}
