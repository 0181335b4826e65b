//! Reads a backup: opens it, verifies its signature, and then compares each entry with the list.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use kbundle_format::sealed::{OpenError, Opener, damage};
use kbundle_format::{Hasher, SignatureFile, TrustPolicy, VerifyingKey};

use super::list::BackupList;
use super::{LIST, SIGNATURE, SNAPSHOT};

/// Far larger than a list or a signature.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// A backup of which every byte was verified, without the snapshot.
pub struct Opened {
    /// The list.
    pub list: BackupList,
    /// Content by name in the tar. Most of it is secret.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why a file cannot be used as a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was opened, but its content is not what was written.
    #[error("it is damaged or not complete: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// No trusted key signed it.
    #[error("none of the keys given with `--backup-key` signed it: it is of another cluster, or forged")]
    Unsigned,
    /// Its list has another version or form.
    #[error("its list cannot be used: {reason}")]
    List {
        /// What is wrong.
        reason: String,
    },
    /// The writer of the snapshot failed.
    #[error("cannot write the snapshot of etcd")]
    Snapshot {
        /// The cause.
        source: io::Error,
    },
}

/// Reads all of `input`, verifies it, and copies the snapshot of etcd into `snapshot` on the way.
///
/// # Errors
/// Do not use what was copied until then.
pub fn read(
    input: impl Read,
    opener: &Opener,
    keys: &[VerifyingKey],
    snapshot: &mut dyn Write,
) -> Result<Opened, BackupError> {
    let content = opener.open(input)?;
    let mut archive = tar::Archive::new(content);
    let mut entries = archive.entries().map_err(damaged)?;
    let list = small(&mut entries, LIST, MAX_LIST_BYTES)?;
    let signature = small(&mut entries, SIGNATURE, MAX_LIST_BYTES)?;
    let signature = SignatureFile { name: SIGNATURE.to_owned(), content: signature };
    TrustPolicy::new(keys.iter().cloned(), 1)
        .and_then(|policy| policy.check(&list, &[signature]))
        .map_err(|_| BackupError::Unsigned)?;
    let list = BackupList::parse(&list).map_err(|reason| BackupError::List { reason })?;
    let mut files = BTreeMap::new();
    for entry in &list.entries {
        let mut found = next(&mut entries, &entry.path)?;
        if found.size() != entry.size_bytes {
            return Err(differs(&entry.path));
        }
        let mut kept = Vec::new();
        let is_snapshot = entry.path == SNAPSHOT;
        let to: &mut dyn Write = if is_snapshot { &mut *snapshot } else { &mut kept };
        let mut hasher = Hasher::new(to);
        copy(&mut found, &mut hasher)?;
        let (digest, size_bytes, _) = hasher.finish();
        if digest != entry.digest || size_bytes != entry.size_bytes {
            return Err(differs(&entry.path));
        }
        if !is_snapshot {
            files.insert(entry.path.clone(), kept);
        }
    }
    if let Some(entry) = entries.next() {
        entry.map_err(damaged)?;
        return Err(BackupError::Damaged { reason: "it has an entry that its list does not have".to_owned() });
    }
    // Only the last piece of an age file proves that none is missing.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(Opened { list, files })
}

fn next<'a, R: Read>(entries: &mut tar::Entries<'a, R>, name: &str) -> Result<tar::Entry<'a, R>, BackupError> {
    let found = entries.next().transpose().map_err(damaged)?;
    found
        .filter(|entry| entry.path_bytes().as_ref() == name.as_bytes())
        .ok_or_else(|| BackupError::Damaged { reason: format!("{name} is not where it belongs") })
}

fn small<R: Read>(entries: &mut tar::Entries<'_, R>, name: &str, most: u64) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    next(entries, name)?.take(most).read_to_end(&mut bytes).map_err(damaged)?;
    Ok(bytes)
}

/// Distinguishes a backup that ends early from a disk that is full.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<(), BackupError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer).map_err(damaged)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count]).map_err(|source| BackupError::Snapshot { source })?,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: io::Error) -> BackupError {
    BackupError::Damaged { reason: damage(&error) }
}

fn differs(path: &str) -> BackupError {
    BackupError::Damaged { reason: format!("{path} is not what was signed") }
}
