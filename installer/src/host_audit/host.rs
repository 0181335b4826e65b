//! The audit of one host, requested by the command on that host or by the kinstall that leads.

use std::borrow::Cow;

use anyhow::anyhow;
use kbundle_format::{Digest, IndexedBundle, KeyId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traits::HostTraits;
use super::{Finding, Overall, audit, settings};
use crate::config::ClusterSpec;
use crate::failure::{Advise, FailureReport};
use crate::host::Host;
use crate::inputs::OwnedInputs;
use crate::join_material::JoinMaterial;
use crate::records::Records;
use crate::step_progress::StepProgress;
use crate::steps::Context;
use crate::upgrade::unfinished;

/// How deeply images are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageDepth {
    /// By the digests that containerd reports.
    Names,
    /// By their content, which is read again and compared with the digests.
    Content,
}

/// What is compared in addition to the bundle and the host's records.
#[derive(Clone, Copy)]
pub struct AuditScope<'a> {
    /// The cluster.yaml that the host should have been set up with, as far as it concerns the host.
    pub settings: Option<&'a ClusterSpec>,
    /// How deeply images are compared.
    pub depth: ImageDepth,
}

/// What an audit of a host found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostAudit {
    /// The version of Kubernetes that the host was set up with.
    pub kubernetes_version: String,
    /// What the host was compared with: the digest of the list of the bundle.
    pub list_digest: Digest,
    /// The keys that signed the list and are trusted.
    pub signers: Vec<KeyId>,
    /// What the host says of itself.
    pub traits: HostTraits,
    /// Each thing that was looked at, in the order of groups.
    pub findings: Vec<Finding>,
}

impl HostAudit {
    /// Compares a host that was set up by these records with the bundle. Changes nothing.
    ///
    /// # Errors
    /// When the host was set up from another bundle, when an upgrade of it is not finished, or when its facts cannot be read.
    pub fn make(
        host: Host,
        records: &Records,
        bundle: &IndexedBundle,
        scope: AuditScope<'_>,
        progress: &dyn StepProgress,
    ) -> anyhow::Result<Self> {
        refuse_another(records, bundle, &host)?;
        let list = bundle.list();
        let spec = Cow::Borrowed(&records.spec);
        let gathered = OwnedInputs::gather(&host, spec, records.name.as_deref(), Cow::Borrowed(list))?;
        let inputs = gathered.inputs();
        let traits = HostTraits::read(&host, &inputs)?;
        let mut findings = scope.settings.map(|given| settings::look(records, given, list)).unwrap_or_default();
        let material = JoinMaterial::default();
        findings.extend(audit(&Context { host, bundle, inputs, material: &material, progress }, scope.depth));
        Ok(Self {
            kubernetes_version: list.kubernetes_version.to_string(),
            list_digest: Digest::of(&bundle.head().list_bytes),
            signers: list.signers().to_vec(),
            traits,
            findings,
        })
    }
}

/// The records that a host was set up by.
///
/// # Errors
/// Also when kinstall has not set it up.
pub fn records(host: &Host) -> anyhow::Result<Records> {
    match Records::read_begun(host)? {
        Some(records) => Ok(records),
        None => Err(anyhow!("kinstall has not set up this host")).refused().hint("run it on a host of a cluster"),
    }
}

/// Refuses a host between two bundles, and a bundle that the host was not set up from: nearly everything would differ.
fn refuse_another(records: &Records, bundle: &IndexedBundle, host: &Host) -> anyhow::Result<()> {
    if unfinished::target(host)?.is_some() {
        return Err(anyhow!("the upgrade of this host is not finished"))
            .refused()
            .hint("finish it with the bundle that it upgrades to: `kinstall upgrade BUNDLE --key KEY`");
    }
    let given = Digest::of(&bundle.head().list_bytes);
    if records.list_digest() == given {
        return Ok(());
    }
    let standing = records.list_digest();
    Err(anyhow!("this host was set up from the bundle with list {standing}; the list of the one given is {given}"))
        .refused()
        .hint("give the bundle that the host was set up from")
}

/// A host, and what an audit found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditedHost {
    /// Its name as a node of the cluster.
    pub host: String,
    /// All of it in one word. A host that was not audited is unknown.
    pub verdict: Overall,
    /// What was found; absent where the host was not audited.
    #[serde(flatten)]
    pub audit: Option<HostAudit>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl AuditedHost {
    /// What a host answered.
    #[must_use]
    pub fn of(host: String, answer: Result<HostAudit, FailureReport>) -> Self {
        match answer {
            Ok(audit) => Self { host, verdict: Overall::of(&audit.findings), audit: Some(audit), failure: None },
            Err(report) => {
                let failure = std::iter::once(report.error).chain(report.causes).collect::<Vec<_>>().join(": ");
                Self { host, verdict: Overall::Unknown, audit: None, failure: Some(failure) }
            }
        }
    }
}
