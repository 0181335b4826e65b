//! The file of a volume: its name, and its temporary file until its header is known.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::header::{HEADER_BYTES, Header, Kind};
use crate::Digest;
use crate::atomic_file::incomplete;

/// The name of a volume: the bundle's, with `.001` or, for parity, `.p01` behind it. Plain enough for FAT32.
#[must_use]
pub fn volume_path(bundle: &Path, kind: Kind, number: u32) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(match kind {
        Kind::Data => format!(".{number:03}"),
        Kind::Parity => format!(".p{number:02}"),
    });
    name.into()
}

/// A volume whose payload is complete and that lacks only its header.
pub(super) struct Closed {
    pub file: NamedTempFile,
    pub payload: Digest,
}

/// Writes the header in front of a complete payload and gives the file its name. An existing device, folder or link of that name stays.
pub(super) fn place(mut file: NamedTempFile, header: &Header, path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other(format!("{} is not a regular file and is not replaced", path.display())));
    }
    file.as_file_mut().seek(SeekFrom::Start(0))?;
    file.as_file_mut().write_all(&header.to_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// A file without its name beside `volume`, with room for the header; all users can read it once it has a name.
pub(super) fn blank(volume: &Path) -> io::Result<NamedTempFile> {
    let mut file = incomplete(volume, 0o644)?;
    file.write_all(&[0; HEADER_BYTES])?;
    Ok(file)
}
