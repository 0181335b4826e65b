//! Recognizes a file that somebody took for a bundle, by its first bytes.

use std::fmt;

use crate::frame::{self, FIRST_BLOCK_BYTES, MAGIC as ZSTD};
use crate::list::LIST_PATH;
use crate::tar_layer::{BLOCK_BYTES, Block, has_checksum};
use crate::volume::{HEADER_BYTES, Header, Kind};

/// The number of bytes that are needed from a file's beginning.
pub(crate) const FIRST_BYTES: usize = FIRST_BLOCK_BYTES as usize;
/// The largest window of another program's zstd file that is decoded: that of `zstd --long`.
const WINDOW_LOG: u32 = 27;

/// A kind of file that is not a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// The file has no bytes.
    Empty,
    /// Only zeros, as far as was read.
    Zeros,
    /// One volume of a bundle, but the whole bundle is needed.
    Volume(Header),
    /// A tar archive compressed with zstd by another program.
    TarZst {
        /// The name of its first file.
        first: String,
    },
    /// Another form of file.
    Named(&'static str),
}

/// The first bytes of files, with the kind of each.
const BEGINNINGS: [(&[u8], &str); 18] = [
    (
        b"age-encryption.org/",
        "an age file, which `--identity` or `--passphrase-file` opens where it is a sealed bundle",
    ),
    (b"\x1F\x8B", "a gzip file (such as a .tar.gz)"),
    (b"PK\x03\x04", "a zip file"),
    (b"PK\x05\x06", "an empty zip file"),
    (b"\xFD7zXZ\0", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip file"),
    (b"Rar!\x1A\x07", "a RAR file"),
    (b"\x04\x22\x4D\x18", "an LZ4 file"),
    (b"\x7FELF", "a program"),
    (b"-----BEGIN PUBLIC KEY-----", "a public key"),
    (b"-----BEGIN ", "a key or certificate in PEM"),
    (b"%PDF", "a PDF document"),
    (b"hsqs", "a SquashFS image"),
    (b"#!", "a script"),
    (b"version https://git-lfs", "a Git LFS pointer, without the file that it stands for"),
    (b"{", "JSON text"),
    (b"\xFF\xFE", "text in UTF-16"),
];

impl FileKind {
    /// The kind of the file that begins with `first`; `None` for a bundle, damaged or not, and for unknown files.
    ///
    /// `first` is the whole file if that is shorter than 128 KiB.
    ///
    /// ```
    /// use kbundle_format::file_kind::FileKind;
    ///
    /// let found = FileKind::other_than_bundle(b"<!DOCTYPE html><title>Sign in</title>").unwrap();
    /// assert_eq!(found.to_string(), "an HTML page (perhaps of a login or an error)");
    /// ```
    #[must_use]
    pub fn other_than_bundle(first: &[u8]) -> Option<Self> {
        if first.is_empty() {
            return Some(Self::Empty);
        }
        if first.iter().all(|&byte| byte == 0) {
            return Some(Self::Zeros);
        }
        if first.starts_with(&ZSTD) {
            return other_zstd(first);
        }
        if let Some(header) = first.first_chunk::<HEADER_BYTES>().and_then(Header::parse) {
            return Some(Self::Volume(header));
        }
        if first.first_chunk::<BLOCK_BYTES>().is_some_and(is_tar) {
            return Some(Self::Named("a tar archive that is not compressed"));
        }
        let text = first.trim_ascii_start();
        if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"<html"))
            || text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype"))
        {
            return Some(Self::Named("an HTML page (perhaps of a login or an error)"));
        }
        if text.starts_with(b"<") {
            return Some(Self::Named("XML or HTML text (perhaps an error of a server)"));
        }
        BEGINNINGS.iter().find(|(beginning, _)| first.starts_with(beginning)).map(|&(_, name)| Self::Named(name))
    }
}

/// Whether a block is an intact tar header.
fn is_tar(block: &Block) -> bool {
    block[257..].starts_with(b"ustar") && has_checksum(block)
}

/// A zstd file whose first content is not a bundle's list. A damaged list does not count as another file.
fn other_zstd(first: &[u8]) -> Option<FileKind> {
    let block = frame::first_block(first, WINDOW_LOG);
    if let Some(block) = block.filter(is_tar) {
        let end = block.iter().take(100).position(|&byte| byte == 0).unwrap_or(100);
        let name = String::from_utf8_lossy(&block[..end]).escape_debug().to_string();
        return (name != LIST_PATH).then_some(FileKind::TarZst { first: name });
    }
    // A bundle's frames state their size; frames that `zstd` makes from a pipe cannot.
    let streamed = first.get(4).is_some_and(|descriptor| descriptor & 0x3B == 0);
    (streamed && block.is_some()).then_some(FileKind::Named("a file compressed with zstd that is not an archive"))
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty file"),
            Self::Zeros => f.write_str("a file of zeros (as a copy leaves that was not finished)"),
            Self::Volume(Header { kind: Kind::Data, number, data_count, .. }) => {
                write!(f, "volume {number} of {data_count} of a bundle")
            }
            Self::Volume(Header { number, .. }) => write!(f, "parity volume {number} of a bundle"),
            Self::TarZst { first } => {
                write!(
                    f,
                    "a .tar.zst that another program made (it does not begin with {LIST_PATH}, but with `{first}`)"
                )
            }
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first: &[u8]) -> Option<String> {
        FileKind::other_than_bundle(first).map(|kind| kind.to_string())
    }

    fn tar_of(path: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_cksum();
        builder.append_data(&mut header, path, &b"abcd"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (&[0; 5000], "a file of zeros"),
            (b"\x1F\x8B\x08\0", "a gzip file"),
            (b"PK\x03\x04....", "a zip file"),
            (b"\r\n<HTML><head>", "an HTML page"),
            (b"<?xml version='1.0'?><Error>", "XML or HTML"),
            (b"-----BEGIN PUBLIC KEY-----\n", "a public key"),
            (b"{\"errors\":[]}", "JSON"),
            (&tar_of("a"), "a tar archive that is not compressed"),
        ] {
            let found = name(bytes).unwrap_or_default();
            assert!(found.contains(words), "{found} instead of {words}");
        }
    }

    #[test]
    fn an_archive_of_another_program_is_told_from_a_bundle() {
        let level = 3;
        let plain = |path| zstd::encode_all(&tar_of(path)[..], level).unwrap();
        let found = name(&plain("etc/x")).unwrap();
        assert!(found.contains("another program made") && found.contains("`etc/x`"), "{found}");
        assert_eq!(name(&plain("bundle.json")), None);
        let text = zstd::encode_all(&b"some text ".repeat(100)[..], level).unwrap();
        assert!(name(&text).unwrap().contains("not an archive"));
    }

    #[test]
    fn a_volume_says_which_it_is() {
        let digest = crate::Digest::of(b"bundle");
        let header = Header {
            kind: Kind::Data,
            number: 2,
            data_count: 3,
            parity_count: 1,
            bundle_bytes: 2500,
            volume_bytes: 1000,
            identity: digest,
            payload: digest,
        };
        assert_eq!(name(&header.to_bytes()).unwrap(), "volume 2 of 3 of a bundle");
        let parity = Header { kind: Kind::Parity, number: 1, ..header };
        assert_eq!(name(&parity.to_bytes()).unwrap(), "parity volume 1 of a bundle");
    }
}
