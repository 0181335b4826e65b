//! The signed record of an audit.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use kbundle_cli::Explained as _;
use kbundle_commands::destination::{Destination, refuse_stdout};
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_format::audit_record::{AuditResult, AuditedAdvisories, auditor};
use kbundle_format::{AuditRecord, KeyId, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::keys;
use super::Report;
use super::judging::Judged;
use crate::cli::AuditArgs;

/// A record that is written once the bundle was judged.
pub struct Recording {
    path: PathBuf,
    key: SigningKey,
    destination: Destination,
}

/// The record that was written.
#[derive(Serialize, JsonSchema)]
pub struct Recorded {
    pub file: String,
    pub signer: KeyId,
}

impl Recording {
    /// Reads the key and looks at the name; `None` where no record is asked for.
    pub fn prepare(arguments: &AuditArgs) -> anyhow::Result<Option<Self>> {
        let (Some(path), Some(key)) = (&arguments.record, &arguments.sign_key) else { return Ok(None) };
        refuse_stdout(path, "the record of an audit").explained()?;
        let key = keys::signing_key(key, &arguments.passphrase)?;
        let destination = Destination::find(path, None, arguments.force.existing()).explained()?;
        Ok(Some(Self { path: path.clone(), key, destination }))
    }

    /// Writes the record.
    pub fn write(self, judged: &Judged) -> anyhow::Result<Recorded> {
        let interrupt = Interrupt::watch()?;
        let (file, signer) = (self.path.display().to_string(), self.key.verifying_key().id());
        let record = record(&judged.report).sign(&judged.bundle.head().list_bytes, &self.key);
        let write = |destination: Destination| {
            let mut writing = destination.start(&interrupt).explained()?;
            writing.write_all(&record).with_context(|| format!("cannot write {file}"))?;
            writing.commit().explained()
        };
        interrupted(&interrupt, write(self.destination), nothing_written)?;
        Ok(Recorded { file, signer })
    }
}

fn record(report: &Report) -> AuditRecord {
    AuditRecord {
        auditor: auditor(env!("CARGO_PKG_VERSION")),
        time: report.time,
        result: AuditResult::of(&report.verdicts),
        policy: report.policy.clone(),
        signers: report.signers.clone(),
        packages_from: report.packages_from,
        advisories: report.advisories.as_ref().map(|advisories| AuditedAdvisories {
            digest: advisories.digest,
            signers: advisories.signers.clone(),
            day: advisories.day,
            age_days: advisories.age_days,
        }),
        verdicts: report.verdicts.clone(),
    }
}
