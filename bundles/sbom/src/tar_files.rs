//! The files of a layer or an archive: a tar, plain or compressed by gzip or zstd.
//!
//! Source: "ustar Interchange Format" and "pax Header Block" of POSIX, and "GNU tar Archive Format".

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType, PaxExtensions};

use crate::limits::{MAX_LAYER_BYTES, MAX_LAYER_FILES, MAX_TAR_NAME_BYTES};

/// The first bytes of gzip.
pub const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A file of a tar.
pub struct TarFile<'a> {
    /// The path without redundant parts such as `./`.
    pub path: String,
    /// A regular file, a folder, a link and so on.
    pub kind: EntryType,
    /// The permissions; `None` where they cannot be read.
    pub mode: Option<u32>,
    /// Whether it gives its process capabilities of the kernel.
    pub has_capabilities: bool,
    /// The size of the content.
    pub size_bytes: u64,
    /// The content; it need not be read.
    pub content: &'a mut dyn Read,
}

impl TarFile<'_> {
    /// Whether it has its own content.
    pub fn is_regular(&self) -> bool {
        matches!(self.kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse)
    }
}

/// Calls `visit` with every file, in order. Paths that lead out of the tar are left out.
///
/// # Errors
/// When the tar is broken or beyond a limit, or `visit` failed.
pub fn each(content: &mut dyn Read, visit: &mut dyn FnMut(TarFile<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut first = [0; 4];
    let length = read_up_to(content, &mut first)?;
    let whole = (&first[..length]).chain(content);
    if first.starts_with(GZIP_MAGIC) {
        of_tar(MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, whole)), visit)
    } else if first.starts_with(ZSTD_MAGIC) {
        of_tar(zstd::Decoder::new(whole)?, visit)
    } else {
        of_tar(whole, visit)
    }
}

fn of_tar(tar: impl Read, visit: &mut dyn FnMut(TarFile<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut archive = Archive::new(tar.take(MAX_LAYER_BYTES));
    let mut next = Extensions::default();
    // Raw headers, since the crate reads long names into memory without a limit.
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        if count == MAX_LAYER_FILES {
            return Err(io::Error::other(format!("it has more than {MAX_LAYER_FILES} files")));
        }
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if next.takes(kind, &mut entry)? {
            continue;
        }
        let Extensions { path, has_capabilities } = std::mem::take(&mut next);
        let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = plain_path(&String::from_utf8_lossy(&path)) else { continue };
        let (mode, size_bytes) = (entry.header().mode().ok(), entry.size());
        visit(TarFile { path, kind, mode, has_capabilities, size_bytes, content: &mut entry })?;
    }
    Ok(())
}

/// Extension headers before a file, with values that do not fit into its own header.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    has_capabilities: bool,
}

impl Extensions {
    /// Whether an entry of this kind is an extension header, which is then recorded.
    fn takes(&mut self, kind: EntryType, entry: &mut dyn Read) -> io::Result<bool> {
        match kind {
            EntryType::GNULongName => {
                let mut path = bounded(entry)?;
                path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                self.path = Some(path);
            }
            EntryType::XHeader => self.takes_pax(&bounded(entry)?)?,
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn takes_pax(&mut self, header: &[u8]) -> io::Result<()> {
        // A smaller size is in the file's own header as well.
        let is_small = |size: &str| size.parse().is_ok_and(|size: u64| size < 8 << 30);
        for field in PaxExtensions::new(header) {
            let field = field?;
            match field.key_bytes() {
                b"path" => self.path = Some(field.value_bytes().to_owned()),
                b"size" if !field.value().is_ok_and(is_small) => {
                    return Err(io::Error::other("it has a file of 8 GiB or more"));
                }
                b"SCHILY.xattr.security.capability" => self.has_capabilities = true,
                _ => {}
            }
        }
        Ok(())
    }
}

fn bounded(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(MAX_TAR_NAME_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TAR_NAME_BYTES {
        return Err(io::Error::other(format!("it has a file name beyond {MAX_TAR_NAME_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The path without redundant parts; `None` for the root, and for paths that lead out of it.
fn plain_path(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// Fills `buffer` with `content` as far as possible, and returns the number of bytes.
pub fn read_up_to(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match content.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
