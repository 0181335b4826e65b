//! The record of an audit that a command demands before it uses a bundle.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::keys::trusted_key;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::audit_record::{AppliedPolicy, AuditedAdvisories, SUFFIX, Verdict};
use kbundle_format::limits::MAX_AUDIT_RECORD_BYTES;
use kbundle_format::{AuditRecord, BundleHead, KeyId, Moment, TrustPolicy, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arguments::BundleArgs;
use crate::sidecar::{Sidecar, SidecarKind};

/// Whether a bundle has to have passed an audit.
#[derive(Clone, Debug, Default, Args)]
pub struct RequiredAuditArgs {
    /// Refuse the bundle unless a record signed with this key says that it passed an audit
    ///
    /// The record has to name exactly this bundle's list.
    #[arg(long, value_name = "FILE")]
    pub require_audit: Option<PathBuf>,
    /// The record of the audit [default: BUNDLE.audit.json beside the bundle]
    #[arg(long, value_name = "FILE", requires = "require_audit")]
    pub audit_record: Option<PathBuf>,
}

/// A required record.
pub struct RequiredAudit {
    key: VerifyingKey,
    record: Sidecar,
}

/// The record of an audit.
const RECORD: SidecarKind = SidecarKind {
    name: "record of an audit",
    short_name: "record",
    suffix: SUFFIX,
    option: "--audit-record",
    max_bytes: MAX_AUDIT_RECORD_BYTES,
};

/// An audit that a bundle passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassedAudit {
    /// The file with the record.
    pub record: String,
    /// Who signed the record.
    pub signer: KeyId,
    /// When, by the auditor's clock.
    pub time: Moment,
    /// By which policy.
    pub policy: AppliedPolicy,
    /// The file of advisories, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advisories: Option<AuditedAdvisories>,
    /// What a rule refuses and a waiver allows.
    pub waived: Vec<Verdict>,
}

impl RequiredAuditArgs {
    /// Reads the key, and finds the place of the bundle's record; `None` if no record is required.
    ///
    /// # Errors
    /// When the key cannot be used or is revoked, or for a bundle on standard input without `--audit-record`.
    pub fn read(
        &self,
        bundle: &BundleArgs,
        signatures: &SignatureArguments,
        trust: &TrustPolicy,
    ) -> anyhow::Result<Option<RequiredAudit>> {
        let Some(path) = &self.require_audit else { return Ok(None) };
        let (key, _) = trusted_key(path, signatures)?;
        if let Some(reason) = trust.revoked_key(&key.id()) {
            return Err(failure::refused(
                format!("the key of the audit, {}, is revoked: {reason}; nothing was changed", path.display()),
                "have the bundle audited again, with another key",
            ));
        }
        let record = RECORD.find(self.audit_record.as_deref(), bundle)?;
        Ok(Some(RequiredAudit { key, record }))
    }
}

impl RequiredAudit {
    /// Checks that the bundle with this head passed an audit.
    ///
    /// # Errors
    /// When there is no record, or it is not valid for this bundle.
    pub fn check(&self, head: &BundleHead) -> anyhow::Result<PassedAudit> {
        let (path, file) = self.record.read()?;
        let path = path.display().to_string();
        let record = AuditRecord::read_passed(&path, &file, &head.list_bytes, &self.key).explained()?;
        let waived = record.waived().map(|(verdict, _)| verdict.clone()).collect();
        let AuditRecord { time, policy, advisories, .. } = record;
        Ok(PassedAudit { record: path, signer: self.key.id(), time, policy, advisories, waived })
    }
}

impl fmt::Display for PassedAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "passed by the policy {} at {}, signed by {}", self.policy.name, self.time, self.signer)?;
        for verdict in &self.waived {
            write!(f, "\n  waived: {} of {}", verdict.rule.as_str(), verdict.subject)?;
            if let Some(waiver) = &verdict.waiver {
                write!(f, ", by {} until {}: {}", waiver.name, waiver.until, waiver.reason)?;
            }
        }
        Ok(())
    }
}
