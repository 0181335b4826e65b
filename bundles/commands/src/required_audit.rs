//! The record of an audit that a command demands before it uses a bundle.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;
use kbundle_cli::arguments::{SignatureArguments, is_standard_input};
use kbundle_cli::keys::trusted_key;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::atomic_file::parent;
use kbundle_format::audit_record::{AppliedPolicy, AuditedAdvisories, SUFFIX, Verdict};
use kbundle_format::limits::MAX_AUDIT_RECORD_BYTES;
use kbundle_format::volume::{bundle_path, is_volume};
use kbundle_format::{AuditRecord, BundleHead, KeyId, Moment, TrustPolicy, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arguments::BundleArgs;

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
    record: Place,
}

/// The place of a record.
enum Place {
    Named(PathBuf),
    /// Beside the bundle; these are the possible paths, in order.
    Beside(Vec<PathBuf>),
}

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
        let record = match &self.audit_record {
            Some(path) => Place::Named(path.clone()),
            None if is_standard_input(&bundle.bundle) => {
                return Err(failure::usage(
                    "nothing lies beside standard input, so there is no record of an audit",
                    "name the record with `--audit-record FILE`",
                ));
            }
            None => Place::Beside(beside(bundle)?),
        };
        Ok(Some(RequiredAudit { key, record }))
    }
}

/// The possible paths of a bundle's record: beside its file, or in any folder with its volumes.
fn beside(bundle: &BundleArgs) -> anyhow::Result<Vec<PathBuf>> {
    let path = &bundle.bundle;
    if path.is_file() && !is_volume(path).explained()? {
        return Ok(vec![path.with_added_extension(SUFFIX)]);
    }
    let places: Vec<PathBuf> = [path].into_iter().chain(&bundle.volumes.volumes).cloned().collect();
    let named = bundle_path(&places).explained()?.with_added_extension(SUFFIX);
    let name = named.file_name().unwrap_or_default();
    let folder = |place: &PathBuf| if place.is_dir() { place.clone() } else { parent(place).to_owned() };
    Ok(places.iter().map(|place| folder(place).join(name)).collect())
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

impl Place {
    fn read(&self) -> anyhow::Result<(PathBuf, Vec<u8>)> {
        let paths = match self {
            Self::Named(path) => return Ok((path.clone(), content(path).explained().context(READING)?)),
            Self::Beside(paths) => paths,
        };
        for path in paths {
            match content(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return Ok((path.clone(), read.context(READING)?)),
            }
        }
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        Err(failure::refused(
            format!("there is no record of an audit of the bundle: {} is not there", paths.join(", and ")),
            "copy the record beside the bundle, or name it with `--audit-record FILE`",
        ))
    }
}

const READING: &str = "cannot read the record of an audit";

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_AUDIT_RECORD_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_AUDIT_RECORD_BYTES {
        let text = format!("{} is too large for the record of an audit", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
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
