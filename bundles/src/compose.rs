//! Bundles made from other bundles: with another signature, with only the content for a role, or completed from a base.
//!
//! The list stays as it was signed. Frames are copied unchanged if a full build would have written the same. So most of the work is
//! copying, and a completed differential bundle equals the full one bit for bit.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::thread;

use crate::head::{Attestation, ReadError};
use crate::list::{BundleList, Entry};
use crate::tar_layer::TarHeader;
use crate::write::WriteError;
use crate::{BundleHead, BundleWriter, Digest, EntryPath, IndexedBundle, SignatureFile};

/// Why a bundle could not be made from others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// An error of a source bundle.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An error of the new bundle.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An entry that none of the bundles carries.
    #[error("none of the given bundles carries {path} ({digest})")]
    NotCarried {
        /// The entry.
        path: EntryPath,
        /// Its digest.
        digest: Digest,
    },
}

/// The head of the bundle to make.
#[derive(Clone, Copy, Debug)]
pub struct NewHead<'a> {
    /// The signed list.
    pub list: &'a BundleList,
    /// Its exact bytes.
    pub list_bytes: &'a [u8],
    /// Signatures to carry.
    pub signatures: &'a [SignatureFile],
    /// Attestations to carry.
    pub attestations: &'a [Attestation],
}

impl<'a> From<&'a BundleHead> for NewHead<'a> {
    /// The same head again.
    fn from(head: &'a BundleHead) -> Self {
        let BundleHead { list, list_bytes, signatures, attestations } = head;
        Self { list, list_bytes, signatures, attestations }
    }
}

/// Writes a bundle with `head` and the entries of its list that `wanted` picks; their content comes from `sources`.
///
/// Signatures are written in the order of their names. Content is searched by digest, in the order of the sources. Copied frames are not
/// decoded: readers of the result check them.
pub fn compose<W: Write + Send + 'static>(
    head: NewHead<'_>,
    wanted: impl Fn(&Entry) -> bool,
    sources: &[&IndexedBundle],
    output: W,
) -> Result<W, ComposeError> {
    let mut writer = BundleWriter::new(output, head.list.compression.level)?;
    writer.list(head.list_bytes)?;
    let mut signatures: Vec<_> = head.signatures.iter().collect();
    signatures.sort_by(|one, other| one.name.cmp(&other.name));
    signatures.into_iter().try_for_each(|signature| writer.signature(signature))?;
    head.attestations.iter().try_for_each(|attestation| writer.attestation(attestation))?;
    let carried = Carried::by(sources);
    for entry in head.list.entries.iter().filter(|entry| wanted(entry)) {
        let missing = || ComposeError::NotCarried { path: entry.path.clone(), digest: entry.digest };
        let (source, theirs) = carried.find(entry).ok_or_else(missing)?;
        if source.list().compression == head.list.compression
            && TarHeader::of_entry(theirs) == TarHeader::of_entry(entry)
        {
            for frame in source.entry_frames(theirs) {
                writer.verbatim(frame?)?;
            }
        } else {
            recompress(source, theirs, entry, &mut writer)?;
        }
    }
    Ok(writer.finish()?)
}

/// The bundle and entry that carry each digest.
struct Carried<'a>(HashMap<Digest, (&'a IndexedBundle, &'a Entry)>);

impl<'a> Carried<'a> {
    fn by(sources: &[&'a IndexedBundle]) -> Self {
        let mut carried = HashMap::new();
        for source in sources {
            for (digest, entry) in source.carried() {
                carried.entry(digest).or_insert((*source, entry));
            }
        }
        Self(carried)
    }

    fn find(&self, entry: &Entry) -> Option<(&'a IndexedBundle, &'a Entry)> {
        self.0.get(&entry.digest).copied()
    }
}

/// Decodes an entry of `source` and writes it as `entry`, through a pipe, so that it need not fit into memory.
fn recompress<W: Write + Send + 'static>(
    source: &IndexedBundle,
    theirs: &Entry,
    entry: &Entry,
    writer: &mut BundleWriter<W>,
) -> Result<(), ComposeError> {
    let failed = |error| WriteError::Read { path: entry.path.clone(), source: error };
    let (mut reader, mut pipe) = io::pipe().map_err(failed)?;
    thread::scope(|scope| {
        let copying = scope.spawn(move || source.copy_entry(theirs, &mut pipe));
        let written = writer.entry(entry, &mut reader);
        // Unread bytes would keep the copying thread waiting.
        let drained = io::copy(&mut reader.by_ref(), &mut io::sink());
        copying.join().expect("copying does not panic")?;
        drained.map_err(failed)?;
        written?;
        Ok(())
    })
}
