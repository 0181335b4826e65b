//! Volumes found in one or several folders, read as the one file they were cut from.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::VolumeError;
use super::header::{HEADER_BYTES, Header, Kind, is_volume};
use crate::Hasher;

/// One volume, its header checked, its payload not yet.
pub(super) struct Volume {
    pub path: PathBuf,
    pub file: fs::File,
    pub header: Header,
}

impl Volume {
    fn open(path: &Path) -> Result<Self, VolumeError> {
        let mut file = fs::File::open(path)?;
        let damaged = || VolumeError::Header { path: path.to_owned() };
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact(&mut bytes).map_err(|_| damaged())?;
        let header = Header::parse(&bytes).ok_or_else(damaged)?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// Whether the file is as long as its header says.
    fn check_length(&self) -> Result<(), VolumeError> {
        let found = self.file.metadata()?.len().saturating_sub(HEADER_BYTES as u64);
        let expected = self.header.payload_bytes();
        if found == expected { Ok(()) } else { Err(VolumeError::Length { path: self.path.clone(), expected, found }) }
    }

    /// Reads payload bytes. A volume that cannot be read names itself in the error.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file
            .file()
            .read_exact_at(buffer, HEADER_BYTES as u64 + offset)
            .map_err(|error| io::Error::new(error.kind(), format!("volume {}: {error}", self.path.display())))
    }

    /// Whether the payload is what the header says. Reads all of it.
    pub fn is_whole(&self) -> io::Result<bool> {
        if self.check_length().is_err() {
            return Ok(false);
        }
        let mut hasher = Hasher::new(io::sink());
        let mut reader = PayloadReader { volume: self, position: 0 };
        io::copy(&mut reader, &mut hasher)?;
        Ok(hasher.finish().0 == self.header.payload)
    }
}

struct PayloadReader<'a> {
    volume: &'a Volume,
    position: u64,
}

impl Read for PayloadReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.volume.file.file().read_at(buffer, HEADER_BYTES as u64 + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Volumes by kind and number, all of one bundle; some may be missing.
pub(super) struct Found(pub BTreeMap<(Kind, u32), Volume>);

impl Found {
    /// Looks in `places`: folders, or single volumes, whose folders are then looked through for their kin.
    pub fn look(places: &[PathBuf]) -> Result<Self, VolumeError> {
        let mut found: BTreeMap<(Kind, u32), Volume> = BTreeMap::new();
        let mut named: Option<Header> = None;
        for place in places.iter().filter(|place| place.is_file()) {
            let volume = Volume::open(place)?;
            named.get_or_insert(volume.header);
        }
        for path in candidates(places)? {
            let volume = match Volume::open(&path) {
                // A damaged header counts as a lost volume, unless the user named this very file.
                Err(VolumeError::Header { .. }) if !places.contains(&path) => continue,
                other => other?,
            };
            // Other bundles may lie in the same folder when the user named a volume of the one that is meant.
            let beside = !places.contains(&path) && named.is_some_and(|header| !header.is_kin(&volume.header));
            if beside {
                continue;
            }
            if let Some(first) = found.values().next().filter(|first| !first.header.is_kin(&volume.header)) {
                return Err(VolumeError::Mixed { one: first.path.clone(), other: path });
            }
            found.entry((volume.header.kind, volume.header.number)).or_insert(volume);
        }
        if found.is_empty() { Err(VolumeError::None { places: places.to_vec() }) } else { Ok(Self(found)) }
    }

    /// A header that all volumes agree with, but for number, kind and payload.
    pub fn any_header(&self) -> Header {
        self.0.values().next().expect("look() gives at least one").header
    }
}

/// Every file in the places that begins as a volume does.
fn candidates(places: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for place in places {
        let folder = if place.is_dir() { place.clone() } else { parent(place) };
        for item in fs::read_dir(folder)? {
            let path = item?.path();
            if path.is_file() && is_volume(&path)? {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// What the bundle is called whose volumes lie in `places`: the path of the first one found, without `.001`.
pub fn bundle_path(places: &[PathBuf]) -> Result<PathBuf, VolumeError> {
    let found = Found::look(places)?;
    let first = found.0.into_values().next().expect("look() gives at least one");
    Ok(first.path.with_extension(""))
}

/// All data volumes of a bundle.
pub struct VolumeSet {
    volumes: Vec<Volume>,
    bundle_bytes: u64,
    volume_bytes: u64,
}

impl VolumeSet {
    /// Finds the volumes in `places` and checks that they are complete and fit together.
    pub fn open(places: &[PathBuf]) -> Result<Self, VolumeError> {
        let mut found = Found::look(places)?;
        let header = found.any_header();
        let count = header.data_count;
        let missing: Vec<_> = (1..=count).filter(|&number| !found.0.contains_key(&(Kind::Data, number))).collect();
        if !missing.is_empty() {
            return Err(VolumeError::Missing { missing, count });
        }
        let volumes: Vec<_> = (1..=count).filter_map(|number| found.0.remove(&(Kind::Data, number))).collect();
        volumes.iter().try_for_each(Volume::check_length)?;
        Ok(Self { volumes, bundle_bytes: header.bundle_bytes, volume_bytes: header.volume_bytes })
    }

    /// Bytes of the bundle.
    #[must_use]
    pub fn bundle_bytes(&self) -> u64 {
        self.bundle_bytes
    }

    /// Reads as from the joined file.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let index = usize::try_from(offset / self.volume_bytes).unwrap_or(usize::MAX);
            let within = offset % self.volume_bytes;
            let volume = self.volumes.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
            let left = usize::try_from(volume.header.payload_bytes().saturating_sub(within)).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = buffer.split_at_mut(count);
            volume.read_exact_at(now, within)?;
            buffer = later;
            offset += count as u64;
        }
        Ok(())
    }

    /// Reads from the first byte of the bundle to the last.
    pub(super) fn reader(&self) -> impl Read {
        SetReader { set: self, position: 0 }
    }

    /// The volumes whose payload is not what their header says. Reads all of them.
    pub fn damaged(&self) -> io::Result<Vec<PathBuf>> {
        let mut damaged = Vec::new();
        for volume in &self.volumes {
            if !volume.is_whole()? {
                damaged.push(volume.path.clone());
            }
        }
        Ok(damaged)
    }
}

struct SetReader<'a> {
    set: &'a VolumeSet,
    position: u64,
}

impl Read for SetReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.set.bundle_bytes.saturating_sub(self.position);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.set.read_exact_at(&mut buffer[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
