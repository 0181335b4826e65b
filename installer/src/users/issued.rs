//! The record, in the cluster, of certificates that kinstall issued to users.
//!
//! `kinstall kubeconfig --user` lets kubeadm sign them with the cluster's authority; the API does not learn about them. The record is a
//! `ConfigMap` with one key for each certificate: the SHA-256 of the certificate. Its content is public. A certificate is removed from it
//! long after its end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::{Digest, Moment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kubectl::{FIELD_MANAGER, Kubectl};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kinstall-users";
/// How long a certificate stays in the record after its end, for people who read logs.
const KEPT_AFTER_END: Duration = Duration::from_hours(90 * 24);

/// A certificate that kinstall had signed for a user, as it was noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedCertificate {
    /// The user.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// When it was signed.
    pub issued: Moment,
    /// When it ends.
    pub not_after: Moment,
    /// The host on which it was signed.
    pub issued_on: String,
}

/// The content of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The certificates, by the SHA-256 of each.
    pub certificates: BTreeMap<Digest, IssuedCertificate>,
    /// Keys with a content that kinstall did not write.
    pub unreadable: Vec<String>,
}

impl Kept {
    /// Reads the record. It is empty before the first certificate was signed.
    pub fn read(api: &Kubectl<'_>) -> anyhow::Result<Self> {
        let namespace = format!("--namespace={NAMESPACE}");
        let found = api.get(&["configmap", NAME, &namespace])?.unwrap_or_default();
        let mut kept = Self::default();
        for (key, text) in found["data"].as_object().into_iter().flatten() {
            match (Digest::from_hex(key), text.as_str().map(serde_json::from_str)) {
                (Ok(fingerprint), Some(Ok(note))) => drop(kept.certificates.insert(fingerprint, note)),
                _ => kept.unreadable.push(key.clone()),
            }
        }
        Ok(kept)
    }

    /// The keys of certificates that ended long ago.
    fn outdated(&self, now: Moment) -> impl Iterator<Item = &Digest> {
        let all = self.certificates.iter();
        all.filter(move |(_, note)| note.not_after.after(KEPT_AFTER_END) < now).map(|(key, _)| key)
    }
}

/// Records a certificate. Others that are recorded at the same time stay.
pub fn note(api: &Kubectl<'_>, fingerprint: &Digest, issued: &IssuedCertificate) -> anyhow::Result<()> {
    let mut data = Map::new();
    for outdated in Kept::read(api)?.outdated(issued.issued) {
        data.insert(outdated.hex(), Value::Null);
    }
    data.insert(fingerprint.hex(), Value::String(serde_json::to_string(issued)?));
    let labels = json!({"app.kubernetes.io/managed-by": "kinstall", "app.kubernetes.io/component": "users"});
    let empty = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels}});
    api.apply(serde_json::to_vec(&empty)?)?;
    let patch = format!("--patch={}", json!({ "data": data }));
    let (namespace, manager) = (format!("--namespace={NAMESPACE}"), format!("--field-manager={FIELD_MANAGER}"));
    api.run(&["patch", "configmap", NAME, &namespace, "--type=merge", &manager, &patch]).with_context(|| {
        format!("cannot note the certificate of {} in the ConfigMap {NAMESPACE}/{NAME}", issued.user)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    fn note_of(user: &str, not_after: &str) -> IssuedCertificate {
        IssuedCertificate {
            user: user.to_owned(),
            groups: vec!["developers".to_owned()],
            serial: "7f".to_owned(),
            issued: "2026-11-28T10:00:00Z".parse().unwrap(),
            not_after: not_after.parse().unwrap(),
            issued_on: "c1".to_owned(),
        }
    }

    fn with_notes(bench: &Bench, notes: &[(&str, String)]) {
        let data: Map<_, _> = notes.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
        bench.file("notes", &json!({ "data": data }).to_string());
    }

    #[test]
    fn a_note_is_added_beside_others_and_old_ones_go() {
        let bench = Bench::with_programs(|root, command| {
            let is_get = command.arguments.iter().any(|argument| argument == "get");
            is_get.then(|| fs_err::read_to_string(root.join("notes")).unwrap_or_default())
        });
        let host = bench.host();
        let api = Kubectl::on(&host);
        assert_eq!(Kept::read(&api).unwrap(), Kept::default());
        let [old, young, new] = [b"old".as_slice(), b"young", b"new"].map(Digest::of);
        let text = |user: &str, end: &str| serde_json::to_string(&note_of(user, end)).unwrap();
        with_notes(
            &bench,
            &[
                (&old.hex(), text("eve", "2026-08-01T00:00:00Z")),
                (&young.hex(), text("bob", "2026-11-01T00:00:00Z")),
                ("by-hand", "nothing".to_owned()),
                (&Digest::of(b"wrong").hex(), text("tom", "2026-12-01T00:00:00Z").replace("2026-12-01", "next year")),
            ],
        );
        let kept = Kept::read(&api).unwrap();
        assert_eq!(kept.certificates.len(), 2);
        assert_eq!(kept.unreadable.len(), 2, "{kept:?}");
        bench.ran();

        note(&api, &new, &note_of("ana", "2026-12-28T10:00:00Z")).unwrap();
        let ran = bench.ran();
        assert_eq!(ran.len(), 3, "{ran:?}");
        assert!(ran[1].contains("apply --server-side"), "{ran:?}");
        let (_, patch) = ran[2].split_once("--patch=").unwrap();
        let patch: Value = serde_json::from_str(patch).unwrap();
        let data = patch["data"].as_object().unwrap();
        assert_eq!(data.len(), 2, "{patch}");
        assert!(data[&old.hex()].is_null());
        let noted: IssuedCertificate = serde_json::from_str(data[&new.hex()].as_str().unwrap()).unwrap();
        assert_eq!(noted, note_of("ana", "2026-12-28T10:00:00Z"));
    }
}
