//! The list of a backup.

use kbundle_format::{Digest, KubeVersion};
use serde::{Deserialize, Serialize};

use super::{FILES, SNAPSHOT, SPEC};
use crate::join_file::Moment;

/// The version of backups that this program writes and reads.
pub const SCHEMA: u32 = 1;
/// Files beside the snapshot are keys, certificates and a description.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// Far more than a control plane has files.
const MAX_ENTRIES: usize = 100;

/// What a backup was made of, and what it contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupList {
    /// Version of the file format; always 1.
    pub schema: u32,
    /// When it was made, by the host's clock.
    pub created: Moment,
    /// The cluster's name.
    pub cluster: String,
    /// The host that it was made on, by its name in the cluster.
    pub host: String,
    /// The Kubernetes release.
    pub kubernetes_version: KubeVersion,
    /// The release of etcd.
    pub etcd_version: String,
    /// The list of the bundle that the cluster was set up from.
    pub bundle: Digest,
    /// Every entry in the order of the file, the snapshot last.
    pub entries: Vec<BackupEntry>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupEntry {
    /// Its name in the tar.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

impl BackupEntry {
    /// The entry for `content`, under the name `path`.
    #[must_use]
    pub fn of(path: &str, content: &[u8]) -> Self {
        Self { path: path.to_owned(), size_bytes: content.len() as u64, digest: Digest::of(content) }
    }
}

/// The name in the tar of the file at the absolute `path` of a host.
#[must_use]
pub fn name_of(path: &str) -> String {
    format!("{FILES}{path}")
}

impl BackupList {
    /// The list in the form that is signed and written.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a list is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a list whose signature was verified.
    ///
    /// # Errors
    /// Why it is not a list, for people.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        /// The part that all versions have.
        #[derive(Deserialize)]
        struct AnyVersion {
            schema: u32,
        }
        let AnyVersion { schema } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if schema != SCHEMA {
            return Err(format!("it has schema {schema}, this program knows {SCHEMA}"));
        }
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        list.validate()?;
        Ok(list)
    }

    fn validate(&self) -> Result<(), String> {
        let Some((last, files)) = self.entries.split_last() else { return Err("it lists no entry".to_owned()) };
        if last.path != SNAPSHOT {
            return Err("it does not end with a snapshot of etcd".to_owned());
        }
        if self.entries.len() > MAX_ENTRIES {
            return Err(format!("it lists more than {MAX_ENTRIES} entries"));
        }
        for (place, entry) in files.iter().enumerate() {
            if files[..place].iter().any(|other| other.path == entry.path) {
                return Err(format!("it lists {} twice", entry.path));
            }
            if entry.size_bytes > MAX_FILE_BYTES {
                return Err(format!("{} is larger than {MAX_FILE_BYTES} bytes", entry.path));
            }
            if entry.path != SPEC && !entry.path.starts_with("files/") {
                return Err(format!("it lists {}, which this program does not know", entry.path));
            }
        }
        Ok(())
    }

    /// The snapshot of etcd.
    #[must_use]
    pub fn snapshot(&self) -> &BackupEntry {
        self.entries.last().expect("a list without a snapshot is refused")
    }

    /// Bytes of all entries.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size_bytes).sum()
    }
}
