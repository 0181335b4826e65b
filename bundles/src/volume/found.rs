//! The volumes of one bundle in one or several folders.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fs_err as fs;

use super::VolumeError;
use super::header::{HEADER_BYTES, Header, Kind, is_volume};
use super::mended::Defect;
use super::split::volume_path;
use crate::Hasher;

/// One volume whose header was checked, but not its payload.
pub(super) struct Volume {
    pub path: PathBuf,
    pub file: fs::File,
    pub header: Header,
    /// Whether the payload matches the header, once that was checked.
    whole: OnceLock<bool>,
}

impl Volume {
    fn open(path: &Path) -> Result<Self, VolumeError> {
        let mut file = fs::File::open(path)?;
        let damaged = || VolumeError::Header { path: path.to_owned() };
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact(&mut bytes).map_err(|_| damaged())?;
        let header = Header::parse(&bytes).ok_or_else(damaged)?;
        Ok(Self { path: path.to_owned(), file, header, whole: OnceLock::new() })
    }

    /// The kind and the number of the volume.
    pub fn place(&self) -> (Kind, u32) {
        (self.header.kind, self.header.number)
    }

    /// Whether the file is as long as its header says.
    pub fn check_length(&self) -> Result<(), VolumeError> {
        let found = self.file.metadata()?.len().saturating_sub(HEADER_BYTES as u64);
        let expected = self.header.payload_bytes();
        if found == expected { Ok(()) } else { Err(VolumeError::Length { path: self.path.clone(), expected, found }) }
    }

    /// Reads payload bytes. An error names the volume.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file
            .file()
            .read_exact_at(buffer, HEADER_BYTES as u64 + offset)
            .map_err(|error| io::Error::new(error.kind(), format!("volume {}: {error}", self.path.display())))
    }

    /// Whether the payload can be read and matches the header. Reads all of it the first time.
    pub fn is_whole(&self) -> bool {
        *self.whole.get_or_init(|| {
            let mut hasher = Hasher::new(io::sink());
            self.check_length().is_ok()
                && io::copy(&mut PayloadReader::new(self.file.file()), &mut hasher).is_ok()
                && hasher.finish().0 == self.header.payload
        })
    }
}

/// Reads a volume's file from the end of its header on, independently of other readers.
pub(super) struct PayloadReader<'a> {
    file: &'a std::fs::File,
    position: u64,
}

impl<'a> PayloadReader<'a> {
    pub fn new(file: &'a std::fs::File) -> Self {
        Self { file, position: HEADER_BYTES as u64 }
    }
}

impl Read for PayloadReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// The volumes of one bundle; some may be missing.
pub(super) struct FoundVolumes {
    /// By kind and number. If one volume is in several places, the place that was named first comes first.
    pub volumes: BTreeMap<(Kind, u32), Vec<Arc<Volume>>>,
    /// Files that begin like volumes but have damaged headers, of this bundle or another.
    pub unreadable: Vec<PathBuf>,
}

impl FoundVolumes {
    /// Searches `places`: folders, or single volumes, whose folders are then searched for the others.
    pub fn look(places: &[PathBuf]) -> Result<Self, VolumeError> {
        let mut found = Self { volumes: BTreeMap::new(), unreadable: Vec::new() };
        let mut named: Option<Header> = None;
        for place in places.iter().filter(|place| place.is_file()) {
            match Volume::open(place) {
                Err(VolumeError::Header { .. }) => {}
                opened => drop(named.get_or_insert(opened?.header)),
            }
        }
        for path in candidates(places)? {
            let volume = match Volume::open(&path) {
                // It counts as lost.
                Err(VolumeError::Header { path }) => {
                    found.unreadable.push(path);
                    continue;
                }
                other => other?,
            };
            // Other bundles may be in the same folder if the user named a volume of the wanted one.
            let beside = !places.contains(&path) && named.is_some_and(|header| !header.is_kin(&volume.header));
            if beside {
                continue;
            }
            if let Some(first) = found.any().filter(|first| !first.header.is_kin(&volume.header)) {
                let one = first.path.clone();
                let same = first.header.identity == volume.header.identity;
                return Err(if same {
                    VolumeError::Recut { one, other: path }
                } else {
                    VolumeError::Mixed { one, other: path }
                });
            }
            found.volumes.entry(volume.place()).or_default().push(Arc::new(volume));
        }
        if found.any().is_some() {
            return Ok(found);
        }
        Err(match found.unreadable.into_iter().next() {
            Some(path) => VolumeError::Header { path },
            None => VolumeError::None { places: places.to_vec() },
        })
    }

    fn any(&self) -> Option<&Volume> {
        self.volumes.values().flatten().next().map(AsRef::as_ref)
    }

    /// The parity volumes.
    pub fn parity(&self) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.iter().filter(|((kind, _), _)| *kind == Kind::Parity).filter_map(|(_, copies)| copies.first())
    }

    /// The copies of a volume, in the order of the places.
    pub fn copies(&self, place: (Kind, u32)) -> &[Arc<Volume>] {
        self.volumes.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The file name of a volume, whether it exists or not. Its folder is unknown.
    pub fn name(&self, number: u32) -> PathBuf {
        let any = self.any().expect("look() gives at least one");
        let bundle = any.path.file_stem().unwrap_or_default();
        volume_path(Path::new(bundle), Kind::Data, number)
    }

    /// What is wrong with a data volume that cannot be read, and the path of its file, whether it exists or not.
    pub fn defect(&self, number: u32) -> (PathBuf, Defect) {
        let name = self.name(number);
        let first = self.copies((Kind::Data, number)).first().map(|volume| &volume.path);
        let unreadable = || self.unreadable.iter().find(|path| path.file_name() == Some(name.as_os_str()));
        match first.or_else(unreadable) {
            Some(path) => (path.clone(), Defect::Damaged),
            None => (name, Defect::Missing),
        }
    }

    /// A header that all volumes agree with, but for number, kind and payload.
    pub fn any_header(&self) -> Header {
        self.any().expect("look() gives at least one").header
    }
}

/// Every file in the places that begins as a volume does, in the order of the places and then of the names.
fn candidates(places: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for place in places {
        let folder = if place.is_dir() { place.clone() } else { parent(place) };
        let mut here = Vec::new();
        for item in fs::read_dir(folder)? {
            // In the user's form: a file beside a named one gets its path from that.
            let path = item?.path();
            let path = if place.is_dir() { path } else { place.with_file_name(path.file_name().unwrap_or_default()) };
            if path.is_file() && !paths.contains(&path) && is_volume(&path)? {
                here.push(path);
            }
        }
        here.sort();
        paths.extend(here);
    }
    Ok(paths)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// The path of the bundle whose volumes are in `places`: the path of the first one found, without `.001`.
pub fn bundle_path(places: &[PathBuf]) -> Result<PathBuf, VolumeError> {
    let found = FoundVolumes::look(places)?;
    Ok(found.any().expect("look() gives at least one").path.with_extension(""))
}
