//! The files of a folder, or of a tar archive after its headers were read. Only regular files inside of it are ever opened.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use kbundle_format::limits::MAX_ENTRY_BYTES;
use kbundle_format::oci::MAX_DOCUMENT_BYTES;
use tar::{EntryType, PaxExtensions};

use super::Fault;

/// Most headers in an archive. An image has at most a few hundred files.
const MAX_HEADERS: usize = 100_000;
/// Most bytes of an extension header, which describes the next header.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// Files by name.
pub(super) enum Members {
    /// A folder.
    Folder(PathBuf),
    /// A tar archive.
    Archive {
        /// The archive.
        path: PathBuf,
        /// The places of its files in the archive.
        places: BTreeMap<String, Place>,
    },
}

/// What a name in an archive refers to.
pub(super) enum Place {
    /// Content.
    File { offset: u64, size: u64 },
    /// Another name, inside of the archive.
    Link(String),
}

impl Members {
    /// Opens the folder or archive at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if !kind.is_file() {
            return Err(Fault::Refused("it is neither a folder nor a regular file".to_owned()));
        }
        let mut file = fs::File::open(path)?;
        let mut start = Vec::new();
        (&mut file).take(4).read_to_end(&mut start)?;
        if let [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] = start[..] {
            return Err(Fault::Refused(
                "the archive is compressed; decompress it with `gunzip` or `zstd -d` first".to_owned(),
            ));
        }
        file.rewind()?;
        Ok(Self::Archive { path: path.to_owned(), places: places(file)? })
    }

    /// Whether it is a folder.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// The size of the file `name`; `None` if there is none.
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        match self {
            Self::Folder(folder) => Ok(in_folder(folder, name)?.map(|(_, size)| size)),
            Self::Archive { places, .. } => Ok(in_archive(places, name)?.map(|(_, size)| size)),
        }
    }

    /// The content of the file `name`.
    pub(super) fn reader(&self, name: &str) -> Result<Box<dyn Read>, Fault> {
        let missing = || Fault::Refused(format!("it lacks {name}"));
        match self {
            Self::Folder(folder) => {
                let (path, _) = in_folder(folder, name)?.ok_or_else(missing)?;
                Ok(Box::new(fs::File::open(path)?))
            }
            Self::Archive { path, places } => {
                let (offset, size) = in_archive(places, name)?.ok_or_else(missing)?;
                let mut file = fs::File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file.take(size)))
            }
        }
    }

    /// The content of the document `name`, which is kept in memory.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let mut content = Vec::new();
        self.reader(name)?.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(Fault::Refused(format!("{name} is larger than {} MiB", MAX_DOCUMENT_BYTES >> 20)));
        }
        Ok(content)
    }
}

/// The regular file `name` of a folder. No part of the name may be a link: it could lead anywhere.
fn in_folder(folder: &Path, name: &str) -> Result<Option<(PathBuf, u64)>, Fault> {
    let name = plain(name)?;
    let mut path = folder.to_owned();
    let parts: Vec<_> = name.split('/').collect();
    for (number, part) in (1..).zip(&parts) {
        path.push(part);
        let kind = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            kind => kind?,
        };
        if number == parts.len() && kind.is_file() {
            return Ok(Some((path, kind.len())));
        }
        if !kind.is_dir() || number == parts.len() {
            return Err(Fault::Refused(format!("{name} is not a regular file, or lies behind a link")));
        }
    }
    Ok(None)
}

/// Offset and size of the file `name` of an archive. A link leads to a file, and not to a link: a chain may have no end.
fn in_archive(places: &BTreeMap<String, Place>, name: &str) -> Result<Option<(u64, u64)>, Fault> {
    let at = |name: &str| places.get(name);
    match at(&plain(name)?) {
        None => Ok(None),
        Some(Place::File { offset, size }) => Ok(Some((*offset, *size))),
        Some(Place::Link(target)) => match at(target) {
            Some(Place::File { offset, size }) => Ok(Some((*offset, *size))),
            _ => Err(Fault::Refused(format!("{name} is a link to {target}, which is not a file of the archive"))),
        },
    }
}

