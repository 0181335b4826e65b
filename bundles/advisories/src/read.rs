//! Reads a file of advisories in one pass. Nothing is used before a trusted key's signature over the manifest was verified, and no finding
//! counts before every digest was compared.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_format::limits::{MAX_SIGNATURE_BYTES, MAX_SIGNATURES};
use kbundle_format::list::canonical_json;
use kbundle_format::signature::TrustError;
use kbundle_format::tar_layer::{BLOCK_BYTES, END, TarError, TarHeader};
use kbundle_format::{Digest, EntryPath, Hasher, KeyId, SignatureFile, TrustPolicy};

use crate::limits::{MAX_MANIFEST_BYTES, MAX_RECORD_BYTES, MAX_VEX_BYTES, MAX_VEX_DOCUMENTS, WINDOW_LOG};
use crate::manifest::{FORMAT_VERSION, MANIFEST_PATH, Manifest, RECORDS_PATH, Stored};
use crate::record::Record;
use crate::vex::Document;

/// Why a file of advisories is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvisoriesError {
    /// The file is not there, or cannot be read.
    #[error("cannot read {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It ends too early, or is not zstd.
    #[error("the file ends too early, or is not what `kbundle advisories pack` writes")]
    Content {
        /// The cause.
        source: io::Error,
    },
    /// It is not the tar of such a file.
    #[error("the file is not what `kbundle advisories pack` writes")]
    Tar {
        /// The cause.
        source: TarError,
    },
    /// Something unexpected is in its place.
    #[error("{reason}")]
    Layout {
        /// What is wrong.
        reason: &'static str,
    },
    /// The manifest cannot be read.
    #[error("advisories.json cannot be read")]
    Manifest {
        /// serde's error.
        source: serde_json::Error,
    },
    /// A form that this program does not know.
    #[error("advisories.json has format version {found}, this program knows {FORMAT_VERSION}")]
    Version {
        /// The version in the file.
        found: u64,
    },
    /// No trusted key signed it.
    #[error("no trusted key signed the advisories")]
    Untrusted {
        /// The result of the signature check.
        source: TrustError,
    },
    /// The content is not what was signed.
    #[error("{path} has digest {actual}, the signed manifest says {expected}")]
    Digest {
        /// The file inside.
        path: EntryPath,
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// A signed line or document cannot be read.
    #[error("{path} has content that cannot be read: {reason}")]
    Record {
        /// The file inside.
        path: EntryPath,
        /// What is wrong.
        reason: String,
    },
}

type Stream = BufReader<zstd::Decoder<'static, BufReader<fs::File>>>;

/// An open file whose manifest was read and whose signatures were verified, or skipped.
pub struct Reader {
    stream: Stream,
    /// The header of the first file behind the signatures.
    next: Option<TarHeader>,
    manifest: Manifest,
    digest: Digest,
    signers: Vec<KeyId>,
}

impl Reader {
    /// Opens a file. Without a policy, signatures do not matter.
    ///
    /// # Errors
    /// [`AdvisoriesError`].
    pub fn open(path: &Path, trust: Option<&TrustPolicy>) -> Result<Self, AdvisoriesError> {
        let opened = fs::File::open(path).and_then(zstd::Decoder::new);
        let mut decoder = opened.map_err(|source| AdvisoriesError::Open { path: path.to_owned(), source })?;
        decoder.window_log_max(WINDOW_LOG).map_err(|source| AdvisoriesError::Content { source })?;
        let mut stream = BufReader::with_capacity(1 << 18, decoder);
        let first = header(&mut stream)?.filter(|header| header.path.as_str() == MANIFEST_PATH);
        let first = first.ok_or(AdvisoriesError::Layout { reason: "the file does not begin with advisories.json" })?;
        let bytes = small(&mut stream, &first, MAX_MANIFEST_BYTES)?;
        let mut signatures = Vec::new();
        let mut next = header(&mut stream)?;
        while let Some(header) = next.take_if(|header| header.path.as_str().starts_with("signatures/")) {
            if signatures.len() == MAX_SIGNATURES {
                return Err(AdvisoriesError::Layout { reason: "the file has too many signatures" });
            }
            let content = small(&mut stream, &header, MAX_SIGNATURE_BYTES)?;
            signatures.push(SignatureFile { name: header.path.to_string(), content });
            next = self::header(&mut stream)?;
        }
        let signers = match trust {
            Some(trust) => trust.check(&bytes, &signatures).map_err(|source| AdvisoriesError::Untrusted { source })?,
            None => Vec::new(),
        };
        Ok(Self { stream, next, manifest: manifest(&bytes)?, digest: Digest::of(&bytes), signers })
    }

