//! The tar inside the frames. There is exactly one header for a given path, size and mode, and a reader accepts no other.
//!
//! So links, devices, owners, times and extensions need not be parsed and judged; they cannot occur. Source: POSIX.1-2017, `pax`, "ustar
//! Interchange Format".

use tar::{EntryType, Header};

use crate::limits::MAX_ENTRY_BYTES;
use crate::list::{Entry, EntryKind};
use crate::{EntryPath, SignatureFile};

/// Size of a header; content is padded to multiples of it.
pub const BLOCK_BYTES: usize = 512;
/// Two empty blocks end the archive.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// A header block.
pub type Block = [u8; BLOCK_BYTES];

/// The content of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarHeader {
    /// The path of the content.
    pub path: EntryPath,
    /// Bytes of content, without padding.
    pub size: u64,
    mode: u32,
}

/// Why a block is not a header in this format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The name is not allowed in a bundle.
    #[error("the archive holds an entry named `{name}`, which no bundle may hold")]
    Name {
        /// The name, bytes that are not UTF-8 replaced.
        name: String,
    },
    /// The name is allowed, but the rest does not match a bundle's header.
    #[error("the header of {path} is not a bundle's: {reason}")]
    Foreign {
        /// The entry.
        path: EntryPath,
        /// What is wrong.
        reason: &'static str,
    },
    /// A header whose own checksum is wrong, so that it is damaged.
    #[error("the tar header is damaged: its checksum is wrong")]
    Checksum,
    /// It is not a tar header.
    #[error("a tar header is missing")]
    NotAHeader,
}

impl TarHeader {
    /// The header of a listed entry. Programs are executable, so that `tar` alone unpacks something usable.
    #[must_use]
    pub fn of_entry(entry: &Entry) -> Self {
        let mode = if entry.kind == EntryKind::Binary { 0o755 } else { 0o644 };
        Self { path: entry.path.clone(), size: entry.size, mode }
    }

    /// The header of one of the format's own files: the list, a signature, an attestation.
    #[must_use]
    pub fn of_file(path: EntryPath, size: u64) -> Self {
        Self { path, size, mode: 0o644 }
    }

    /// The header of a signature file, or `None` if its name is not allowed.
    #[must_use]
    pub fn of_signature(file: &SignatureFile) -> Option<Self> {
        let path = file.name.parse().ok()?;
        Some(Self::of_file(path, file.content.len() as u64))
    }

    /// The permission bits.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// The only block for this header.
    #[must_use]
    pub fn to_block(&self) -> Block {
        let mut header = Header::new_ustar();
        header.set_path(self.path.as_str()).expect("an entry path fits the name field");
        header.set_entry_type(EntryType::Regular);
        header.set_size(self.size);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        *header.as_bytes()
    }

    /// Reads a block; `None` for the empty block that begins the archive's end.
    pub fn parse(block: &Block) -> Result<Option<Self>, TarError> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(block);
        if !has_checksum(block) {
            return Err(TarError::Checksum);
        }
        if header.as_ustar().is_none() {
            return Err(TarError::NotAHeader);
        }
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let path: EntryPath = name.parse().map_err(|_| TarError::Name { name })?;
        let foreign = |reason| TarError::Foreign { path: path.clone(), reason };
        match header.entry_type() {
            EntryType::Regular => {}
            EntryType::Symlink => return Err(foreign("it is a symbolic link")),
            EntryType::Link => return Err(foreign("it is a hard link")),
            EntryType::Directory => return Err(foreign("it is a directory")),
            EntryType::Char | EntryType::Block => return Err(foreign("it is a device")),
            EntryType::Fifo => return Err(foreign("it is a FIFO")),
            _ => return Err(foreign("it is neither a file nor anything else a bundle has")),
        }
        let size = header.entry_size().ok().filter(|&size| size <= MAX_ENTRY_BYTES);
        let size = size.ok_or_else(|| foreign("its size is out of bounds"))?;
        let mode = if header.mode().is_ok_and(|mode| mode & 0o111 != 0) { 0o755 } else { 0o644 };
        let parsed = Self { path: path.clone(), size, mode };
        if parsed.to_block() == *block { Ok(Some(parsed)) } else { Err(foreign("it sets owner, time or other fields")) }
    }

    /// Bytes of padding after the content.
    #[must_use]
    pub fn padding(&self) -> usize {
        let over = usize::try_from(self.size % BLOCK_BYTES as u64).expect("less than a block");
        if over == 0 { 0 } else { BLOCK_BYTES - over }
    }
}

