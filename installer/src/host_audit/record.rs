//! The signed record of an audit of hosts, and what changed since an earlier one.
//!
//! Statement and envelope are those of [`kbundle_format::attestation`]; its subjects are the lists of the bundles that hosts were compared with.
//! The page about the form is `docs/audit-record.md`.

use std::collections::BTreeMap;

use kbundle_format::attestation::{AttestationError, Builder, Predicate, Statement};
use kbundle_format::{Digest, KeyId, Moment, SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditedHost, Difference, Finding, HostAudit, HostTraits, Overall, Verdict};

const AUDITOR: &str = "urn:kbundle:host-auditor";
/// Shown for a host that lacks what the other record has.
const NOTHING: &str = "nothing";

/// What an audit of hosts found: the predicate of the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAuditRecord {
    /// The program that compared.
    pub auditor: Builder,
    /// The time of the audit, by the clock of its machine.
    pub time: Moment,
    /// The name of the cluster.
    pub cluster: String,
    /// The overall verdict.
    pub verdict: Overall,
    /// The hosts, by name.
    pub hosts: Vec<AuditedHost>,
    /// The differences between hosts.
    pub differences: Vec<Difference>,
}

impl Predicate for HostAuditRecord {
    const TYPE: &'static str = "urn:kbundle:host-audit:v1";
}

/// The program that compares, with its version.
#[must_use]
pub fn auditor(version: &str) -> Builder {
    Builder { id: AUDITOR.to_owned(), version: BTreeMap::from([("kinstall".to_owned(), version.to_owned())]) }
}

impl HostAuditRecord {
    /// The lists of the bundles that hosts were compared with; empty if no host was audited.
    fn lists(&self) -> Vec<Digest> {
        let mut lists: Vec<_> = self.hosts.iter().filter_map(|host| Some(host.audit.as_ref()?.list_digest)).collect();
        lists.sort();
        lists.dedup();
        lists
    }

    /// The file with the record, signed by `key`.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Vec<u8> {
        let mut file = Statement::about_lists(&self.lists(), self).sign(&[key]);
        file.push(b'\n');
        file
    }

    /// Reads a record that `key` signed. Messages call it `path`.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub fn read(path: &str, file: &[u8], key: &VerifyingKey) -> Result<(Self, KeyId), AttestationError> {
        let (statement, _) = Statement::<Self>::verify_signed(path, file, std::slice::from_ref(key))?;
        Ok((statement.predicate, key.id()))
    }
}

/// What changed since an earlier record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// The moment of the earlier audit.
    pub time: Moment,
    /// The key that signed its record.
    pub signer: KeyId,
    /// The hosts on which anything changed.
    pub hosts: Vec<HostChanges>,
}

/// What changed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostChanges {
    /// Its name as a node.
    pub host: String,
    /// What it says of itself, and whether it was audited.
    pub changes: Vec<Change>,
    /// What is not as approved, and was otherwise or not there.
    pub appeared: Vec<Finding>,
    /// What was not as approved, and is otherwise or not there any more.
    pub gone: Vec<Finding>,
}

/// Something that a host says otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TraitChange")]
pub struct Change {
    /// What.
    pub subject: String,
    /// Its value in the earlier record.
    pub was: String,
    /// Its value now.
    pub is: String,
}

impl Since {
    /// Compares these hosts with those of an earlier record that `signer` signed.
    #[must_use]
    pub fn of(former: &HostAuditRecord, signer: KeyId, hosts: &[AuditedHost]) -> Self {
        let names: std::collections::BTreeSet<_> =
            former.hosts.iter().chain(hosts).map(|host| host.host.as_str()).collect();
        let find = |hosts: &'_ [AuditedHost], name: &str| hosts.iter().find(|host| host.host == name).cloned();
        let changes = names.into_iter().map(|name| compare(name, find(&former.hosts, name), find(hosts, name)));
        let is_changed =
            |host: &HostChanges| !(host.changes.is_empty() && host.appeared.is_empty() && host.gone.is_empty());
        Self { time: former.time, signer, hosts: changes.filter(is_changed).collect() }
    }
}

fn compare(name: &str, was: Option<AuditedHost>, is: Option<AuditedHost>) -> HostChanges {
    let [was_state, is_state] = [&was, &is].map(|host| match host {
        None => "not part of the audit",
        Some(AuditedHost { audit: None, .. }) => "not reached",
        Some(_) => "audited",
    });
    let [was, is] = [was, is].map(|host| host.and_then(|host| host.audit));
    let mut found = HostChanges { host: name.to_owned(), changes: vec![], appeared: vec![], gone: vec![] };
    let mut change = |subject: &str, was: &str, is: &str| {
        if was != is {
            found.changes.push(Change { subject: subject.to_owned(), was: was.to_owned(), is: is.to_owned() });
        }
    };
    change("host", was_state, is_state);
    // If one of the audits does not know the host, there is nothing to compare.
    let (Some(was), Some(is)) = (was, is) else { return found };
    let (before, after) = (said(&was), said(&is));
    for subject in before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>() {
        let value =
            |values: &BTreeMap<String, String>| values.get(subject).cloned().unwrap_or_else(|| NOTHING.to_owned());
        change(subject, &value(&before), &value(&after));
    }
    found.appeared = only_in(&is.findings, &was.findings);
    found.gone = only_in(&was.findings, &is.findings);
    found
}

