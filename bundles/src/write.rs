//! Writes a bundle: list, signatures, attestations, entries, end, seek table.
//!
//! Each of them begins a new zstd frame, and a frame has at most [`MAX_FRAME_BYTES`] of content. Frames are compressed on all cores and
//! written in order, so that the same content gives the same bytes for any number of cores.

use std::io::{self, Read, Write};
use std::thread::{self, JoinHandle};

use crate::digest::Hasher;
use crate::frame::{self, CompressedFrame, Guard, compressor};
use crate::head::Attestation;
use crate::limits::MAX_FRAME_BYTES;
use crate::list::{Entry, LIST_PATH};
use crate::ordered::{Intake, workers};
use crate::seek_table::{self, FrameSizes};
use crate::tar_layer::{END, TarHeader};
use crate::{Digest, EntryPath, SignatureFile};

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The content does not match the list.
    #[error(
        "the content for {path} has digest {actual} and {actual_size} bytes instead of {expected} and {expected_size} bytes"
    )]
    Content {
        /// The entry.
        path: EntryPath,
        /// Digest in the list.
        expected: Digest,
        /// Size in the list.
        expected_size: u64,
        /// Digest of the content.
        actual: Digest,
        /// Size of the content.
        actual_size: u64,
    },
    /// A signature whose name is not allowed in a bundle.
    #[error("`{name}` is not a name for a signature in a bundle")]
    SignatureName {
        /// The name.
        name: String,
    },
    /// The content could not be read.
    #[error("cannot read the content for {path}")]
    Read {
        /// The entry.
        path: EntryPath,
        /// The cause.
        source: io::Error,
    },
    /// The output could not be written, or the content not compressed.
    #[error("cannot write the bundle")]
    Output {
        /// The cause.
        source: io::Error,
    },
}

/// The work of the compressing threads.
enum Job {
    Compress(Vec<u8>, Guard),
    /// A frame that is copied unchanged from another bundle.
    Verbatim(CompressedFrame),
}

struct Done {
    bytes: Vec<u8>,
    content_bytes: usize,
}

type Written<W> = io::Result<(W, Vec<FrameSizes>)>;

/// Writes one bundle to `W`, from beginning to end.
///
/// ```
/// use kbundle_format::list::FORMAT_VERSION;
/// use kbundle_format::{
///     BundleList, BundleStream, BundleWriter, Compression, Digest, Entry, EntryKind, Prerequisites, Role, SignatureCheck, SignatureFile,
///     SigningKey, TrustPolicy, key::Algorithm,
/// };
///
/// let content = b"kind: Namespace\n";
/// let list = BundleList {
///     format_version: FORMAT_VERSION,
///     kubernetes_version: "1.25.2".parse()?,
///     platforms: ["linux/amd64".parse()?].into(),
///     compression: Compression::at_level(3),
///     sources: vec![],
///     images: vec![],
///     after: Prerequisites::default(),
///     entries: vec![Entry {
///         path: "manifests/site/namespace.yaml".parse()?,
///         digest: Digest::of(content),
///         size: content.len() as u64,
///         media_type: "application/yaml".to_owned(),
///         kind: EntryKind::Manifest,
///         roles: Role::ALL.into(),
///         component: None,
///         platform: None,
///         origin: None,
///         licence: None,
///         host_file: None,
///     }],
/// };
/// let key = SigningKey::generate(Algorithm::EcdsaP256)?;
/// let mut writer = BundleWriter::new(std::io::Cursor::new(Vec::new()), 3)?;
/// writer.list(&list.to_bytes())?;
/// writer.signature(&SignatureFile::sign(&list.to_bytes(), &key))?;
/// writer.entry(&list.entries[0], &mut &content[..])?;
/// let bundle = writer.finish()?.into_inner();
///
/// let trust = TrustPolicy::new([key.verifying_key()], 1)?;
/// let check = SignatureCheck::Required { trust: &trust, detached: &[] };
/// let stream = BundleStream::open(std::io::Cursor::new(bundle), check)?;
/// assert_eq!(stream.verify_rest(|_| {})?.entries, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BundleWriter<W> {
    intake: Intake<Job, io::Result<Done>>,
    output: JoinHandle<Written<W>>,
}

