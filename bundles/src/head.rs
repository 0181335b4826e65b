//! The head of a bundle: list, signatures, attestations, in this order. Both readers share this module.

use std::io::{self, Write};

use crate::limits::{MAX_ATTESTATION_BYTES, MAX_ATTESTATIONS, MAX_LIST_BYTES, MAX_SIGNATURE_BYTES, MAX_SIGNATURES};
use crate::list::{BundleList, Entry, LIST_PATH};
pub use crate::read_error::ReadError;
use crate::tar_layer::{BLOCK_BYTES, Block, END, TarHeader};
use crate::{Digest, EntryPath, Hasher, SignatureFile, TrustPolicy, Verified};

/// The demands on the signatures.
#[derive(Clone, Copy, Debug)]
pub enum SignatureCheck<'a> {
    /// They have to satisfy `trust`; detached signatures count too.
    Required {
        /// Trusted keys and threshold.
        trust: &'a TrustPolicy,
        /// Detached signatures, from separate files.
        detached: &'a [SignatureFile],
    },
    /// They are not verified. Only to show what a file claims to contain, never to use its content.
    Skipped,
}

/// One frame, with the content that is decoded so far.
pub(crate) struct Frame {
    pub offset: u64,
    pub content: Vec<u8>,
}

/// Decoded frames in the order of the file; `None` at the end.
pub(crate) trait FrameSource {
    /// Begins the next frame, whose content is decoded in part or completely.
    ///
    /// `spent` is the content of an earlier frame, whose memory may be used again.
    fn next_frame(&mut self, spent: Vec<u8>) -> Result<Option<Frame>, ReadError>;

    /// Decodes more of `frame`, perhaps zero bytes; `false` when everything is decoded. A source of whole frames has no more.
    fn more(&mut self, _frame: &mut Frame) -> Result<bool, ReadError> {
        Ok(false)
    }
}

/// Reads the tar from frames.
pub(crate) struct TarReader<S> {
    source: S,
    frame: Frame,
    position: usize,
    /// The offset of the frame that begins with the last header.
    entry_offset: u64,
    /// The path in the last header.
    entry: Option<EntryPath>,
}

impl<S: FrameSource> TarReader<S> {
    pub fn new(source: S) -> Self {
        let frame = Frame { offset: 0, content: Vec::new() };
        Self { source, frame, position: 0, entry_offset: 0, entry: None }
    }

    /// The offset in the file of the entry whose header was read last.
    pub fn entry_offset(&self) -> u64 {
        self.entry_offset
    }

    /// Adds the entry in which, or after which, the error occurred.
    pub fn near(&self, error: ReadError) -> ReadError {
        error.near(self.entry.as_ref())
    }