/// A host's traits by name.
fn said(audit: &HostAudit) -> BTreeMap<String, String> {
    let HostTraits { distribution, kernel, machine_id, kernel_settings, shared_files, roles, .. } = &audit.traits;
    let roles = roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let one = [
        ("list of the bundle", audit.list_digest.to_string()),
        ("Kubernetes", audit.kubernetes_version.clone()),
        ("roles", roles),
        ("distribution", distribution.clone()),
        ("kernel", kernel.clone()),
        ("machine id", machine_id.clone().unwrap_or_else(|| NOTHING.to_owned())),
    ];
    let one = one.into_iter().map(|(name, value)| (name.to_owned(), value));
    let settings = kernel_settings.iter().map(|(name, value)| (name.clone(), value.clone()));
    let files = shared_files.iter().map(|(path, digest)| (path.clone(), digest.to_string()));
    one.chain(settings).chain(files).collect()
}

/// The findings of `these` that are not as approved and that are not in `others`.
fn only_in(these: &[Finding], others: &[Finding]) -> Vec<Finding> {
    let is_new = |finding: &&Finding| finding.verdict != Verdict::AsApproved && !others.contains(finding);
    these.iter().filter(is_new).cloned().collect()
}

#[cfg(test)]
mod tests {
    use kbundle_format::key::Algorithm;
    use kbundle_format::{Platform, Role};

    use super::super::Group;
    use super::*;

    fn host(name: &str, kernel: &str, findings: Vec<Finding>) -> AuditedHost {
        let traits = HostTraits {
            node: name.to_owned(),
            roles: [Role::Worker].into(),
            platform: "linux/amd64".parse::<Platform>().unwrap(),
            distribution: "Debian 12".into(),
            kernel: kernel.into(),
            machine_id: None,
            kernel_settings: BTreeMap::new(),
            shared_files: BTreeMap::new(),
        };
        let list_digest = Digest::of(b"list");
        let audit = HostAudit { kubernetes_version: "1.36.3".into(), list_digest, signers: vec![], traits, findings };
        AuditedHost::of(name.to_owned(), Ok(audit))
    }

    fn record(hosts: Vec<AuditedHost>) -> HostAuditRecord {
        HostAuditRecord {
            auditor: auditor("1.0.0"),
            time: "2026-11-28T07:00:00Z".parse().unwrap(),
            cluster: "plant-7".into(),
            verdict: Overall::AsApproved,
            hosts,
            differences: vec![],
        }
    }

    fn drift(found: &str) -> Finding {
        Finding::drifted(Group::Files, "/etc/a", "x", found)
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_by_its_key_alone() {
        let [key, stranger] = [(); 2].map(|()| SigningKey::generate(Algorithm::Ed25519).unwrap());
        let written = record(vec![host("w1", "6.1", vec![drift("y")])]);
        let file = written.clone().sign(&key);
        assert_eq!(
            HostAuditRecord::read("it", &file, &key.verifying_key()).unwrap(),
            (written, key.verifying_key().id())
        );
        assert!(HostAuditRecord::read("it", &file, &stranger.verifying_key()).is_err());
        let envelope: serde_json::Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    }

    #[test]
    fn what_changed_is_told_and_what_stayed_is_not() {
        let signer = SigningKey::generate(Algorithm::Ed25519).unwrap().verifying_key().id();
        let approved = || Finding::as_approved(Group::Files, "/etc/b");
        let former = record(vec![
            host("w1", "6.1", vec![drift("y"), approved()]),
            host("w2", "6.1", vec![approved()]),
            host("w3", "6.1", vec![drift("y")]),
        ]);
        let now = [
            host("w1", "6.2", vec![drift("z"), approved()]),
            host("w2", "6.1", vec![approved()]),
            AuditedHost { audit: None, failure: Some("timed out".into()), ..host("w3", "6.1", vec![]) },
        ];
        let since = Since::of(&former, signer, &now);
        let change =
            |subject: &str, was: &str, is: &str| Change { subject: subject.into(), was: was.into(), is: is.into() };
        let of = |host: &str, changes, appeared, gone| HostChanges { host: host.into(), changes, appeared, gone };
        assert_eq!(
            since.hosts,
            [
                of("w1", vec![change("kernel", "6.1", "6.2")], vec![drift("z")], vec![drift("y")]),
                of("w3", vec![change("host", "audited", "not reached")], vec![], vec![]),
            ]
        );
    }
}
