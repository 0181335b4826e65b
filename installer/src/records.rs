//! What kinstall keeps on a host besides the ledger: the list of the bundle with its signatures, the keys that were trusted, and the
//! cluster's description. They are for `status`, and for later audits of the host.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use kbundle_format::{BundleList, Digest, IndexedBundle, KeyId, Role, SignatureFile, TrustPolicy, VerifyingKey};

use crate::changes;
use crate::config::ClusterSpec;
use crate::config::change::{self, Change, Scope};
use crate::failure::Advise;
use crate::host::{Host, HostError, ledger};
use crate::trust::Trust;

const LIST: &str = "bundle/bundle.json";
const SIGNATURES: &str = "bundle/signatures";
const KEYS: &str = "bundle/keys";
const SPEC: &str = "cluster.yaml";
const NAME: &str = "host";
/// The place of a host's own records, below kinstall's directory.
const OWN: &str = "";
/// The directory of the records of an upgrade's bundle, while the upgrade is under way.
pub const UPGRADE: &str = "upgrade";

/// What a host was set up from.
#[derive(Debug)]
pub struct Records {
    /// The exact bytes that were signed.
    pub list_bytes: Vec<u8>,
    /// The signatures, detached ones included.
    pub signatures: Vec<SignatureFile>,
    /// The keys that were trusted.
    pub keys: Vec<VerifyingKey>,
    /// The cluster, as far as this host knows it.
    pub spec: ClusterSpec,
    /// The host's own name in the cluster, if the cluster has several hosts.
    pub name: Option<String>,
}

