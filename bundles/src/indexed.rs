//! Reads single entries of a bundle file without reading the rest, by its seek table.
//!
//! Opening reads the head and the first bytes of each entry, to find its place. The seek table is never trusted: an entry's content is
//! checked each time it is read, so a file that is replaced in the meantime is noticed.

mod check;
mod completion;
mod excerpt;
mod locate;

use std::collections::HashMap;
use std::io::Write;
use std::mem::take;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use crate::file_kind::{self, FileKind};
use crate::frame::{self, CompressedFrame, FrameError, MAX_FRAME_HEADER_BYTES};
use crate::head::{
    BundleHead, Frame, FrameSource, ReadError, SignatureCheck, TarReader, UncheckedHead, copy_verified, is_head,
};
use crate::list::{BundleList, Entry};
use crate::pieces::PieceDecoder;
use crate::seek_table::{self, FrameSizes, SeekTableError};
use crate::tar_layer::{END, TarHeader};
use crate::{BundleSource, Digest, EntryPath, Verified};

pub(crate) use check::EntryCheck;
use completion::Completion;
pub use excerpt::Excerpt;
use locate::{frame_count, locate};

/// The place of a frame, by the seek table.
#[derive(Clone, Copy)]
struct Location {
    offset: u64,
    sizes: FrameSizes,
}

impl Location {
    fn check_content(self, content_bytes: usize) -> Result<(), SeekTableError> {
        if content_bytes == self.sizes.content as usize {
            Ok(())
        } else {
            Err(SeekTableError::Lies { reason: "a frame holds more or less than its row says" })
        }
    }

    /// The rest after `count` compressed bytes.
    fn after(self, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.sizes.compressed);
        let sizes = FrameSizes { compressed: self.sizes.compressed - count, ..self.sizes };
        Self { offset: self.offset + u64::from(count), sizes }
    }
}

/// How much of a frame is read and decoded at once. It is small, so that the piece and its content stay in a core's cache until they are
/// hashed; but not so small that a check of two entries must switch between their windows all the time.
const PIECE_BYTES: u32 = 1 << 20;

/// The tools for decoding a frame. They are kept for the next entry: to free 8 MiB and allocate them again costs as much as a part of the
/// decoding.
struct Tools {
    decoder: PieceDecoder,
    /// The piece that is being decoded.
    compressed: Vec<u8>,
    /// Memory for the next frame's content.
    content: Vec<u8>,
}

/// The file and its frames.
struct Frames {
    source: BundleSource,
    locations: Vec<Location>,
    /// Tools that no thread uses at present.
    idle: Mutex<Vec<Tools>>,
}

impl Frames {
    fn open(source: BundleSource) -> Result<Self, ReadError> {
        let mut offset = 0;
        let locations = seek_table::read(&source)?
            .into_iter()
            .map(|sizes| {
                let location = Location { offset, sizes };
                offset += u64::from(sizes.compressed);
                location
            })
            .collect();
        Ok(Self { source, locations, idle: Mutex::default() })
    }

