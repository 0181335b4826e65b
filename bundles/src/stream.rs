//! Reads a bundle in one pass from any source of bytes: first the head, then entry by entry.
//!
//! Frames are decoded on all cores while the caller hashes and uses earlier content; the memory for that is limited.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::thread;

use crate::Verified;
use crate::file_kind::{self, FileKind};
use crate::frame::{self, CompressedFrame, FrameError, RawFrame};
use crate::head::{BundleHead, Frame, FrameSource, ReadError, SignatureCheck, TarReader, UncheckedHead, copy_verified};
use crate::list::{BundleList, Entry};
use crate::ordered::{Intake, Results, workers};
use crate::seek_table::{self, FrameSizes, SeekTableError};
use crate::tar_layer::TarHeader;

/// What passes through the decoding threads.
enum Job {
    Decode(CompressedFrame),
    /// The result at the end: the file ended with a seek table that matches it, or it did not.
    End(Result<(), ReadError>),
}

type Decoded = Result<Option<Frame>, ReadError>;

/// Frames decoded ahead by other threads.
struct Pipeline {
    results: Results<Decoded>,
}

impl Pipeline {
    fn start(input: impl Read + Send + 'static) -> Self {
        let tool = || frame::decompressor();
        let (intake, results) = workers(frame::threads(), tool, |decompressor, job| match job {
            Job::End(ending) => ending.map(|()| None),
            Job::Decode(frame) => {
                let offset = frame.offset;
                let content = match decompressor {
                    Ok(decompressor) => frame::decode(decompressor, &frame, Vec::new())?,
                    Err(error) => {
                        let source = io::Error::other(error.to_string());
                        return Err(FrameError::Content { offset, source }.into());
                    }
                };
                Ok(Some(Frame { offset, content }))
            }
        });
        thread::spawn(move || {
            let ending = feed(BufReader::with_capacity(1 << 20, input), &intake);
            // If the results were dropped, nobody waits for the end.
            let _ = intake.push(Job::End(ending));
        });
        Self { results }
    }
}

/// Divides `input` into frames for the decoders, and compares the seek table at the end with these frames.
fn feed(mut input: impl Read, intake: &Intake<Job, Decoded>) -> Result<(), ReadError> {
    let mut offset = 0;
    let mut seen = Vec::new();
    loop {
        match frame::read_frame(&mut input, offset)? {
            Some(RawFrame::Content(frame)) => {
                let sizes = FrameSizes {
                    compressed: u32::try_from(frame.bytes.len()).expect("bounded by read_frame"),
                    content: u32::try_from(frame.content_bytes).expect("bounded by read_frame"),
                };
                offset += u64::from(sizes.compressed);
                seen.push(sizes);
                if intake.push(Job::Decode(frame)).is_err() {
                    return Ok(());
                }
            }
            Some(RawFrame::Skippable { kind: seek_table::SKIPPABLE_KIND, payload, .. }) => {
                if seek_table::decode(&payload)? != seen {
                    return Err(SeekTableError::Lies { reason: "its rows are not the frames of the file" }.into());
                }
                offset += payload.len() as u64 + 8;
                break;
            }
            Some(RawFrame::Skippable { offset, .. }) => {
                return Err(ReadError::Layout { offset, reason: "a skippable frame that is not a seek table" });
            }
            None => return Err(ReadError::CutOff { missing: "before its seek table".to_owned() }),
        }
    }
    let mut after = [0; 1];
    match input.read(&mut after) {
        Ok(0) => Ok(()),
        Ok(_) => Err(ReadError::Layout { offset, reason: "bytes follow the end of the bundle" }),
        Err(source) => Err(FrameError::Read { offset, source }.into()),
    }
}

impl FrameSource for Pipeline {
    /// Frames come from other threads with their own memory, so `spent` is freed.
    fn next_frame(&mut self, _spent: Vec<u8>) -> Result<Option<Frame>, ReadError> {
        self.results.next().unwrap_or(Ok(None))
    }
}

/// Refuses a file that is not a bundle, and names its kind; else returns the input from its beginning on.
fn recognised(mut input: impl Read + Send + 'static) -> Result<impl Read + Send + 'static, ReadError> {
    let mut first = Vec::new();
    let read = input.by_ref().take(file_kind::FIRST_BYTES as u64).read_to_end(&mut first);
    read.map_err(|source| FrameError::Read { offset: 0, source })?;
    match FileKind::other_than_bundle(&first) {
        Some(found) => Err(ReadError::NotABundle { found }),
        None => Ok(io::Cursor::new(first).chain(input)),
    }
}

/// The result of a complete pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries whose content was there and right.
    pub entries: usize,
    /// The size of their content together.
    pub content_bytes: u64,
    /// Entries of the list that the file does not carry; none unless it may be partial.
    pub left_out: Vec<Entry>,
}

