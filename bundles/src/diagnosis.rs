//! What is wrong with a bundle, where, and whether it was damaged or changed: from an error, and from another look at the file.
//!
//! A flipped bit breaks a checksum: of a tar header, of a zstd frame, of a volume. If somebody changes a bundle on purpose, the checksums
//! are right, and only the signed list differs. Frames of entries have no checksum, so a wrong digest alone does not show which of the two
//! happened.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::frame::{self, FrameError, RawFrame};
use crate::head::ReadError;
use crate::list::LIST_PATH;
use crate::seek_table::SeekTableError;
use crate::tar_layer::{TarError, TarHeader};
use crate::{BundleSource, BundleStream, EntryPath, IndexedBundle, SignatureCheck};

/// Fewest zeros in a row that count as a lost sector. Data that zstd stores uncompressed has no such run: compression would have saved
/// space.
const LOST_BYTES: usize = 4096;

/// What the facts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[schemars(rename = "DamageVerdict")]
pub enum Verdict {
    /// The medium or the copy is bad.
    Damaged,
    /// The copy is bad, or somebody changed the bundle: nothing tells which.
    DamagedOrChanged,
    /// Somebody changed the bundle after it was signed.
    Changed,
    /// The file is something else.
    NotABundle,
    /// Part of the bundle is not in the file.
    Incomplete,
    /// None of these: the error says all.
    Other,
}

/// A place in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagePlace {
    /// The offset in the bundle, from 0, at which the unreadable part begins.
    pub offset: u64,
    /// The offset after the last byte that may be affected; `None` if there is no bound.
    pub end: Option<u64>,
    /// The volume that contains it, and the offset in that file; `None` for a bundle in one file.
    pub volume: Option<(PathBuf, u64)>,
    /// The base that is affected; `None` for the bundle itself.
    pub base: Option<PathBuf>,
}

/// What is wrong with a bundle, where, and what it means.
///
/// ```no_run
/// use kbundle_format::{BundleSource, Diagnosis, IndexedBundle, SignatureCheck};
///
/// let source = BundleSource::open("k8s-1.25.2-amd64.tar.zst".as_ref())?;
/// if let Err(error) = IndexedBundle::open_source(source.clone(), SignatureCheck::Skipped) {
///     // "the medium or the copy is bad, within bytes 123456 to 234567, near artifacts/linux-amd64/kubelet"
///     eprintln!("{}: {error}", Diagnosis::of_source(&error, &source));
/// }
/// # Ok::<(), kbundle_format::source::SourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The verdict from the facts.
    pub verdict: Verdict,
    /// The place, if it is known.
    pub place: Option<DamagePlace>,
    /// The entry at that place, or the one before it.
    pub near: Option<EntryPath>,
    /// The range of zero bytes at that place.
    pub zeros: Option<Range<u64>>,
}

impl Diagnosis {
    /// The diagnosis for a bundle that was read in one pass and cannot be read again.
    #[must_use]
    pub fn of_stream(error: &ReadError) -> Self {
        let place = error.offset().map(|offset| DamagePlace { offset, end: None, volume: None, base: None });
        Self { verdict: verdict(error.plain()), place, near: named(error), zeros: None }
    }

    /// Of a bundle that could not be opened. Reads the file up to the place.
    #[must_use]
    pub fn of_source(error: &ReadError, source: &BundleSource) -> Self {
        if let Some(found) = broken_head(error, source) {
            return Self::of_source(&found, source);
        }
        let mut diagnosis = Self::of_stream(error);
        if !diagnosis.is_about_content() {
            return diagnosis;
        }
        let walk = Walk::through(source, Reach::of(error));
        if let ReadError::SeekTable(SeekTableError::Shape { .. } | SeekTableError::Lies { .. }) = error.plain()
            && walk.broken
        {
            diagnosis.verdict = Verdict::Damaged;
        }
        let offset = error.offset().unwrap_or(walk.end);
        diagnosis.near = diagnosis.near.or(walk.last).or_else(|| LIST_PATH.parse().ok());
        // The length of an incomplete frame is unknown.
        let end = if walk.end > offset { walk.end } else { source.size_bytes().max(offset) };
        diagnosis.complete(source, offset, offset..end);
        diagnosis
    }