    /// The manifest: the list of the file's content.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Of the manifest, which names everything else by digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The trusted keys that signed.
    #[must_use]
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// Passes each record to `see`, and returns the VEX documents. The records count only if this succeeds.
    ///
    /// # Errors
    /// [`AdvisoriesError`].
    pub fn read(mut self, see: &mut dyn FnMut(&Record)) -> Result<Vec<Document>, AdvisoriesError> {
        let files = std::mem::take(&mut self.manifest.files);
        let mut documents = Vec::new();
        for stored in &files {
            let expected = TarHeader::of_file(stored.path.clone(), stored.size_bytes);
            if self.next.as_ref() != Some(&expected) {
                return Err(AdvisoriesError::Layout { reason: "a file that the manifest names is not there" });
            }
            if stored.path.as_str() == RECORDS_PATH {
                self.records(stored, see)?;
            } else {
                documents.push(self.document(stored, &expected)?);
            }
            padding(&mut self.stream, &expected)?;
            self.next = header(&mut self.stream)?;
        }
        if self.next.is_some() {
            return Err(AdvisoriesError::Layout { reason: "the file has content that the manifest does not name" });
        }
        Ok(documents)
    }

    fn records(&mut self, stored: &Stored, see: &mut dyn FnMut(&Record)) -> Result<(), AdvisoriesError> {
        let fault = |reason: String| AdvisoriesError::Record { path: stored.path.clone(), reason };
        let mut hasher = Hasher::new(io::sink());
        let mut content = (&mut self.stream).take(stored.size_bytes);
        let mut line = Vec::new();
        let mut number = 0_usize;
        loop {
            line.clear();
            number += 1;
            let read = (&mut content).take(MAX_RECORD_BYTES).read_until(b'\n', &mut line);
            if read.map_err(|source| AdvisoriesError::Content { source })? == 0 {
                break;
            }
            io::Write::write_all(&mut hasher, &line).map_err(|source| AdvisoriesError::Content { source })?;
            let record = serde_json::from_slice(&line).map_err(|error| fault(format!("record {number}: {error}")))?;
            see(&record);
        }
        let (actual, _, _) = hasher.finish();
        compare(stored, actual)
    }

    fn document(&mut self, stored: &Stored, header: &TarHeader) -> Result<Document, AdvisoriesError> {
        let mut bytes = Vec::new();
        if header.size > MAX_VEX_BYTES {
            return Err(AdvisoriesError::Layout { reason: "a VEX document is too large" });
        }
        let read = (&mut self.stream).take(header.size).read_to_end(&mut bytes);
        read.map_err(|source| AdvisoriesError::Content { source })?;
        compare(stored, Digest::of(&bytes))?;
        let fault = |reason: String| AdvisoriesError::Record { path: stored.path.clone(), reason };
        Document::parse(&bytes).map_err(|error| fault(error.to_string()))
    }
}

fn manifest(bytes: &[u8]) -> Result<Manifest, AdvisoriesError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        format_version: u64,
    }
    let syntax = |source| AdvisoriesError::Manifest { source };
    let Versioned { format_version: found } = serde_json::from_slice(bytes).map_err(syntax)?;
    if found != u64::from(FORMAT_VERSION) {
        return Err(AdvisoriesError::Version { found });
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(syntax)?;
    let has_records = manifest.files.first().is_some_and(|stored| stored.path.as_str() == RECORDS_PATH);
    if !has_records || manifest.files.len() > MAX_VEX_DOCUMENTS + 1 || canonical_json(&manifest) != bytes {
        return Err(AdvisoriesError::Layout { reason: "advisories.json is not in the form that kbundle writes" });
    }
    Ok(manifest)
}

fn compare(stored: &Stored, actual: Digest) -> Result<(), AdvisoriesError> {
    if actual == stored.digest {
        return Ok(());
    }
    Err(AdvisoriesError::Digest { path: stored.path.clone(), expected: stored.digest, actual })
}

/// The next header; `None` at the end of the archive, after which nothing may follow.
fn header(stream: &mut Stream) -> Result<Option<TarHeader>, AdvisoriesError> {
    let content = |source| AdvisoriesError::Content { source };
    let mut block = [0; BLOCK_BYTES];
    stream.read_exact(&mut block).map_err(content)?;
    let header = TarHeader::parse(&block).map_err(|source| AdvisoriesError::Tar { source })?;
    if header.is_none() {
        let mut rest = Vec::new();
        stream.take(2 * BLOCK_BYTES as u64).read_to_end(&mut rest).map_err(content)?;
        if rest != END[BLOCK_BYTES..] {
            return Err(AdvisoriesError::Layout { reason: "something follows the end of the archive" });
        }
    }
    Ok(header)
}

/// The content of a small file, with its padding.
fn small(stream: &mut Stream, header: &TarHeader, most: u64) -> Result<Vec<u8>, AdvisoriesError> {
    if header.size > most {
        return Err(AdvisoriesError::Layout { reason: "the manifest or a signature is too large" });
    }
    let mut content = Vec::new();
    let read = stream.take(header.size).read_to_end(&mut content);
    read.map_err(|source| AdvisoriesError::Content { source })?;
    padding(stream, header)?;
    Ok(content)
}

fn padding(stream: &mut Stream, header: &TarHeader) -> Result<(), AdvisoriesError> {
    let mut padding = vec![0; header.padding()];
    stream.read_exact(&mut padding).map_err(|source| AdvisoriesError::Content { source })?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(AdvisoriesError::Layout { reason: "the space between two files is not empty" });
    }
    Ok(())
}
