//! The digests of the static pods' manifests as kubeadm wrote them, in kinstall's records: with them an audit finds a changed manifest.
//!
//! Only manifests that changed while kubeadm ran are recorded again. So a manifest that somebody else changed still counts as changed,
//! whatever kubeadm writes later.

use std::collections::BTreeMap;
use std::io;

use kbundle_format::Digest;
use serde::{Deserialize, Serialize};

use super::{STATIC_PODS, manifest_path};
use crate::host::{Host, HostError, ledger};

const RECORD: &str = "static-pods.json";

/// Digests of manifests by path.
type Manifests = BTreeMap<String, Digest>;

/// The record of the manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WrittenManifests {
    manifests: Manifests,
    /// Whether kubeadm was running when the record was written. If kinstall ended then, nobody saw what kubeadm wrote.
    changing: bool,
}

impl WrittenManifests {
    /// Reads the record; empty if there is none.
    pub fn read(host: &Host) -> Result<Self, HostError> {
        let path = format!("{}/{RECORD}", ledger::DIRECTORY);
        let Some(bytes) = host.read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes)
            .map_err(|error| HostError::File { act: format!("read {path}"), source: io::Error::other(error) })
    }

    /// The digest of what kubeadm wrote to `path`; `None` if it is unknown.
    #[must_use]
    pub fn digest(&self, path: &str) -> Option<Digest> {
        self.manifests.get(path).copied().filter(|_| !self.changing)
    }

    fn keep(&self, host: &Host) -> Result<(), HostError> {
        host.keep_record(RECORD, &serde_json::to_vec(self).expect("the record is plain data"))
    }
}

/// A run of kubeadm whose changes are recorded.
#[must_use]
pub struct Recording {
    before: Manifests,
    record: WrittenManifests,
}

impl Recording {
    /// Call it before kubeadm begins.
    pub fn begin(host: &Host) -> Result<Self, HostError> {
        let mut record = WrittenManifests::read(host)?;
        if record.changing {
            record.manifests.clear();
        }
        record.changing = true;
        record.keep(host)?;
        Ok(Self { before: present(host)?, record })
    }

    /// Call it when kubeadm has ended, with or without success.
    pub fn end(self, host: &Host) -> Result<(), HostError> {
        let Self { before, mut record } = self;
        for (path, digest) in present(host)? {
            if before.get(&path) != Some(&digest) || !record.manifests.contains_key(&path) {
                record.manifests.insert(path, digest);
            }
        }
        record.changing = false;
        record.keep(host)
    }
}

fn present(host: &Host) -> Result<Manifests, HostError> {
    let mut found = Manifests::new();
    for path in STATIC_PODS.map(manifest_path) {
        if let Some((digest, _)) = host.digest(&path)? {
            found.insert(path, digest);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    const SERVER: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
    const SCHEDULER: &str = "etc/kubernetes/manifests/kube-scheduler.yaml";

    fn recorded(bench: &Bench, path: &str) -> Option<Digest> {
        WrittenManifests::read(&bench.host()).unwrap().digest(&format!("/{path}"))
    }

    #[test]
    fn a_change_by_others_is_not_taken_for_kubeadms() {
        let bench = Bench::new();
        let recording = Recording::begin(&bench.host()).unwrap();
        bench.file(SERVER, "server 1");
        bench.file(SCHEDULER, "scheduler");
        recording.end(&bench.host()).unwrap();
        bench.file(SCHEDULER, "changed by others");
        let recording = Recording::begin(&bench.host()).unwrap();
        bench.file(SERVER, "server 2");
        recording.end(&bench.host()).unwrap();
        assert_eq!(recorded(&bench, SERVER), Some(Digest::of(b"server 2")));
        assert_eq!(recorded(&bench, SCHEDULER), Some(Digest::of(b"scheduler")));
    }

    #[test]
    fn after_a_cut_what_kubeadm_wrote_is_unknown_until_it_runs_again() {
        let bench = Bench::new();
        bench.file(SERVER, "server 1");
        Recording::begin(&bench.host()).unwrap().end(&bench.host()).unwrap();
        let _cut = Recording::begin(&bench.host()).unwrap();
        bench.file(SERVER, "server 2");
        assert_eq!(recorded(&bench, SERVER), None);
        Recording::begin(&bench.host()).unwrap().end(&bench.host()).unwrap();
        assert_eq!(recorded(&bench, SERVER), Some(Digest::of(b"server 2")));
    }
}