impl<W: Write + Send + 'static> BundleWriter<W> {
    /// Starts a bundle with zstd's `level` (1 to 22).
    pub fn new(output: W, level: i32) -> Result<Self, WriteError> {
        // Made once here, so that a level that zstd refuses is an error already now.
        compressor(level).map_err(|source| WriteError::Output { source })?;
        let tool = move || compressor(level).expect("the same level worked before");
        let (intake, results) = workers(threads(level), tool, |compressor, job| match job {
            Job::Compress(content, guard) => {
                let bytes = frame::compress(compressor, &content, guard)?;
                Ok(Done { bytes, content_bytes: content.len() })
            }
            Job::Verbatim(frame) => Ok(Done { bytes: frame.bytes, content_bytes: frame.content_bytes }),
        });
        let output = thread::spawn(move || write_in_order(output, results));
        Ok(Self { intake, output })
    }

    /// Writes the list. It comes first.
    pub fn list(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.file(LIST_PATH.parse().expect("a plain name"), bytes)
    }

    /// Writes a signature, after the list.
    pub fn signature(&mut self, signature: &SignatureFile) -> Result<(), WriteError> {
        match TarHeader::of_signature(signature) {
            Some(header) if signature.name.starts_with("signatures/") => self.file(header.path, &signature.content),
            _ => Err(WriteError::SignatureName { name: signature.name.clone() }),
        }
    }

    /// Writes an attestation, after the signatures.
    pub fn attestation(&mut self, attestation: &Attestation) -> Result<(), WriteError> {
        self.file(attestation.path.clone(), &attestation.content)
    }

    fn file(&mut self, path: EntryPath, content: &[u8]) -> Result<(), WriteError> {
        let header = TarHeader::of_file(path, content.len() as u64);
        // Nothing but this checksum covers other people's signatures and attestations.
        self.content(&header, &mut &content[..], Guard::Checksum).map(drop)
    }

    /// Writes a listed entry; entries have to come in the order of the list. `content` is hashed on the way.
    ///
    /// # Errors
    /// [`WriteError::Content`] when the content does not match the list; the file is useless then.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), WriteError> {
        let (actual, actual_size) = self.content(&TarHeader::of_entry(entry), content, Guard::Digest)?;
        if (actual, actual_size) == (entry.digest, entry.size) {
            return Ok(());
        }
        let (path, expected, expected_size) = (entry.path.clone(), entry.digest, entry.size);
        Err(WriteError::Content { path, expected, expected_size, actual, actual_size })
    }

    /// Copies a frame of another bundle without decoding it.
    pub fn verbatim(&mut self, frame: CompressedFrame) -> Result<(), WriteError> {
        self.push(Job::Verbatim(frame))
    }

    /// Divides header, content and padding into frames. Reads at most `header.size` bytes, and one more to notice excess content.
    fn content(
        &mut self,
        header: &TarHeader,
        content: &mut dyn Read,
        guard: Guard,
    ) -> Result<(Digest, u64), WriteError> {
        let failed = |source| WriteError::Read { path: header.path.clone(), source };
        let mut content = content.take(header.size + 1);
        let mut hasher = Hasher::new(io::sink());
        let mut frame = header.to_block().to_vec();
        loop {
            let room = (MAX_FRAME_BYTES - frame.len()) as u64;
            let start = frame.len();
            let read = content.by_ref().take(room).read_to_end(&mut frame).map_err(failed)?;
            hasher.write_all(&frame[start..]).map_err(failed)?;
            if frame.len() < MAX_FRAME_BYTES || read == 0 {
                break;
            }
            self.push(Job::Compress(std::mem::take(&mut frame), guard))?;
        }
        for part in padded(frame, header.padding()) {
            self.push(Job::Compress(part, guard))?;
        }
        let (digest, size_bytes, _) = hasher.finish();
        Ok((digest, size_bytes))
    }

    fn push(&mut self, job: Job) -> Result<(), WriteError> {
        // If the output has failed, `finish` returns the reason; this error leads the caller to it.
        self.intake.push(job).map_err(|_| WriteError::Output { source: io::Error::other("the output failed earlier") })
    }

    /// Ends the archive, writes the seek table and returns the flushed output.
    pub fn finish(mut self) -> Result<W, WriteError> {
        // A failed push means that the output failed, whose own error says more.
        let ended = self.push(Job::Compress(END.to_vec(), Guard::Digest));
        drop(self.intake);
        let failed = |source| WriteError::Output { source };
        let written = self.output.join().map_err(|_| failed(io::Error::other("a writing thread ended early")))?;
        let (mut output, frames) = written.map_err(failed)?;
        ended?;
        output.write_all(&seek_table::encode(&frames)).map_err(failed)?;
        output.flush().map_err(failed)?;
        Ok(output)
    }
}

/// How many threads compress: one for each core, but no more than keep a build under 256 MiB. The memory of one thread, including frames on
/// their way, was measured with zstd 1.5.7 at levels 9, 15 and 22.
fn threads(level: i32) -> usize {
    const BUDGET_MIB: usize = 176;
    let one_takes_mib = match level {
        ..=9 => 35,
        10..=15 => 80,
        _ => 115,
    };
    frame::threads().min(BUDGET_MIB / one_takes_mib)
}

/// Adds the padding, in a new frame if the last one is full; empty padding stays empty.
fn padded(mut frame: Vec<u8>, padding: usize) -> Vec<Vec<u8>> {
    let fits = padding.min(MAX_FRAME_BYTES - frame.len());
    frame.resize(frame.len() + fits, 0);
    [frame, vec![0; padding - fits]].into_iter().filter(|part| !part.is_empty()).collect()
}

fn write_in_order<W: Write>(mut output: W, results: impl Iterator<Item = io::Result<Done>>) -> Written<W> {
    let mut frames = Vec::new();
    for done in results {
        let Done { bytes, content_bytes } = done?;
        output.write_all(&bytes)?;
        frames.push(FrameSizes {
            compressed: u32::try_from(bytes.len()).expect("a frame is smaller than 4 GiB"),
            content: u32::try_from(content_bytes).expect("a frame is smaller than 4 GiB"),
        });
    }
    Ok((output, frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_into_the_last_frame_or_one_of_its_own() {
        assert_eq!(padded(vec![1], 2), [vec![1, 0, 0]]);
        assert_eq!(padded(vec![], 2), [vec![0, 0]]);
        assert!(padded(vec![], 0).is_empty());
        let full = vec![1; MAX_FRAME_BYTES - 1];
        assert_eq!(padded(full, 3).iter().map(Vec::len).collect::<Vec<_>>(), [MAX_FRAME_BYTES, 2]);
    }
}