/// Whether a block's checksum is the sum of its bytes, with spaces in place of the checksum.
pub(crate) fn has_checksum(block: &Block) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let sum: u32 =
        block.iter().enumerate().map(|(at, &byte)| u32::from(if FIELD.contains(&at) { b' ' } else { byte })).sum();
    Header::from_byte_slice(block).cksum().is_ok_and(|stated| stated == sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> TarHeader {
        TarHeader::of_file("artifacts/linux-amd64/kubelet".parse().unwrap(), 1000)
    }

    fn refusal(change: impl FnOnce(&mut Header)) -> String {
        let mut foreign = Header::from_byte_slice(&header().to_block()).clone();
        change(&mut foreign);
        foreign.set_cksum();
        TarHeader::parse(foreign.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn headers_come_back() {
        assert_eq!(TarHeader::parse(&header().to_block()).unwrap(), Some(header()));
        assert_eq!(TarHeader::parse(&[0; BLOCK_BYTES]).unwrap(), None);
        assert_eq!(header().padding(), 24);
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for (kind, word) in [
            (EntryType::Symlink, "symbolic link"),
            (EntryType::Link, "hard link"),
            (EntryType::Char, "device"),
            (EntryType::Block, "device"),
            (EntryType::Fifo, "FIFO"),
            (EntryType::Directory, "directory"),
            (EntryType::XHeader, "neither"),
            (EntryType::GNULongName, "neither"),
            (EntryType::GNUSparse, "neither"),
        ] {
            let error = refusal(|header| header.set_entry_type(kind));
            assert!(error.contains(word), "{kind:?}: {error}");
        }
    }

    #[test]
    fn other_fields_are_refused() {
        assert!(refusal(|header| header.set_mtime(1)).contains("owner, time or other"));
        assert!(refusal(|header| header.set_uid(1000)).contains("owner, time or other"));
        assert!(refusal(|header| header.set_mode(0o4755)).contains("owner, time or other"));
        assert!(refusal(|header| header.set_size(MAX_ENTRY_BYTES + 1)).contains("size is out of bounds"));
    }

    #[test]
    fn a_flipped_bit_is_damage_and_no_forgery() {
        for bit in 0..BLOCK_BYTES * 8 {
            let mut block = header().to_block();
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(TarHeader::parse(&block), Err(TarError::Checksum | TarError::Foreign { .. })),
                "bit {bit}"
            );
            // The checksum can be written in several ways.
            let spelled = (148..156).contains(&(bit / 8));
            assert!(spelled || matches!(TarHeader::parse(&block), Err(TarError::Checksum)), "bit {bit}");
        }
    }

    #[test]
    fn escaping_names_are_refused() {
        for name in ["/etc/passwd", "../x", "a/../b"] {
            let error = refusal(|header| {
                let field = &mut header.as_ustar_mut().unwrap().name;
                field.fill(0);
                field[..name.len()].copy_from_slice(name.as_bytes());
            });
            assert!(error.contains("no bundle may hold"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_an_error_and_no_panic(noise in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            let mut block: Block = noise.try_into().unwrap();
            prop_assert!(TarHeader::parse(&block).is_err());
            block[257..265].copy_from_slice(b"ustar\x0000");
            prop_assert!(TarHeader::parse(&block).is_err());
        }
    }
}
