//! The header of a volume: 256 bytes of fixed layout, all numbers little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `KBVOLUME` |
//! | 8 | 2 | version: 1 |
//! | 10 | 2 | kind: 0 data, 1 parity |
//! | 12 | 4 | number, from 1 in its kind |
//! | 16 | 4 | count of data volumes |
//! | 20 | 4 | count of parity volumes |
//! | 24 | 8 | bytes of the bundle |
//! | 32 | 8 | payload bytes of every data volume but the last, and of every parity volume |
//! | 40 | 32 | SHA-256 of the bundle file: its identity |
//! | 72 | 32 | SHA-256 of this volume's payload |
//! | 104 | 120 | zero |
//! | 224 | 32 | SHA-256 of the 224 bytes before |

use std::io::{self, Read};
use std::path::Path;

use fs_err as fs;

use crate::Digest;

/// Size of a header; the payload follows.
pub const HEADER_BYTES: usize = 256;
const MAGIC: &[u8; 8] = b"KBVOLUME";
const VERSION: u16 = 1;
const DIGESTED: usize = 224;
/// Most volumes of a bundle, parity included: what the Reed-Solomon code takes, and names of three digits.
pub const MAX_VOLUMES: u32 = 999;

/// Whether a volume is part of the bundle or replaces others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A piece of the bundle.
    Data,
    /// Reed-Solomon parity over all pieces.
    Parity,
}

/// The header of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Data or parity.
    pub kind: Kind,
    /// Its number within its kind, from 1.
    pub number: u32,
    /// Number of all data volumes.
    pub data_count: u32,
    /// Number of all parity volumes.
    pub parity_count: u32,
    /// Bytes of the whole bundle.
    pub bundle_bytes: u64,
    /// Payload bytes of every volume but the last of data.
    pub volume_bytes: u64,
    /// Digest of the whole bundle.
    pub identity: Digest,
    /// Digest of this payload.
    pub payload: Digest,
}

impl Header {
    /// The 256 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.data_count.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.parity_count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.bundle_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.volume_bytes.to_le_bytes());
        bytes[40..72].copy_from_slice(self.identity.as_bytes());
        bytes[72..104].copy_from_slice(self.payload.as_bytes());
        let digest = Digest::of(&bytes[..DIGESTED]);
        bytes[DIGESTED..].copy_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads a header; `None` if it is damaged, of another version, or impossible.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let digest = |at: usize| Digest::from_bytes(bytes[at..at + 32].try_into().expect("32 bytes"));
        let kind = match bytes[10..12] {
            [0, 0] => Kind::Data,
            [1, 0] => Kind::Parity,
            _ => return None,
        };
        let header = Self {
            kind,
            number: word(12),
            data_count: word(16),
            parity_count: word(20),
            bundle_bytes: long(24),
            volume_bytes: long(32),
            identity: digest(40),
            payload: digest(72),
        };
        // Writing it again checks magic, version, the empty part and the digest at once.
        (header.to_bytes() == *bytes && header.is_possible()).then_some(header)
    }

    fn is_possible(&self) -> bool {
        let of_kind = match self.kind {
            Kind::Data => self.data_count,
            Kind::Parity => self.parity_count,
        };
        self.volume_bytes > 0
            && self.bundle_bytes.div_ceil(self.volume_bytes) == u64::from(self.data_count)
            && self.data_count.saturating_add(self.parity_count) <= MAX_VOLUMES
            && (1..=of_kind).contains(&self.number)
    }

    /// Bytes of payload that follow this header.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        match self.kind {
            Kind::Data if self.number == self.data_count => {
                self.bundle_bytes - u64::from(self.data_count - 1) * self.volume_bytes
            }
            _ => self.volume_bytes,
        }
    }

    /// Whether `other` is a volume of the same bundle that was split in the same way.
    #[must_use]
    pub fn is_kin(&self, other: &Self) -> bool {
        let cut = |header: &Self| (header.identity, header.bundle_bytes, header.volume_bytes, header.parity_count);
        cut(self) == cut(other)
    }
}

/// Whether the file at `path` begins as a volume does.
pub fn is_volume(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    Ok(magic == MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Data,
            number: 3,
            data_count: 3,
            parity_count: 1,
            bundle_bytes: 2500,
            volume_bytes: 1000,
            identity: Digest::of(b"bundle"),
            payload: Digest::of(b"payload"),
        }
    }

    #[test]
    fn headers_come_back_and_know_their_payload() {
        assert_eq!(Header::parse(&header().to_bytes()), Some(header()));
        assert_eq!(header().payload_bytes(), 500);
        assert_eq!(Header { number: 1, ..header() }.payload_bytes(), 1000);
        assert_eq!(Header { kind: Kind::Parity, number: 1, ..header() }.payload_bytes(), 1000);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for index in 0..HEADER_BYTES {
            let mut bytes = header().to_bytes();
            bytes[index] ^= 1;
            assert_eq!(Header::parse(&bytes), None, "byte {index}");
        }
    }

    #[test]
    fn impossible_headers_are_refused() {
        for bad in [
            Header { number: 0, ..header() },
            Header { number: 4, ..header() },
            Header { data_count: 2, ..header() },
            Header { volume_bytes: 0, ..header() },
            Header { kind: Kind::Parity, number: 2, ..header() },
            Header { parity_count: u32::MAX, ..header() },
        ] {
            assert_eq!(Header::parse(&bad.to_bytes()), None, "{bad:?}");
        }
    }
}