    fn take_tools(&self) -> Result<Tools, ReadError> {
        if let Some(tools) = self.idle().pop() {
            return Ok(tools);
        }
        let failed = |source| FrameError::Content { offset: 0, source };
        let decoder = PieceDecoder::new().map_err(failed)?;
        Ok(Tools { decoder, compressed: Vec::new(), content: Vec::new() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Tools>> {
        self.idle.lock().expect("no thread panics while it holds the lock")
    }

    /// Reads the first `most` compressed bytes at `location`, or all of them, into `bytes`.
    fn read(&self, location: Location, most: u32, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        bytes.resize(location.sizes.compressed.min(most) as usize, 0);
        let read = self.source.read_exact_at(bytes, location.offset);
        Ok(read.map_err(|source| FrameError::Read { offset: location.offset, source })?)
    }

    fn location(&self, index: usize) -> Result<Location, ReadError> {
        let too_few = || SeekTableError::Lies { reason: "it has too few frames" };
        Ok(*self.locations.get(index).ok_or_else(too_few)?)
    }

    /// A whole frame, in its compressed form.
    fn compressed(&self, index: usize) -> Result<CompressedFrame, ReadError> {
        let location = self.location(index)?;
        let mut bytes = Vec::new();
        self.read(location, u32::MAX, &mut bytes)?;
        let frame = frame::whole(bytes, location.offset)?;
        location.check_content(frame.content_bytes)?;
        Ok(frame)
    }

    /// Whether a frame's header says that it ends with zstd's checksum.
    fn has_checksum(&self, index: usize) -> Result<bool, ReadError> {
        let mut bytes = Vec::new();
        self.read(self.locations[index], MAX_FRAME_HEADER_BYTES, &mut bytes)?;
        Ok(frame::has_checksum(&bytes))
    }

    /// The tar header at the beginning of a frame; `None` if the frame begins with something else.
    fn header(&self, index: usize) -> Result<Option<TarHeader>, ReadError> {
        let mut bytes = Vec::new();
        self.read(self.locations[index], frame::FIRST_BLOCK_BYTES, &mut bytes)?;
        Ok(frame::first_block(&bytes, frame::MAX_WINDOW_LOG).and_then(|block| TarHeader::parse(&block).ok().flatten()))
    }
}

/// Frames from one on, decoded on demand.
struct Sequence<'a> {
    frames: &'a Frames,
    next: usize,
    /// The part of the frame before `next` that is not decoded yet.
    left: Location,
    tools: Tools,
}

impl<'a> Sequence<'a> {
    fn starting_at(frames: &'a Frames, next: usize) -> Result<Self, ReadError> {
        let nothing = Location { offset: 0, sizes: FrameSizes { compressed: 0, content: 0 } };
        Ok(Self { frames, next, left: nothing, tools: frames.take_tools()? })
    }

    /// Returns the tools for the next sequence.
    fn finish(self, spent: Vec<u8>) {
        self.frames.idle().push(Tools { content: spent, ..self.tools });
    }
}

impl FrameSource for Sequence<'_> {
    fn next_frame(&mut self, spent: Vec<u8>) -> Result<Option<Frame>, ReadError> {
        if self.next == self.frames.locations.len() {
            return Ok(None);
        }
        // First the content from idle tools, then what the caller has read.
        let mut content = if self.tools.content.capacity() > 0 { take(&mut self.tools.content) } else { spent };
        let location = self.frames.location(self.next)?;
        let offset = location.offset;
        self.frames.read(location, MAX_FRAME_HEADER_BYTES, &mut self.tools.compressed)?;
        let content_bytes = frame::stated_content(&self.tools.compressed, offset)?;
        location.check_content(content_bytes)?;
        content.clear();
        content.reserve_exact(content_bytes);
        self.tools.decoder.begin().map_err(|source| FrameError::Content { offset, source })?;
        self.next += 1;
        self.left = location;
        Ok(Some(Frame { offset, content }))
    }

    fn more(&mut self, frame: &mut Frame) -> Result<bool, ReadError> {
        if self.left.sizes.compressed == 0 {
            return Ok(false);
        }
        let Tools { decoder, compressed, .. } = &mut self.tools;
        self.frames.read(self.left, PIECE_BYTES, compressed)?;
        self.left = self.left.after(compressed.len());
        let damaged = |source| FrameError::Content { offset: frame.offset, source };
        let ended = decoder.decode(compressed, &mut frame.content).map_err(damaged)?;
        let last = self.left.sizes.compressed == 0;
        if last != ended || (last && frame.content.len() != self.left.sizes.content as usize) {
            return Err(FrameError::Shape { offset: frame.offset, reason: "does not end where it should" }.into());
        }
        Ok(true)
    }
}

/// The head's frames, and of the frame of the entry after it only the header: the content of that entry does not matter yet, damaged or
/// not.
struct HeadSequence<'a>(Sequence<'a>);

impl HeadSequence<'_> {
    /// A frame with `content` in place of the frame at `next`.
    fn instead(&mut self, content: &[u8]) -> Frame {
        let location = self.0.frames.locations[self.0.next];
        self.0.next += 1;
        self.0.left = location.after(usize::MAX);
        Frame { offset: location.offset, content: content.to_vec() }
    }
}