/// A bundle whose head was read and checked, and whose entries follow one after another.
///
/// ```no_run
/// use kbundle_format::head::SignatureCheck;
/// use kbundle_format::{BundleStream, TrustPolicy, VerifyingKey};
///
/// let key = VerifyingKey::from_file(&std::fs::read("signing.pub")?)?;
/// let trust = TrustPolicy::new([key], 1)?;
/// let check = SignatureCheck::Required { trust: &trust, detached: &[] };
/// let stream = BundleStream::open(std::io::stdin(), check)?;
/// println!("Kubernetes {}", stream.list().kubernetes_version);
/// let summary = stream.verify_rest(|bytes| eprintln!("{bytes} bytes are good"))?;
/// println!("{} entries", summary.entries);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BundleStream {
    tar: TarReader<Pipeline>,
    head: BundleHead,
    /// The header whose content comes next; `None` after the archive's end.
    next: Option<TarHeader>,
    /// Entries of the list that did not occur yet.
    expected: VecDeque<Entry>,
    carriage: Carriage,
    left_out: Vec<Entry>,
}

/// Whether a bundle has to carry everything in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Every entry is required.
    Full,
    /// Entries may be left out, as in a differential bundle or one for a role; the caller decides which.
    Partial,
}

impl BundleStream {
    /// Reads the head and checks the signatures as `check` demands.
    pub fn open(input: impl Read + Send + 'static, check: SignatureCheck<'_>) -> Result<Self, ReadError> {
        let input = recognised(input)?;
        let mut tar = TarReader::new(Pipeline::start(input));
        let read = UncheckedHead::read(&mut tar);
        let mut unchecked = read.map_err(|error| tar.near(error))?;
        let next = unchecked.next.take();
        let head = unchecked.verify(check)?;
        let expected = head.list.entries.iter().cloned().collect();
        Ok(Self { tar, head, next, expected, carriage: Carriage::Full, left_out: Vec::new() })
    }

    /// Sets what the bundle has to carry; the default is everything.
    #[must_use]
    pub fn carriage(self, carriage: Carriage) -> Self {
        Self { carriage, ..self }
    }

    /// The entries that a partial bundle has left out so far.
    #[must_use]
    pub fn left_out(&self) -> &[Entry] {
        &self.left_out
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

    /// Passes the next entry to `choose`, which returns the sink for its content, and copies the content there while checking it.
    ///
    /// Returns the entry, or `None` at a correct end: every entry of the list was there, nothing follows the end, and the seek table is
    /// right. After an error, the content of the sink must be discarded.
    pub fn next_entry<'s>(
        &mut self,
        choose: impl FnOnce(&Entry) -> io::Result<Box<dyn Write + 's>>,
    ) -> Result<Option<Entry>, ReadError> {
        let Some(header) = self.next.take() else {
            return self.end().map(|()| None);
        };
        let entry = self.listed(&header)?;
        let mut sink = choose(&entry).map_err(|source| ReadError::Sink { path: entry.path.clone(), source })?;
        copy_verified(&mut self.tar, &entry, &mut sink).map_err(|error| self.tar.near(error))?;
        // If this cannot be read, it is the frame at the beginning of the next entry.
        let next = self.expected.front().unwrap_or(&entry);
        self.next = self.tar.header().map_err(|error| error.near(Some(&next.path)))?;
        Ok(Some(entry))
    }

    /// The listed entry for `header`. Entries before it in the list are left out of the file.
    fn listed(&mut self, header: &TarHeader) -> Result<Entry, ReadError> {
        let found = self.expected.iter().position(|entry| TarHeader::of_entry(entry) == *header);
        let Some(before) = found else {
            return Err(ReadError::NotListed { path: header.path.clone(), offset: self.tar.entry_offset() });
        };
        self.leave_out(before)?;
        Ok(self.expected.pop_front().expect("found above"))
    }

    fn leave_out(&mut self, count: usize) -> Result<(), ReadError> {
        match (self.carriage, self.expected.front()) {
            (Carriage::Full, Some(entry)) if count > 0 => Err(ReadError::Missing { path: entry.path.clone() }),
            _ => {
                self.left_out.extend(self.expected.drain(..count));
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), ReadError> {
        self.leave_out(self.expected.len())?;
        match self.tar.source_mut().next_frame(Vec::new())? {
            None => Ok(()),
            Some(frame) => {
                Err(ReadError::Layout { offset: frame.offset, reason: "frames follow the end of the archive" })
            }
        }
    }

    /// Checks everything from here to the end, and reports the bytes of content checked so far to `progress`.
    pub fn verify_rest(mut self, mut progress: impl FnMut(u64)) -> Result<Summary, ReadError> {
        let mut summary = Summary::default();
        loop {
            let counted = Counted { so_far: summary.content_bytes, progress: &mut progress };
            match self.next_entry(|_| Ok(Box::new(counted)))? {
                None => return Ok(Summary { left_out: self.left_out, ..summary }),
                Some(entry) => {
                    summary.entries += 1;
                    summary.content_bytes += entry.size;
                }
            }
        }
    }
}

/// Discards bytes and counts them.
struct Counted<F> {
    so_far: u64,
    progress: F,
}

impl<F: FnMut(u64)> Write for Counted<F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.so_far += buffer.len() as u64;
        (self.progress)(self.so_far);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
