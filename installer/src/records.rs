//! What kinstall keeps on a host beside the ledger: the list it installed from with its signatures and the keys that were
//! trusted, and the cluster's description. For `status`, and for whoever audits the host later.

use anyhow::{Context as _, anyhow};
use kbundle_format::{BundleList, Digest, IndexedBundle, KeyId, SignatureFile, TrustPolicy, VerifyingKey};

use crate::config::ClusterSpec;
use crate::failure::Advise;
use crate::host::{Host, HostError, ledger};
use crate::trust::Trust;

const LIST: &str = "bundle/bundle.json";
const SIGNATURES: &str = "bundle/signatures";
const KEYS: &str = "bundle/keys";
const SPEC: &str = "cluster.yaml";
const NAME: &str = "host";

/// What a host was set up from.
#[derive(Debug)]
pub struct Records {
    /// The exact bytes that were signed.
    pub list_bytes: Vec<u8>,
    /// The signatures, detached ones included.
    pub signatures: Vec<SignatureFile>,
    /// The keys that were trusted.
    pub keys: Vec<VerifyingKey>,
    /// What the cluster is, as far as this host knows it.
    pub spec: ClusterSpec,
    /// The host's own name in it, where it has several hosts.
    pub name: Option<String>,
}

/// Why records cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What lies there is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Records {
    /// What a host is set up from: a verified bundle, and what the host is to be.
    #[must_use]
    pub fn of(bundle: &IndexedBundle, trust: &Trust, spec: ClusterSpec, name: Option<String>) -> Self {
        let head = bundle.head();
        let signatures = head.signatures.iter().chain(trust.detached()).cloned().collect();
        Self { list_bytes: head.list_bytes.clone(), signatures, keys: trust.keys().to_vec(), spec, name }
    }

    /// Reads what was kept; `None` where nothing, or not all of it, was.
    pub fn read(host: &Host) -> Result<Option<Self>, RecordsError> {
        let text = |name: &str| host.read(&format!("{}/{name}", ledger::DIRECTORY));
        // The description is written last.
        let (Some(spec), Some(list_bytes)) = (text(SPEC)?, text(LIST)?) else { return Ok(None) };
        let damaged = |name: &str, reason: String| RecordsError::Damaged {
            path: format!("{}/{name}", ledger::DIRECTORY),
            reason,
        };
        let spec =
            ClusterSpec::parse(&String::from_utf8_lossy(&spec)).map_err(|error| damaged(SPEC, error.to_string()))?;
        let mut keys = Vec::new();
        for (name, content) in files(host, KEYS)? {
            let key = VerifyingKey::from_pem(&String::from_utf8_lossy(&content));
            keys.push(key.map_err(|error| damaged(&format!("{KEYS}/{name}"), error.to_string()))?);
        }
        let signatures = files(host, SIGNATURES)?;
        let signatures = signatures.into_iter().map(|(name, content)| SignatureFile { name, content }).collect();
        let name = text(NAME)?.map(|name| String::from_utf8_lossy(&name).trim().to_owned());
        Ok(Some(Self { list_bytes, signatures, keys, spec, name }))
    }

    /// The same of a host that was begun with; before its first step nothing binds it to what was kept.
    pub fn read_begun(host: &Host) -> Result<Option<Self>, RecordsError> {
        if host.ledger().has_begun() { Self::read(host) } else { Ok(None) }
    }

    /// Keeps all of it; files that are there already with the same content are left alone.
    pub fn keep(&self, host: &Host) -> Result<(), RecordsError> {
        let spec = serde_yaml::to_string(&self.spec).expect("the description is plain data");
        let keys = self.keys.iter().map(|key| (format!("{KEYS}/{}.pem", key.id()), key.to_pem().into_bytes()));
        let signatures = self.signatures.iter().map(|file| {
            // Detached files may have any name; the content names the file.
            (format!("{SIGNATURES}/{}.sig", Digest::of(&file.content).hex()), file.content.clone())
        });
        let list = (LIST.to_owned(), self.list_bytes.clone());
        let name = self.name.iter().map(|name| (NAME.to_owned(), format!("{name}\n").into_bytes()));
        let spec = [(SPEC.to_owned(), spec.into_bytes())];
        let files = std::iter::once(list).chain(keys).chain(signatures).chain(name).chain(spec);
        for (name, content) in files {
            host.keep_record(&name, &content)?;
        }
        Ok(())
    }

    /// Refuses to make something else of a host that was begun with another bundle, or as part of another cluster.
    pub fn refuse_another(&self, host: &Host) -> anyhow::Result<()> {
        let Some(found) = Self::read_begun(host)? else { return Ok(()) };
        let other =
            |what| format!("this host was set up from another {what}; changing a running cluster is not supported yet");
        let result = if found.list_bytes != self.list_bytes {
            Err(anyhow!(other_bundle(&found.list_bytes, &self.list_bytes).unwrap_or_else(|| other("bundle"))))
        } else if found.name != self.name {
            let called = |name: &Option<String>| name.clone().unwrap_or_else(|| "the only host".to_owned());
            Err(anyhow!("this host was set up as {}, and is called {} now", called(&found.name), called(&self.name)))
        } else {
            self.spec.same_cluster_as(&found.spec).with_context(|| other("cluster description"))
        };
        result.refused().hint(
            "give the one it was set up from (`kinstall status` shows it), or remove the cluster with `kinstall reset` first",
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

/// What is wrong with a list that is not the one a host was set up from, where the versions of Kubernetes say it.
fn other_bundle(found: &[u8], given: &[u8]) -> Option<String> {
    let version = |bytes| BundleList::parse(bytes).ok().map(|list| list.kubernetes_version);
    let (standing, given) = (version(found)?, version(given)?);
    (standing != given).then(|| {
        format!(
            "this host was set up with Kubernetes {standing}; the bundle has {given}; changing the version of a running cluster is \
             not supported yet"
        )
    })
}

/// Name and content of the files in a directory of the records, sorted by name.
fn files(host: &Host, directory: &str) -> Result<Vec<(String, Vec<u8>)>, HostError> {
    let mut found = Vec::new();
    let directory = format!("{}/{directory}", ledger::DIRECTORY);
    for name in host.names_in(&directory)? {
        let content = host.read(&format!("{directory}/{name}"))?;
        found.extend(content.map(|content| (name, content)));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_bundle_of_another_version_is_told_by_both_versions() {
        let list = |version: &str| fixture::list(version).to_bytes();
        insta::assert_snapshot!(
            other_bundle(&list("1.25.2"), &list("1.36.3")).unwrap(),
            @"this host was set up with Kubernetes 1.25.2; the bundle has 1.36.3; changing the version of a running cluster is not supported yet"
        );
        assert_eq!(other_bundle(&list("1.25.2"), &list("1.25.2")), None);
        assert_eq!(other_bundle(b"damaged", &list("1.25.2")), None);
    }
}