impl FrameSource for HeadSequence<'_> {
    fn next_frame(&mut self, spent: Vec<u8>) -> Result<Option<Frame>, ReadError> {
        let (frames, next) = (self.0.frames, self.0.next);
        if next == frames.locations.len() {
            return Ok(None);
        }
        match frames.header(next)? {
            Some(header) if !is_head(&header.path) => Ok(Some(self.instead(&header.to_block()))),
            // Frames of the head have a checksum. A frame without a checksum and without a header belongs to an entry with a damaged
            // header, or is the end.
            None if !frames.has_checksum(next)? => Ok(Some(self.instead(&END))),
            _ => self.0.next_frame(spent),
        }
    }

    fn more(&mut self, frame: &mut Frame) -> Result<bool, ReadError> {
        self.0.more(frame)
    }
}

/// A bundle file whose head was checked, open for reading its entries in any order.
///
/// ```no_run
/// use kbundle_format::head::SignatureCheck;
/// use kbundle_format::{IndexedBundle, TrustPolicy, VerifyingKey};
///
/// let key = VerifyingKey::from_file(&std::fs::read("signing.pub")?)?;
/// let trust = TrustPolicy::new([key], 1)?;
/// let check = SignatureCheck::Required { trust: &trust, detached: &[] };
/// let bundle = IndexedBundle::open("k8s-1.25.2-amd64.tar.zst".as_ref(), check)?;
/// for entry in bundle.list().entries.iter().filter(|entry| entry.path.as_str().ends_with("/kubelet")) {
///     bundle.copy_entry(entry, &mut std::fs::File::create("kubelet")?)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IndexedBundle {
    frames: Frames,
    head: BundleHead,
    /// The first frame of each entry that the file carries.
    starts: HashMap<EntryPath, usize>,
    /// Frames that belong to no entry; in a bundle, only the archive's end.
    strays: Vec<usize>,
    /// Bundles that have what the file does not carry.
    completion: Completion,
}

impl IndexedBundle {
    /// Opens the bundle at `path`, a file or volumes, and checks the signatures as `check` demands.
    pub fn open(path: &Path, check: SignatureCheck<'_>) -> Result<Self, ReadError> {
        Self::open_source(BundleSource::open(path)?, check)
    }

    /// Opens a bundle and checks the signatures as `check` demands. If damaged volumes prevent that and others can replace them, tries
    /// again without the damaged ones.
    pub fn open_source(source: BundleSource, check: SignatureCheck<'_>) -> Result<Self, ReadError> {
        match Self::open_once(source.clone(), check) {
            Err(error) if error.may_be_damage() && source.mend() => Self::open_once(source, check),
            opened => opened,
        }
    }

    fn open_once(source: BundleSource, check: SignatureCheck<'_>) -> Result<Self, ReadError> {
        recognised(&source)?;
        let frames = Frames::open(source)?;
        let mut tar = TarReader::new(HeadSequence(Sequence::starting_at(&frames, 0)?));
        let read = UncheckedHead::read(&mut tar);
        let head = read.map_err(|error| tar.near(error))?.verify(check)?;
        let after_head = tar.source_mut().0.next.saturating_sub(1);
        let (starts, strays) = locate(&frames, &head.list.entries, after_head)?;
        Ok(Self { frames, head, starts, strays, completion: Completion::default() })
    }

    /// The head, which was read and checked first.
    #[must_use]
    pub fn head(&self) -> &BundleHead {
        &self.head
    }

    /// The list, with the keys that signed it.
    #[must_use]
    pub fn list(&self) -> &Verified<BundleList> {
        &self.head.list
    }

    /// The source of its bytes.
    #[must_use]
    pub fn source(&self) -> &BundleSource {
        &self.frames.source
    }

    /// Whether the file, or one of its bases, carries the content of `entry`.
    #[must_use]
    pub fn carries(&self, entry: &Entry) -> bool {
        self.holder(entry).is_some()
    }

    /// The entries that the file itself carries, by digest.
    #[must_use]
    pub fn carried(&self) -> HashMap<Digest, &Entry> {
        let own = self.list().entries.iter().filter(|entry| self.start(entry).is_some());
        own.map(|entry| (entry.digest, entry)).collect()
    }

    fn start(&self, entry: &Entry) -> Option<usize> {
        self.starts.get(&entry.path).copied()
    }

