//! One pass over the files of a layer or an archive: what they say of packages, and which paths they cover.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Seek as _, Write};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType, PaxExtensions};
use tempfile::SpooledTempFile;

use crate::file_class::FileClass;
use crate::limits::{
    MAX_COPYRIGHT_BYTES, MAX_JAR_BYTES, MAX_LAYER_BYTES, MAX_LAYER_FILES, MAX_PROGRAM_BYTES, MAX_RPM_BYTES,
    MAX_TAR_NAME_BYTES, MAX_TEXT_BYTES, SPOOL_BYTES,
};
use crate::package::Finding;
use crate::read;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What is in one layer, or in an archive, or in a single program.
#[derive(Debug, Default)]
pub struct Layer {
    /// What its files say, by path.
    pub found: BTreeMap<String, Finding>,
    /// Why not all of it was read.
    pub cut_short: Option<String>,
    /// Paths that hide the same path, and all below it, in lower layers: files, and what a whiteout names.
    covered: HashSet<PathKey>,
    /// Folders that hide all below them in lower layers.
    opaque: HashSet<PathKey>,
}

/// A path, in 16 bytes however long it is.
type PathKey = [u8; 16];

fn key(path: &str) -> PathKey {
    let hash: [u8; 32] = Sha256::digest(path.as_bytes()).into();
    *hash.first_chunk().expect("a hash of 32 bytes")
}

impl Layer {
    /// Reads a layer or an archive: a tar, plain or compressed by gzip or zstd. What it cannot read to its end says so.
    ///
    /// All that `content` gives is read, even behind the archive's end, so that whoever hashes it sees all of it.
    ///
    /// # Errors
    /// Those of `content` and of temporary files.
    pub fn read(content: &mut dyn Read) -> io::Result<Self> {
        let mut layer = Self::default();
        match layer.read_compressed(content) {
            Err(error) if is_of_the_spool(&error) => return Err(error),
            Err(error) => layer.cut_short = Some(error.to_string()),
            Ok(()) => {}
        }
        io::copy(content, &mut io::sink())?;
        Ok(layer)
    }

    /// Reads a single program that is called `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn program(path: &str, content: &mut dyn Read) -> io::Result<Self> {
        let mut layer = Self::default();
        let finding = program(content);
        layer.found.extend(finding?.map(|finding| (path.to_owned(), finding)));
        io::copy(content, &mut io::sink())?;
        Ok(layer)
    }

    fn read_compressed(&mut self, content: &mut dyn Read) -> io::Result<()> {
        let mut first = [0; 4];
        let length = read_up_to(content, &mut first)?;
        let whole = (&first[..length]).chain(content);
        if first.starts_with(GZIP_MAGIC) {
            self.read_tar(MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, whole)))
        } else if first.starts_with(ZSTD_MAGIC) {
            self.read_tar(zstd::Decoder::new(whole)?)
        } else {
            self.read_tar(whole)
        }
    }

    fn read_tar(&mut self, tar: impl Read) -> io::Result<()> {
        let mut archive = Archive::new(tar.take(MAX_LAYER_BYTES));
        let mut long = LongName::default();
        // Raw, since the crate puts long names into memory however long they are.
        for (count, entry) in archive.entries()?.raw(true).enumerate() {
            if count == MAX_LAYER_FILES {
                return Err(io::Error::other(format!("it has more than {MAX_LAYER_FILES} files")));
            }
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if long.takes(kind, &mut entry)? {
                continue;
            }
            let path = long.path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let Some(path) = plain_path(&String::from_utf8_lossy(&path)) else { continue };
            if kind.is_dir() || self.is_whiteout(&path) {
                continue;
            }
            self.covered.insert(key(&path));
            // The last of two files of one name is the one that is there.
            self.found.remove(&path);
            if matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) {
                let size = entry.size();
                if let Some(finding) = file(&path, size, &mut entry)? {
                    self.found.insert(path, finding);
                }
            }
        }
        Ok(())
    }

    /// Takes note of a file that only says what is gone.
    fn is_whiteout(&mut self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name == ".wh..wh..opq" {
            self.opaque.insert(key(folder));
            return true;
        }
        let Some(removed) = name.strip_prefix(".wh.") else { return false };
        let removed = if folder.is_empty() { removed.to_owned() } else { format!("{folder}/{removed}") };
        self.covered.insert(key(&removed));
        true
    }

    /// Whether a file at `path` of a lower layer cannot be seen through this one.
    #[must_use]
    pub fn hides(&self, path: &str) -> bool {
        if self.covered.contains(&key(path)) {
            return true;
        }
        let mut folder = path;
        while let Some((above, _)) = folder.rsplit_once('/') {
            folder = above;
            let key = key(folder);
            if self.covered.contains(&key) || self.opaque.contains(&key) {
                return true;
            }
        }
        self.opaque.contains(&key(""))
    }
}

/// The name of the next file, where its header has no room for it.
///
/// Source: "pax Header Block" of POSIX, and "GNU tar Archive Format".
#[derive(Default)]
struct LongName {
    path: Option<Vec<u8>>,
}