/// Why records cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The content is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Records {
    /// The records for a host that is set up from a verified bundle: the bundle's list and signatures, and the host's place in the cluster.
    #[must_use]
    pub fn of(bundle: &IndexedBundle, trust: &Trust, spec: ClusterSpec, name: Option<String>) -> Self {
        let head = bundle.head();
        let signatures = head.signatures.iter().chain(trust.detached()).cloned().collect();
        Self { list_bytes: head.list_bytes.clone(), signatures, keys: trust.keys().to_vec(), spec, name }
    }

    /// Reads the records; `None` if there are none, or not all of them.
    pub fn read(host: &Host) -> Result<Option<Self>, RecordsError> {
        Self::read_in(host, OWN)
    }

    /// The same for records in a directory below kinstall's own.
    pub fn read_in(host: &Host, directory: &str) -> Result<Option<Self>, RecordsError> {
        let below = |name: &str| Path::new(ledger::DIRECTORY).join(directory).join(name).to_string_lossy().into_owned();
        let text = |name: &str| host.read(&below(name));
        // The description is written last, so without it the records are incomplete.
        let (Some(spec), Some(list_bytes)) = (text(SPEC)?, text(LIST)?) else { return Ok(None) };
        let damaged = |name: &str, reason: String| RecordsError::Damaged { path: below(name), reason };
        // The description was validated before it was kept, by the rules of that time.
        let spec =
            ClusterSpec::read(&String::from_utf8_lossy(&spec)).map_err(|error| damaged(SPEC, error.to_string()))?;
        let mut keys = Vec::new();
        for (name, content) in files(host, &below(KEYS))? {
            let key = VerifyingKey::from_pem(&String::from_utf8_lossy(&content));
            keys.push(key.map_err(|error| damaged(&format!("{KEYS}/{name}"), error.to_string()))?);
        }
        let signatures = files(host, &below(SIGNATURES))?;
        let signatures = signatures.into_iter().map(|(name, content)| SignatureFile { name, content }).collect();
        let name = text(NAME)?.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
        Ok(Some(Self { list_bytes, signatures, keys, spec, name }))
    }

    /// Reads the records of a host whose setup has begun. Before its first step, the records do not bind it.
    pub fn read_begun(host: &Host) -> Result<Option<Self>, RecordsError> {
        if host.ledger().has_begun() { Self::read(host) } else { Ok(None) }
    }

    /// Keeps all records; existing files with the same content are left alone.
    pub fn keep(&self, host: &Host) -> Result<(), RecordsError> {
        self.keep_in(host, OWN)
    }

    /// The same in a directory below kinstall's own.
    pub fn keep_in(&self, host: &Host, directory: &str) -> Result<(), RecordsError> {
        for (name, content) in self.files() {
            host.keep_record(&Path::new(directory).join(name).to_string_lossy(), &content)?;
        }
        Ok(())
    }

    /// Keeps all records in place of the former ones. If it is cut off anywhere, the records on the host still pass their verification.
    pub fn replace(&self, host: &Host) -> Result<(), RecordsError> {
        let mut files_of_this = self.files();
        // The list comes after its signatures and the keys; signatures over the former list do no harm.
        files_of_this.sort_by_key(|(name, _)| !(name.starts_with(SIGNATURES) || name.starts_with(KEYS)));
        for (name, content) in &files_of_this {
            host.keep_record(name, content)?;
        }
        for directory in [SIGNATURES, KEYS] {
            for (name, _) in files(host, &format!("{}/{directory}", ledger::DIRECTORY))? {
                let path = format!("{directory}/{name}");
                if !files_of_this.iter().any(|(kept, _)| *kept == path) {
                    host.remove_record(&path)?;
                }
            }
        }
        Ok(())
    }

    /// The files of the records, in the order in which they are written.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let spec = serde_yaml::to_string(&self.spec).expect("the description is plain data");
        let keys = self.keys.iter().map(|key| (format!("{KEYS}/{}.pem", key.id()), key.to_pem().into_bytes()));
        let signatures = self.signatures.iter().map(|file| {
            // Detached files may have any name, so the digest of the content is used as the name.
            (format!("{SIGNATURES}/{}.sig", Digest::of(&file.content).hex()), file.content.clone())
        });
        let list = (LIST.to_owned(), self.list_bytes.clone());
        let name = self.name.iter().map(|name| (NAME.to_owned(), format!("{name}\n").into_bytes()));
        let spec = [(SPEC.to_owned(), spec.into_bytes())];
        std::iter::once(list).chain(keys).chain(signatures).chain(name).chain(spec).collect()
    }

    /// Refuses to change the purpose of a host that was begun with another bundle, or as part of another cluster. Also refuses a host whose
    /// upgrade is not finished.
    pub fn refuse_another(&self, host: &Host) -> anyhow::Result<()> {
        let Some(found) = Self::read_begun(host)? else { return Ok(()) };
        if let Some(target) = Self::read_in(host, UPGRADE)? {
            let version = |records: &Self| BundleList::parse(&records.list_bytes).map(|list| list.kubernetes_version);
            let (from, to) = (version(&found)?, version(&target)?);
            return Err(anyhow!("the upgrade of this host from Kubernetes {from} to {to} is not finished"))
                .refused()
                .hint("finish it with the same bundle: `kinstall upgrade BUNDLE --key KEY`");
        }
        if found.list_bytes != self.list_bytes {
            return Err(anyhow!(other_bundle(&found.list_bytes, &self.list_bytes))).refused().hint(
                "`kinstall upgrade BUNDLE --key KEY` changes the version of a cluster; for anything else give the bundle that it was set up \
                 from (`kinstall status` shows it)",
            );
        }
        found.refuse_another_name(self.name.as_deref())?;
        changes::refuse(&found.changes_to(&self.spec))
    }

    /// Where `spec` differs from these records. Only the first control plane knows all hosts.
    #[must_use]
    pub fn changes_to(&self, spec: &ClusterSpec) -> Vec<Change> {
        let leader = self.spec.hosts.iter().find(|host| host.roles.contains(&Role::ControlPlane));
        let leads = leader.is_none_or(|host| self.name.as_deref() == Some(host.name.as_str()));
        change::changes(&self.spec, spec, if leads { Scope::AllHosts } else { Scope::HostsOfBoth })
    }

    /// Refuses to upgrade a host that was set up from these records if the settings differ, or if it would be another host.
    pub fn refuse_another_cluster(&self, spec: &ClusterSpec, name: Option<&str>) -> anyhow::Result<()> {
        self.refuse_another_name(name)?;
        spec.same_cluster_as(&self.spec)
            .context("cluster.yaml has other settings than this host, and an upgrade does not change them")
            .refused()
            .hint("put the former value back, and change it before or after the upgrade with `kinstall run`")
    }

    /// Refuses to work on a host as another than it was set up as.
    pub fn refuse_another_name(&self, name: Option<&str>) -> anyhow::Result<()> {
        if self.name.as_deref() == name {
            return Ok(());
        }
        let called = |name: Option<&str>| name.unwrap_or("the only host").to_owned();
        let (was, is) = (called(self.name.as_deref()), called(name));
        Err(anyhow!("this host was set up as {was}, and is called {is} now")).refused().hint(
            "give the cluster.yaml that it was set up from (`kinstall status` shows it), or remove the cluster with `kinstall reset` first",
        )
    }

    /// Digest of the list.
    #[must_use]
    pub fn list_digest(&self) -> Digest {
        Digest::of(&self.list_bytes)
    }

    /// The list, checked against its signatures again, and the keys that signed it.
    pub fn verified_list(&self) -> anyhow::Result<(BundleList, Vec<KeyId>)> {
        let signers = TrustPolicy::new(self.keys.iter().cloned(), 1)?.check(&self.list_bytes, &self.signatures)?;
        Ok((BundleList::parse(&self.list_bytes)?, signers))
    }
}

