//! Writes volumes while the bundle is written.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::NamedTempFile;

use super::header::{HEADER_BYTES, Header, Kind, MAX_VOLUMES};
pub use super::volume_file::volume_path;
pub(super) use super::volume_file::{Closed, blank, place};
use super::{VolumeError, parity};
use crate::Hasher;
use crate::atomic_file::parent;

/// How to split a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Most bytes of a volume's file, its header included.
    pub file_bytes: u64,
    /// Parity volumes to add.
    pub parity: u32,
}

/// Payloads are multiples of this size, the unit of the parity code.
const PAYLOAD_GRAIN: u64 = 64;

impl Split {
    /// The number of bytes of a bundle in one volume.
    fn payload_room(self) -> Result<u64, VolumeError> {
        let room = self.file_bytes.saturating_sub(HEADER_BYTES as u64) / PAYLOAD_GRAIN * PAYLOAD_GRAIN;
        if room == 0 {
            let reason = format!("a volume of {} bytes has no room beside its header", self.file_bytes);
            return Err(VolumeError::Unusable { reason });
        }
        Ok(room)
    }

    /// The number of data volumes for a bundle of `bundle_bytes`.
    ///
    /// ```
    /// use kbundle_format::volume::Split;
    ///
    /// assert_eq!(Split { file_bytes: 1000, parity: 1 }.data_volumes(2000)?, 3);
    /// # Ok::<(), kbundle_format::volume::VolumeError>(())
    /// ```
    ///
    /// # Errors
    /// [`VolumeError::Unusable`] when volumes of this size have no room.
    pub fn data_volumes(self, bundle_bytes: u64) -> Result<u64, VolumeError> {
        Ok(bundle_bytes.div_ceil(self.payload_room()?))
    }
}

/// The files beside `bundle` with the names of its volumes, sorted.
pub fn volumes_beside(bundle: &Path) -> io::Result<Vec<PathBuf>> {
    let name = bundle.file_name().unwrap_or_default().as_encoded_bytes();
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let is_volume_name = |file: &[u8]| match file.strip_prefix(name).and_then(|rest| rest.strip_prefix(b".")) {
        Some([b'p', number @ ..]) => number.len() >= 2 && digits(number),
        Some(number) => number.len() >= 3 && digits(number),
        None => false,
    };
    let mut found = Vec::new();
    for item in fs::read_dir(parent(bundle))? {
        let item = item?;
        if is_volume_name(item.file_name().as_encoded_bytes()) {
            found.push(bundle.with_file_name(item.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

/// One unfinished volume, in a temporary file that vanishes unless it is finished.
struct Open {
    file: BufWriter<NamedTempFile>,
    hasher: Hasher<io::Sink>,
    payload_bytes: u64,
}

/// Writes the bytes of a bundle into volumes. No file has its final name before [`VolumeWriter::finish`].
///
/// ```
/// use std::io::Write as _;
/// use kbundle_format::BundleSource;
/// use kbundle_format::volume::{Split, VolumeWriter};
///
/// let folder = tempfile::tempdir()?;
/// let split = Split { file_bytes: 1000, parity: 1 };
/// let mut writer = VolumeWriter::new(&folder.path().join("site.tar.zst"), split)?;
/// writer.write_all(&[7; 2000])?;
/// let volumes = writer.finish()?;
/// assert_eq!(volumes.len(), 4);
/// assert_eq!(BundleSource::open(&volumes[0])?.size_bytes(), 2000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VolumeWriter {
    bundle: PathBuf,
    split: Split,
    /// Bytes of the bundle in each volume.
    room: u64,
    whole: Hasher<io::Sink>,
    open: Option<Open>,
    closed: Vec<Closed>,
}

impl VolumeWriter {
    /// Starts volumes beside `bundle`; no file with that name itself is written.
    pub fn new(bundle: &Path, split: Split) -> Result<Self, VolumeError> {
        let room = split.payload_room()?;
        let whole = Hasher::new(io::sink());
        Ok(Self { bundle: bundle.to_owned(), split, room, whole, open: None, closed: Vec::new() })
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            let file = open.file.into_inner().map_err(io::IntoInnerError::into_error)?;
            self.closed.push(Closed { file, payload: open.hasher.finish().0 });
        }
        Ok(())
    }

    /// Adds parity and headers, syncs everything, and gives each file its name. Returns the names, in order.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, VolumeError> {
        self.close()?;
        let data_count = u32::try_from(self.closed.len()).unwrap_or(u32::MAX);
        if data_count.saturating_add(self.split.parity) > MAX_VOLUMES {
            let reason =
                format!("it would take {data_count} volumes, at most {MAX_VOLUMES} are possible; choose a larger size");
            return Err(VolumeError::Unusable { reason });
        }
        let (identity, bundle_bytes, _) = self.whole.finish();
        // A single volume need not be longer than the bundle.
        let volume_bytes = self.room.min(bundle_bytes.next_multiple_of(PAYLOAD_GRAIN));
        let header = Header {
            kind: Kind::Data,
            number: 1,
            data_count,
            parity_count: self.split.parity,
            bundle_bytes,
            volume_bytes,
            identity,
            payload: identity,
        };
        let parity = parity::encode(&self.closed, &header, &self.bundle)?;
        let data = numbered(self.closed, Kind::Data, header);
        let all: Vec<_> = data.chain(numbered(parity, Kind::Parity, header)).collect();
        let mut paths = Vec::new();
        for (closed, header) in all {
            let path = volume_path(&self.bundle, header.kind, header.number);
            place(closed.file, &header, &path)?;
            paths.push(path);
        }
        fs::File::open(parent(&self.bundle))?.sync_all()?;
        Ok(paths)
    }
}

fn numbered(volumes: Vec<Closed>, kind: Kind, header: Header) -> impl Iterator<Item = (Closed, Header)> {
    volumes.into_iter().zip(1..).map(move |(closed, number)| {
        let payload = closed.payload;
        (closed, Header { kind, number, payload, ..header })
    })
}

impl Write for VolumeWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room;
        if self.open.as_ref().is_some_and(|open| open.payload_bytes == room) {
            self.close()?;
        }
        if self.open.is_none() && !buffer.is_empty() {
            let number = u32::try_from(self.closed.len() + 1).unwrap_or(u32::MAX);
            let volume = volume_path(&self.bundle, Kind::Data, number);
            let file = BufWriter::with_capacity(1 << 18, blank(&volume)?);
            self.open = Some(Open { file, hasher: Hasher::new(io::sink()), payload_bytes: 0 });
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        let left = usize::try_from(room - open.payload_bytes).unwrap_or(usize::MAX);
        let written = open.file.write(&buffer[..buffer.len().min(left)])?;
        open.hasher.write_all(&buffer[..written])?;
        self.whole.write_all(&buffer[..written])?;
        open.payload_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.file.flush())
    }
}