impl LongName {
    /// Whether an entry of this kind says something about the next one, which then is taken note of.
    fn takes(&mut self, kind: EntryType, entry: &mut dyn Read) -> io::Result<bool> {
        match kind {
            EntryType::GNULongName => {
                let mut path = bounded(entry)?;
                path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                self.path = Some(path);
            }
            EntryType::XHeader => {
                let header = bounded(entry)?;
                for field in PaxExtensions::new(&header) {
                    let field = field?;
                    match field.key_bytes() {
                        b"path" => self.path = Some(field.value_bytes().to_owned()),
                        // A smaller one stands in the header of the file as well.
                        b"size"
                            if field
                                .value()
                                .ok()
                                .and_then(|size| size.parse().ok())
                                .is_none_or(|size: u64| size >= 8 << 30) =>
                        {
                            return Err(io::Error::other("it has a file of 8 GiB or more"));
                        }
                        _ => {}
                    }
                }
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
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

/// The path without what does not count; `None` for the root, and for paths that lead out of it.
fn plain_path(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// What a file says.
fn file(path: &str, size: u64, content: &mut dyn Read) -> io::Result<Option<Finding>> {
    let text = |content: &mut dyn Read, most: u64, of: &dyn Fn(&str) -> Option<Finding>| {
        bytes(content, size, most, &|bytes| of(&String::from_utf8_lossy(bytes)))
    };
    match FileClass::of(path) {
        FileClass::DpkgStatus => text(content, MAX_TEXT_BYTES, &|text| Some(read::dpkg::status(text))),
        FileClass::Copyright(package) => {
            text(content, MAX_COPYRIGHT_BYTES, &|text| Some(read::dpkg::copyright(package, text)))
        }
        FileClass::ApkInstalled => text(content, MAX_TEXT_BYTES, &|text| Some(read::apk::installed(text))),
        FileClass::OsRelease => text(content, MAX_TEXT_BYTES, &read::os_release),
        FileClass::PythonMetadata => text(content, MAX_TEXT_BYTES, &read::python_metadata),
        FileClass::PackageJson => bytes(content, size, MAX_TEXT_BYTES, &read::package_json),
        FileClass::RpmSqlite if size > MAX_RPM_BYTES => Ok(Some(too_large(size, MAX_RPM_BYTES))),
        FileClass::RpmSqlite => {
            let size = usize::try_from(size).map_err(io::Error::other)?;
            Ok(Some(read::rpm_sqlite(content, size)))
        }
        FileClass::RpmOther(_) if size == 0 => Ok(None),
        FileClass::RpmOther(form) => {
            Ok(Some(Finding::NotRead(format!("rpm's database is in a form that is not read ({form})"))))
        }
        FileClass::JavaArchive if size > MAX_JAR_BYTES => Ok(Some(too_large(size, MAX_JAR_BYTES))),
        FileClass::JavaArchive => Ok(Some(read::java_archive(path, spooled(content)?))),
        FileClass::Other => program(content),
    }
}

/// The packages of a program, if `content` is one.
fn program(content: &mut dyn Read) -> io::Result<Option<Finding>> {
    let mut first = [0; 4];
    let length = read_up_to(content, &mut first)?;
    if length < first.len() || first != read::ELF_MAGIC {
        return Ok(None);
    }
    let mut whole = first.chain(content).take(MAX_PROGRAM_BYTES + 1);
    let spooled = spooled(&mut whole)?;
    if whole.limit() == 0 {
        return Ok(Some(too_large(MAX_PROGRAM_BYTES + 1, MAX_PROGRAM_BYTES)));
    }
    Ok(read::program(spooled))
}

fn bytes(
    content: &mut dyn Read,
    size: u64,
    most: u64,
    of: &dyn Fn(&[u8]) -> Option<Finding>,
) -> io::Result<Option<Finding>> {
    if size > most {
        return Ok(Some(too_large(size, most)));
    }
    let mut bytes = Vec::new();
    content.take(most).read_to_end(&mut bytes)?;
    Ok(of(&bytes))
}

fn too_large(size: u64, most: u64) -> Finding {
    Finding::NotRead(format!("it has {size} bytes, at most {most} are read"))
}

/// A temporary file cannot be written. That is not a property of what is read.
#[derive(Debug, thiserror::Error)]
#[error("cannot write a temporary file")]
struct SpoolError(#[source] io::Error);

/// Writes to a temporary file, whose errors can be told from those of what is read.
struct Spool(SpooledTempFile);

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| io::Error::other(SpoolError(error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| io::Error::other(SpoolError(error)))
    }
}

fn is_of_the_spool(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<SpoolError>()).is_some()
}

fn spooled(content: &mut dyn Read) -> io::Result<SpooledTempFile> {
    let mut spool = Spool(SpooledTempFile::new(SPOOL_BYTES));
    io::copy(content, &mut spool)?;
    spool.0.rewind()?;
    Ok(spool.0)
}

fn read_up_to(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match content.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