/// What is wrong with a list that is not the one a host was set up from; names the versions of Kubernetes if they differ.
fn other_bundle(found: &[u8], given: &[u8]) -> String {
    let version = |bytes| BundleList::parse(bytes).ok().map(|list| list.kubernetes_version);
    match version(found).zip(version(given)) {
        Some((standing, given)) if standing != given => format!(
            "this host was set up with Kubernetes {standing}; the bundle has {given}; `kinstall run` does not change the version of a running \
             cluster"
        ),
        _ => "this host was set up from another bundle; `kinstall run` does not change the bundle of a running cluster"
            .to_owned(),
    }
}

/// Name and content of the files in a directory, sorted by name.
fn files(host: &Host, directory: &str) -> Result<Vec<(String, Vec<u8>)>, HostError> {
    let mut found = Vec::new();
    for name in host.names_in(directory)? {
        let content = host.read(&format!("{directory}/{name}"))?;
        found.extend(content.map(|content| (name, content)));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, bench::Bench};
    use crate::host::Change;
    use crate::upgrade::unfinished;

    #[test]
    fn a_bundle_of_another_version_is_told_by_both_versions() {
        let list = |version: &str| fixture::list(version).to_bytes();
        insta::assert_snapshot!(
            other_bundle(&list("1.25.2"), &list("1.36.3")),
            @"this host was set up with Kubernetes 1.25.2; the bundle has 1.36.3; `kinstall run` does not change the version of a running cluster"
        );
        for found in [list("1.25.2"), b"damaged".to_vec()] {
            assert!(other_bundle(&found, &list("1.25.2")).starts_with("this host was set up from another bundle"));
        }
    }

    fn records(version: &str, signature: &str) -> Records {
        Records {
            list_bytes: fixture::list(version).to_bytes(),
            signatures: vec![SignatureFile { name: "a.sig".into(), content: signature.into() }],
            keys: vec![],
            spec: ClusterSpec::default(),
            name: None,
        }
    }

    #[test]
    fn records_that_take_the_place_of_others_leave_none_of_their_signatures() {
        let bench = Bench::new();
        records("1.35.4", "over the old list").keep(&bench.host()).unwrap();
        let new = records("1.36.3", "over the new list");
        new.replace(&bench.host()).unwrap();
        let found = Records::read(&bench.host()).unwrap().unwrap();
        assert_eq!(found.list_bytes, new.list_bytes);
        let contents: Vec<_> = found.signatures.iter().map(|file| file.content.clone()).collect();
        assert_eq!(contents, [b"over the new list".to_vec()]);
    }

    #[test]
    fn while_an_upgrade_is_not_finished_neither_bundle_is_run() {
        let bench = Bench::new();
        let (old, new) = (records("1.35.4", "old"), records("1.36.3", "new"));
        let begun = Change::StepStarted { step: "programs".into() };
        bench.host().ledger_mut().record(begun).unwrap();
        old.keep(&bench.host()).unwrap();
        assert!(old.refuse_another(&bench.host()).is_ok());
        let refusal = |records: &Records| crate::failure::message(&records.refuse_another(&bench.host()).unwrap_err());
        assert!(refusal(&new).contains("hint: `kinstall upgrade BUNDLE"), "{}", refusal(&new));
        unfinished::begin(&mut bench.host(), &new).unwrap();
        for records in [&old, &new] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(refusal(records), @r"
                error: the upgrade of this host from Kubernetes 1.35.4 to 1.36.3 is not finished
                hint: finish it with the same bundle: `kinstall upgrade BUNDLE --key KEY`
                ");
            }
        }
    }
}