    /// The diagnosis for an entry of an open bundle. Reads the entry again, and the volumes that contain it.
    #[must_use]
    pub fn of_entry(error: &ReadError, bundle: &IndexedBundle, path: &EntryPath) -> Self {
        let mut diagnosis = Self { near: Some(path.clone()), ..Self::of_stream(error) };
        let entry = bundle.list().entries.iter().find(|entry| entry.path == *path);
        let Some((holder, theirs)) = entry.and_then(|entry| bundle.holder(entry)) else { return diagnosis };
        if let Some(extent) = holder.extent(theirs).filter(|_| diagnosis.is_about_content()) {
            let offset = error.offset().unwrap_or(extent.start);
            diagnosis.complete(holder.source(), offset, extent);
        }
        if let Some(place) = diagnosis.place.as_mut().filter(|_| !std::ptr::eq(holder, bundle)) {
            place.base = Some(holder.source().path().to_owned());
        }
        diagnosis
    }

    /// Whether the bytes of the file are wrong.
    #[must_use]
    pub fn is_about_content(&self) -> bool {
        matches!(self.verdict, Verdict::Damaged | Verdict::DamagedOrChanged | Verdict::Changed)
    }

    /// Adds the place, and what the bytes in `range` and their volumes show.
    fn complete(&mut self, source: &BundleSource, offset: u64, range: Range<u64>) {
        // If it cannot be read again, that is damage enough.
        self.zeros = zeros(source, range.clone()).unwrap_or_default();
        let mut place = offset..range.end;
        if let Some(zeros) = &self.zeros {
            place = zeros.clone();
        }
        if self.verdict == Verdict::DamagedOrChanged {
            self.verdict = match source.damaged_volume(range) {
                _ if self.zeros.is_some() => Verdict::Damaged,
                Some(damaged) => {
                    place = damaged;
                    Verdict::Damaged
                }
                // The volumes are intact, so the bundle was wrong before it was split.
                None if source.volume_at(offset).is_some() => Verdict::Changed,
                None => Verdict::DamagedOrChanged,
            };
        }
        let volume = source.volume_at(place.start);
        self.place = Some(DamagePlace { offset: place.start, end: Some(place.end), volume, base: None });
    }

    /// What the owner of the file should do; `None` if the error itself has to say it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        let in_volume = self.place.as_ref().is_some_and(|place| place.volume.is_some());
        Some(match self.verdict {
            Verdict::Damaged if in_volume => {
                "copy the volume again from where the bundle was built, onto another medium if it fails again"
            }
            Verdict::Damaged => "copy the bundle again from where it was built, onto another medium if it fails again",
            Verdict::DamagedOrChanged => {
                "copy the bundle again from where it was built; if the new copy fails as well, ask whoever signed it and do not use it"
            }
            Verdict::Changed => "do not use it; get the bundle again from whoever signed it",
            Verdict::NotABundle => {
                "give the bundle file that was built (`NAME.tar.zst`), one of its volumes, or the folder with them"
            }
            Verdict::Incomplete | Verdict::Other => return None,
        })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.verdict {
            Verdict::Damaged => "the medium or the copy is bad",
            Verdict::DamagedOrChanged => "the copy is bad, or the bundle was changed after it was signed",
            Verdict::Changed => "the bundle was changed after it was signed",
            Verdict::NotABundle => "this is not a bundle",
            Verdict::Incomplete => "part of the bundle is missing",
            Verdict::Other => "the bundle cannot be used",
        })?;
        if let Some(DamagePlace { offset, end, volume, base }) = &self.place {
            match end {
                Some(end) => write!(f, ", within bytes {offset} to {}", end.saturating_sub(1))?,
                None => write!(f, ", at byte {offset} or behind it")?,
            }
            if let Some(base) = base {
                write!(f, " of the base {}", base.display())?;
            }
            if let Some((path, within)) = volume {
                write!(f, " (from byte {within} of {} on)", path.display())?;
            }
        }
        if let Some(path) = &self.near {
            write!(f, ", near {path}")?;
        }
        if self.zeros.is_some() { f.write_str("; these bytes are all zero, as lost sectors are") } else { Ok(()) }
    }
}

/// An error with its diagnosis, which is its text.
#[derive(Debug, thiserror::Error)]
#[error("{diagnosis}")]
pub struct Diagnosed {
    /// What is wrong, and where.
    pub diagnosis: Diagnosis,
    /// The original error.
    pub source: ReadError,
}

impl Diagnosed {
    /// Puts `diagnosis` in front of `error`, unless the error alone says everything: then `error` is returned.
    pub fn new(diagnosis: Diagnosis, error: ReadError) -> Result<Self, ReadError> {
        let source = error.into_plain();
        if diagnosis.is_about_content() { Ok(Self { diagnosis, source }) } else { Err(source) }
    }
}

/// The place of a broken head if `error` is about the seek table: one pass needs no seek table, so it finds the place.
fn broken_head(error: &ReadError, source: &BundleSource) -> Option<ReadError> {
    let about_table = |error: &ReadError| matches!(error.plain(), ReadError::SeekTable(_));
    if !about_table(error) {
        return None;
    }
    let found = BundleStream::open(source.reader(), SignatureCheck::Skipped).err()?;
    (found.offset().is_some() && !about_table(&found)).then_some(found)
}