    /// The source, and memory that is not needed any more.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.source, self.frame.content)
    }

    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// Whether the whole frame was read.
    fn at_frame_end(&mut self) -> Result<bool, ReadError> {
        while self.position == self.frame.content.len() {
            if !self.source.more(&mut self.frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ensures that there are bytes to read, from this frame or a later one, which has to exist.
    fn refill(&mut self, missing: impl Fn() -> String) -> Result<(), ReadError> {
        while self.at_frame_end()? {
            self.advance(&missing)?;
        }
        Ok(())
    }

    /// Moves to the next frame, which has to exist.
    fn advance(&mut self, missing: impl FnOnce() -> String) -> Result<(), ReadError> {
        let spent = std::mem::take(&mut self.frame.content);
        self.frame = self.source.next_frame(spent)?.ok_or_else(|| ReadError::CutOff { missing: missing() })?;
        self.position = 0;
        Ok(())
    }

    /// Reads the next header, or `None` at the archive's end. Each header begins a frame, and so does the end.
    pub fn header(&mut self) -> Result<Option<TarHeader>, ReadError> {
        self.advance(|| "where another entry or the end of the archive belongs".to_owned())?;
        let offset = self.frame.offset;
        while self.frame.content.len() < BLOCK_BYTES && self.source.more(&mut self.frame)? {}
        let Some(block) = self.frame.content.first_chunk::<BLOCK_BYTES>() else {
            return Err(ReadError::Layout { offset, reason: "a frame is too short for the header it begins with" });
        };
        let block: &Block = block;
        let header = TarHeader::parse(block).map_err(|source| ReadError::Tar { offset, source })?;
        self.position = BLOCK_BYTES;
        self.entry_offset = offset;
        if let Some(header) = &header {
            self.entry = Some(header.path.clone());
        } else {
            while self.source.more(&mut self.frame)? {}
            if self.frame.content != END {
                return Err(ReadError::Layout { offset, reason: "the end of the archive is not two empty blocks" });
            }
        }
        Ok(header)
    }

    /// Decodes more of the content after `header` if nothing is [`unread`](Self::unread); there has to be more.
    pub fn decode_more(&mut self, header: &TarHeader) -> Result<(), ReadError> {
        self.refill(|| format!("within {}", header.path))
    }

    /// The decoded content that was not consumed yet; `left` bytes of content are still to come.
    pub fn unread(&self, left: u64) -> &[u8] {
        let rest = &self.frame.content[self.position..];
        &rest[..rest.len().min(usize::try_from(left).unwrap_or(usize::MAX))]
    }

    /// Skips the next `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.position += count;
    }

    /// Writes the content after `header` to `sink`, piece by piece, and checks that padding and frame end in the right place.
    pub fn content(
        &mut self,
        header: &TarHeader,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let mut left = header.size;
        while left > 0 {
            self.decode_more(header)?;
            let piece = self.unread(left);
            sink(piece).map_err(|source| ReadError::Sink { path: header.path.clone(), source })?;
            let count = piece.len();
            self.consume(count);
            left -= count as u64;
        }
        self.padding(header)
    }

    /// Checks that padding and frame end in the right place, after the content of `header`.
    pub fn padding(&mut self, header: &TarHeader) -> Result<(), ReadError> {
        let mut left = header.padding();
        while left > 0 {
            self.refill(|| format!("within the padding of {}", header.path))?;
            let rest = &self.frame.content[self.position..];
            let piece = &rest[..rest.len().min(left)];
            if piece.iter().any(|&byte| byte != 0) {
                return Err(ReadError::Layout { offset: self.frame.offset, reason: "the padding is not empty" });
            }
            self.position += piece.len();
            left -= piece.len();
        }
        if self.at_frame_end()? {
            Ok(())
        } else {
            Err(ReadError::Layout { offset: self.frame.offset, reason: "a frame holds more than one entry" })
        }
    }

    /// Reads a small file of the format's own into memory.
    fn small(&mut self, header: &TarHeader, limit: u64) -> Result<Vec<u8>, ReadError> {
        if header.size > limit {
            let offset = self.frame.offset;
            return Err(ReadError::Layout {
                offset,
                reason: "a list, signature or attestation is larger than allowed",
            });
        }
        let mut bytes = Vec::new();
        self.content(header, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }
}

/// An attestation in a bundle: a name under `attestations/` and bytes with a signature of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Its path in the bundle.
    pub path: EntryPath,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// The head of a bundle whose signatures were checked; every reader has one.
#[derive(Debug)]
#[non_exhaustive]
pub struct BundleHead {
    /// The list, with the keys that signed it.
    pub list: Verified<BundleList>,
    /// The exact bytes that were signed.
    pub list_bytes: Vec<u8>,
    /// The signatures that the bundle carries.
    pub signatures: Vec<SignatureFile>,
    /// The attestations that the bundle carries. They have signatures of their own, which were not verified here.
    pub attestations: Vec<Attestation>,
}

impl BundleHead {
    /// The files of the head, as they lie in the bundle.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let list = [(LIST_PATH, self.list_bytes.as_slice())];
        let signatures = self.signatures.iter().map(|file| (file.name.as_str(), file.content.as_slice()));
        let attestations = self.attestations.iter().map(|file| (file.path.as_str(), file.content.as_slice()));
        list.into_iter().chain(signatures).chain(attestations)
    }
}

/// The head as read; nothing in it is trusted yet.
pub(crate) struct UncheckedHead {
    list_bytes: Vec<u8>,
    signatures: Vec<SignatureFile>,
    attestations: Vec<Attestation>,
    /// The header after the head, its content not yet read; `None` at the archive's end.
    pub next: Option<TarHeader>,
}

const SIGNATURES: &str = "signatures/";
const ATTESTATIONS: &str = "attestations/";

/// Whether a file at `path` belongs to the head.
pub(crate) fn is_head(path: &EntryPath) -> bool {
    let path = path.as_str();
    path == LIST_PATH || path.starts_with(SIGNATURES) || path.starts_with(ATTESTATIONS)
}

impl UncheckedHead {
    pub fn read(tar: &mut TarReader<impl FrameSource>) -> Result<Self, ReadError> {
        let first = tar.header()?.filter(|header| header.path.as_str() == LIST_PATH);
        let Some(first) = first else {
            return Err(ReadError::Layout { offset: 0, reason: "it does not begin with bundle.json" });
        };
        let list_bytes = tar.small(&first, MAX_LIST_BYTES)?;
        let mut head = Self { list_bytes, signatures: Vec::new(), attestations: Vec::new(), next: tar.header()? };
        while let Some(header) = head.take(SIGNATURES, head.signatures.len(), MAX_SIGNATURES)? {
            let content = tar.small(&header, MAX_SIGNATURE_BYTES)?;
            head.signatures.push(SignatureFile { name: header.path.to_string(), content });
            head.next = tar.header()?;
        }
        while let Some(header) = head.take(ATTESTATIONS, head.attestations.len(), MAX_ATTESTATIONS)? {
            let content = tar.small(&header, MAX_ATTESTATION_BYTES)?;
            head.attestations.push(Attestation { path: header.path, content });
            head.next = tar.header()?;
        }
        Ok(head)
    }

    /// The next header if it is in `folder`, of which at most `most` are allowed.
    fn take(&mut self, folder: &str, so_far: usize, most: usize) -> Result<Option<TarHeader>, ReadError> {
        let header = self.next.take_if(|header| header.path.as_str().starts_with(folder));
        if header.is_some() && so_far == most {
            return Err(ReadError::Layout { offset: 0, reason: "it holds too many signatures or attestations" });
        }
        Ok(header)
    }

    /// Checks the signatures over the exact bytes, and only then parses the list.
    pub fn verify(self, check: SignatureCheck<'_>) -> Result<BundleHead, ReadError> {
        let signers = match check {
            SignatureCheck::Skipped => Vec::new(),
            SignatureCheck::Required { trust, detached } => {
                let all: Vec<_> = self.signatures.iter().chain(detached).cloned().collect();
                trust.check(&self.list_bytes, &all)?
            }
        };
        let list = Verified::new(BundleList::parse(&self.list_bytes)?, signers);
        let Self { list_bytes, signatures, attestations, .. } = self;
        Ok(BundleHead { list, list_bytes, signatures, attestations })
    }
}

/// Writes the content of a listed entry to `sink` while hashing it, and compares the digest at the end.
///
/// After any error, the content of `sink` must be discarded.
pub(crate) fn copy_verified(
    tar: &mut TarReader<impl FrameSource>,
    entry: &Entry,
    sink: &mut dyn Write,
) -> Result<(), ReadError> {
    let mut hasher = Hasher::new(sink);
    tar.content(&TarHeader::of_entry(entry), |piece| hasher.write_all(piece))?;
    let (actual, _, sink) = hasher.finish();
    compare(entry, actual, tar.entry_offset())?;
    sink.flush().map_err(|source| ReadError::Sink { path: entry.path.clone(), source })
}

/// Compares the digest of an entry's content with the list. The entry begins at `offset` of the file.
pub(crate) fn compare(entry: &Entry, actual: Digest, offset: u64) -> Result<(), ReadError> {
    if actual == entry.digest {
        Ok(())
    } else {
        Err(ReadError::Digest { path: entry.path.clone(), expected: entry.digest, actual, offset })
    }
}
