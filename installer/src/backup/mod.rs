//! Backups of a cluster: one encrypted file from which `kinstall restore` sets the cluster up again, on other hosts too.
//!
//! A backup is an age file (<https://age-encryption.org/v1>) around a tar, which `age -d` and `tar` open:
//!
//! 1. `backup.json`, the [`BackupList`]: the cluster, the versions, and every other entry with its size and digest.
//! 2. `backup.json.sig`: a signature over the list by a key of the site.
//! 3. The files that are secret, and `cluster.yaml`.
//! 4. `etcd/snapshot.db`.
//!
//! [`write`](mod@write) streams one, [`read`](mod@read) verifies one; neither holds the snapshot in memory. [`collect`] gathers the
//! files of a host, and [`crate::restoration`] sets a host up from them. docs/decisions/backup.md says why a backup is signed and encrypted.

pub mod collect;
pub mod keys;
pub mod list;
pub mod read;
pub mod schedule;
pub mod series;
pub mod write;

pub use kbundle_format::sealed::{Opener, Seal};
pub use list::{BackupEntry, BackupList};
pub use read::{BackupError, Opened};

#[cfg(test)]
mod tests;

/// The list.
const LIST: &str = "backup.json";
/// The signature over it, base64.
const SIGNATURE: &str = "backup.json.sig";
/// The cluster's description.
pub const SPEC: &str = "cluster.yaml";
/// The snapshot of etcd, which comes last.
pub const SNAPSHOT: &str = "etcd/snapshot.db";
/// The prefix of a file of the host; its absolute path follows.
const FILES: &str = "files";