/// The entry that an error names.
fn named(error: &ReadError) -> Option<EntryPath> {
    match error {
        ReadError::Near { path, .. }
        | ReadError::NotListed { path, .. }
        | ReadError::Missing { path }
        | ReadError::Digest { path, .. }
        | ReadError::Tar { source: TarError::Foreign { path, .. }, .. } => Some(path.clone()),
        _ => None,
    }
}

/// The verdict from an error alone.
fn verdict(error: &ReadError) -> Verdict {
    match error {
        ReadError::NotABundle { .. } => Verdict::NotABundle,
        ReadError::Frame(FrameError::Shape { .. }) | ReadError::Layout { .. } | ReadError::Digest { .. } => {
            Verdict::DamagedOrChanged
        }
        ReadError::SeekTable(SeekTableError::Shape { .. } | SeekTableError::Lies { .. }) => Verdict::DamagedOrChanged,
        ReadError::Frame(_)
        | ReadError::SeekTable(_)
        | ReadError::CutOff { .. }
        | ReadError::Tar { source: TarError::Checksum, .. } => Verdict::Damaged,
        ReadError::Tar { .. } | ReadError::NotListed { .. } => Verdict::Changed,
        ReadError::Missing { .. } => Verdict::Incomplete,
        _ => Verdict::Other,
    }
}

/// A walk through the frames of a file from its beginning, without the seek table, which may be the broken part.
struct Walk {
    /// The end of the last complete frame.
    end: u64,
    /// The path in the last tar header.
    last: Option<EntryPath>,
    /// Whether the frames end before the seek table, or the file ends inside of a frame.
    broken: bool,
}

impl Walk {
    /// Reads frame by frame, up to `reach` or to the first broken frame.
    fn through(source: &BundleSource, reach: Reach) -> Self {
        let mut walk = Self { end: 0, last: None, broken: false };
        let mut input = io::BufReader::with_capacity(1 << 20, source.reader());
        loop {
            let past = reach.is_passed(walk.end);
            if past && matches!(reach, Reach::Frame(_)) {
                return walk;
            }
            match frame::read_frame(&mut input, walk.end) {
                Ok(Some(RawFrame::Content(frame))) => {
                    let block = frame::first_block(&frame.bytes, frame::MAX_WINDOW_LOG);
                    let header = block.and_then(|block| TarHeader::parse(&block).ok().flatten());
                    if past && header.is_some() {
                        return walk;
                    }
                    walk.last = header.map(|header| header.path).or(walk.last);
                    walk.end += frame.bytes.len() as u64;
                }
                Ok(Some(RawFrame::Skippable { .. })) => return walk,
                Ok(None) | Err(_) => return Self { broken: true, ..walk },
            }
        }
    }
}

/// How far to read.
#[derive(Clone, Copy)]
enum Reach {
    /// Through all of the file.
    End,
    /// To the end of the frame at this offset.
    Frame(u64),
    /// To the end of the entry that begins at this offset.
    Entry(u64),
}

impl Reach {
    /// How far to read for `error`.
    fn of(error: &ReadError) -> Self {
        match (error.plain(), error.offset()) {
            (ReadError::Digest { offset, .. }, _) => Self::Entry(*offset),
            (_, Some(offset)) => Self::Frame(offset),
            (_, None) => Self::End,
        }
    }

    fn is_passed(self, at: u64) -> bool {
        match self {
            Self::End => false,
            Self::Frame(offset) | Self::Entry(offset) => at > offset,
        }
    }
}

/// The first run of zeros in `range` that is long enough to be a lost sector.
fn zeros(source: &BundleSource, range: Range<u64>) -> io::Result<Option<Range<u64>>> {
    let end = range.end.min(source.size_bytes());
    let (mut at, mut run, mut buffer) = (range.start, range.start..range.start, Vec::new());
    while at < end {
        let count = (end - at).min(1 << 20);
        buffer.resize(usize::try_from(count).expect("at most 1 MiB"), 0);
        source.read_exact_at(&mut buffer, at)?;
        for (&byte, offset) in buffer.iter().zip(at..) {
            if byte == 0 {
                run.end = offset + 1;
            } else if run.end - run.start >= LOST_BYTES as u64 {
                return Ok(Some(run));
            } else {
                run = offset + 1..offset + 1;
            }
        }
        at += count;
    }
    Ok((run.end - run.start >= LOST_BYTES as u64).then_some(run))
}