    /// Checks that the file has only the head, entries of the list in its order, and the archive's end. The content of entries is not
    /// checked.
    ///
    /// # Errors
    /// The offset at which something else begins.
    pub fn check_layout(&self) -> Result<(), ReadError> {
        let last = self.frames.locations.len().saturating_sub(1);
        let Some(&stray) = self.strays.first() else {
            return Err(ReadError::CutOff { missing: "before the end of the archive".to_owned() });
        };
        if stray != last {
            let offset = self.frames.locations[stray].offset;
            return Err(ReadError::Layout { offset, reason: "what lies here is not an entry of the list" });
        }
        match TarReader::new(Sequence::starting_at(&self.frames, last)?).header()? {
            None => Ok(()),
            Some(_) => Err(ReadError::CutOff { missing: "before the end of the archive".to_owned() }),
        }
    }

    /// The range of the file itself that contains `entry`; `None` if the file does not carry it.
    #[must_use]
    pub fn extent(&self, entry: &Entry) -> Option<Range<u64>> {
        let start = self.start(entry)?;
        let location = |index: usize| self.frames.locations.get(index);
        let last = location(start + frame_count(entry) - 1)?;
        Some(location(start)?.offset..last.offset + u64::from(last.sizes.compressed))
    }

    /// The entry that the file's byte at `offset` belongs to; `None` for head, end and seek table.
    #[must_use]
    pub fn entry_at(&self, offset: u64) -> Option<&Entry> {
        let frame = self.frames.locations.partition_point(|location| location.offset <= offset).checked_sub(1)?;
        let holds = |entry: &&Entry| {
            let start = self.start(entry);
            start.is_some_and(|start| (start..start + frame_count(entry)).contains(&frame))
        };
        self.list().entries.iter().find(holds)
    }

    /// Copies the content of `entry` to `sink`, checking its digest on the way.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when the file does not carry it. After any error, the content of `sink` must be discarded.
    pub fn copy_entry(&self, entry: &Entry, sink: &mut dyn Write) -> Result<(), ReadError> {
        let mut tar = self.tar_at(entry)?;
        copy_verified(&mut tar, entry, sink)?;
        put_back(tar);
        Ok(())
    }

    /// The archive from the content of `entry` on.
    fn tar_at(&self, entry: &Entry) -> Result<TarReader<Sequence<'_>>, ReadError> {
        let missing = || ReadError::Missing { path: entry.path.clone() };
        let base = self.in_a_base(entry);
        let (holder, theirs) = (base.map_or(self, |found| found.0), base.map_or(entry, |found| found.1));
        let start = holder.start(theirs).ok_or_else(missing)?;
        let mut tar = TarReader::new(Sequence::starting_at(&holder.frames, start)?);
        if tar.header()?.as_ref() == Some(&TarHeader::of_entry(theirs)) { Ok(tar) } else { Err(missing()) }
    }

    /// The content of a small entry.
    pub fn read_entry(&self, entry: &Entry) -> Result<Vec<u8>, ReadError> {
        let mut content = Vec::new();
        self.copy_entry(entry, &mut content)?;
        Ok(content)
    }

    /// The frames of `entry`, including header and padding, in their compressed form; none if the entry is not carried.
    ///
    /// Their content is not checked.
    pub fn entry_frames(&self, entry: &Entry) -> impl Iterator<Item = Result<CompressedFrame, ReadError>> {
        let frames = self.start(entry).map_or(0..0, |start| start..start + frame_count(entry));
        frames.map(|index| self.frames.compressed(index))
    }
}

/// Refuses a file that is not a bundle, and names its kind.
fn recognised(source: &BundleSource) -> Result<(), ReadError> {
    let length = usize::try_from(source.size_bytes()).unwrap_or(usize::MAX);
    let mut first = vec![0; length.min(file_kind::FIRST_BYTES)];
    source.read_exact_at(&mut first, 0).map_err(|source| FrameError::Read { offset: 0, source })?;
    match FileKind::other_than_bundle(&first) {
        Some(found) => Err(ReadError::NotABundle { found }),
        None => Ok(()),
    }
}

/// Keeps the tools of decoding for the next entry.
fn put_back(tar: TarReader<Sequence<'_>>) {
    let (sequence, spent) = tar.into_parts();
    sequence.finish(spent);
}

impl std::fmt::Debug for IndexedBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexedBundle").field("kubernetes", &self.list().kubernetes_version).finish_non_exhaustive()
    }
}