/// Reads all headers of an archive. Extensions are read here, and not by the library, which has no bound for them.
fn places(file: fs::File) -> Result<BTreeMap<String, Place>, Fault> {
    let no_archive = |error: io::Error| Fault::Refused(format!("it is not a tar archive: {error}"));
    let length = file.metadata()?.len();
    let mut places = BTreeMap::new();
    let mut archive = tar::Archive::new(file.into_file());
    let mut next = Extension::default();
    for (number, entry) in archive.entries_with_seek().map_err(no_archive)?.raw(true).enumerate() {
        let mut entry = entry.map_err(no_archive)?;
        if number == MAX_HEADERS {
            return Err(Fault::Refused(format!("the archive has more than {MAX_HEADERS} headers")));
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                next.read(kind, &mut entry)?;
                continue;
            }
            EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let extension = std::mem::take(&mut next);
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Refused("a name is not UTF-8".to_owned()))
        };
        let name = extension.path.map_or_else(|| text(&entry.path_bytes()), Ok)?;
        let place = match kind {
            EntryType::Directory => continue,
            EntryType::Regular | EntryType::Continuous => {
                let (offset, size) = (entry.raw_file_position(), entry.header().entry_size().map_err(no_archive)?);
                if size > MAX_ENTRY_BYTES || offset.saturating_add(size) > length {
                    return Err(Fault::Refused(format!(
                        "{name} is larger than the archive, or than a bundle may carry"
                    )));
                }
                Place::File { offset, size }
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = extension.link.map_or_else(|| text(&target), Ok)?;
                let base = if kind == EntryType::Symlink { Path::new(&name).parent() } else { None };
                Place::Link(plain_path(&base.unwrap_or(Path::new("")).join(target))?)
            }
            _ => return Err(Fault::Refused(format!("{name} is not a file, folder or link"))),
        };
        let name = plain(&name)?;
        if places.insert(name.clone(), place).is_some() {
            return Err(Fault::Refused(format!("the archive has {name} twice")));
        }
    }
    Ok(places)
}

/// What an extension header says about the next header.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
}

impl Extension {
    fn read(&mut self, kind: EntryType, content: &mut impl Read) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        content.take(MAX_EXTENSION_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_EXTENSION_BYTES {
            return Err(Fault::Refused("a header of the archive is larger than 1 MiB".to_owned()));
        }
        let text = |bytes: &[u8]| -> Result<Option<String>, Fault> {
            let text = std::str::from_utf8(bytes).map_err(|_| Fault::Refused("a name is not UTF-8".to_owned()))?;
            Ok(Some(text.trim_end_matches('\0').to_owned()))
        };
        match kind {
            EntryType::GNULongName => self.path = text(&bytes)?,
            EntryType::GNULongLink => self.link = text(&bytes)?,
            _ => {
                for pair in PaxExtensions::new(&bytes) {
                    let pair = pair?;
                    match pair.key_bytes() {
                        b"path" => self.path = text(pair.value_bytes())?,
                        b"linkpath" => self.link = text(pair.value_bytes())?,
                        // It would hide where the next header begins, or the real length of the content.
                        key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                            return Err(Fault::Refused("the archive has sparse files, or files over 8 GiB".to_owned()));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn plain(name: &str) -> Result<String, Fault> {
    let path = Path::new(name);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(leads_out(path));
    }
    plain_path(path)
}

/// The path without `.` and `..`, which must not lead out of the archive.
fn plain_path(path: &Path) -> Result<String, Fault> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir if parts.pop().is_some() => {}
            _ => return Err(leads_out(path)),
        }
    }
    if parts.is_empty() { Err(leads_out(path)) } else { Ok(parts.join("/")) }
}

fn leads_out(path: &Path) -> Fault {
    Fault::Refused(format!("`{}` leads out of the image", path.display()))
}
