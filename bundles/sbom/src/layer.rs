//! One pass over the files of a layer or an archive: their facts about packages, and the paths that they cover.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Seek as _, Write};

use sha2::{Digest as _, Sha256};
use tempfile::SpooledTempFile;

use crate::file_class::FileClass;
use crate::limits::{
    MAX_COPYRIGHT_BYTES, MAX_JAR_BYTES, MAX_PROGRAM_BYTES, MAX_RPM_BYTES, MAX_TEXT_BYTES, SPOOL_BYTES,
};
use crate::package::Finding;
use crate::privileged::Privilege;
use crate::read;
use crate::tar_files::{self, TarFile, read_up_to};

/// The findings in one layer, in an archive, or in a single program.
#[derive(Debug, Default)]
pub struct Layer {
    /// The findings by path.
    pub found: BTreeMap<String, Finding>,
    /// Files that give their users more rights, by path.
    pub privileged: BTreeMap<String, Privilege>,
    /// The reason why not everything was read.
    pub cut_short: Option<String>,
    /// Paths that hide the same path, and everything below it, in lower layers: files, and names in whiteouts.
    covered: HashSet<PathKey>,
    /// Folders that hide everything below them in lower layers.
    opaque: HashSet<PathKey>,
}

/// A hash of a path, always 16 bytes.
type PathKey = [u8; 16];

fn key(path: &str) -> PathKey {
    let hash: [u8; 32] = Sha256::digest(path.as_bytes()).into();
    *hash.first_chunk().expect("a hash of 32 bytes")
}

impl Layer {
    /// Reads a layer or an archive: a tar, plain or compressed by gzip or zstd. If it cannot be read to its end, the result says so.
    ///
    /// All of `content` is read, even after the archive's end, so that a hash over it is complete.
    ///
    /// # Errors
    /// The errors of `content` and of temporary files.
    pub fn read(content: &mut dyn Read) -> io::Result<Self> {
        let mut layer = Self::default();
        match tar_files::each(content, &mut |file| layer.add(file)) {
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

    fn add(&mut self, mut file: TarFile<'_>) -> io::Result<()> {
        if file.kind.is_dir() || self.is_whiteout(&file.path) {
            return Ok(());
        }
        self.covered.insert(key(&file.path));
        // Of two files with the same name, the last one counts.
        self.found.remove(&file.path);
        self.privileged.remove(&file.path);
        if !file.is_regular() {
            return Ok(());
        }
        if let Some(privilege) = Privilege::of(&file) {
            self.privileged.insert(file.path.clone(), privilege);
        }
        if let Some(finding) = finding(&file.path, file.size_bytes, &mut file.content)? {
            self.found.insert(file.path, finding);
        }
        Ok(())
    }

    /// Records a whiteout: a file that only marks others as deleted.
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

    /// Whether this layer hides a file at `path` in a lower layer.
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

/// The findings in a file.
fn finding(path: &str, size: u64, content: &mut dyn Read) -> io::Result<Option<Finding>> {
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

/// The packages of a program, if `content` is a program.
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

/// A temporary file cannot be written. This is not a property of the content.
#[derive(Debug, thiserror::Error)]
#[error("cannot write a temporary file")]
struct SpoolError(#[source] io::Error);

/// Writes to a temporary file, and keeps its errors apart from those of the content.
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

#[cfg(test)]
mod tests;
