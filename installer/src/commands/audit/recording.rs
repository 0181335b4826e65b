//! The record of an audit, and the one of an earlier audit.

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::keys::public_key;
use kbundle_commands::recording::Recording;
use kbundle_format::KeyId;

use crate::cli::{AuditArguments, RecordArguments};
use crate::failure::{Advise, Explained};
use crate::host_audit::HostAuditRecord;

/// Reads the key and looks at the name; `None` if no record is asked for.
pub fn prepare(arguments: &RecordArguments) -> anyhow::Result<Option<Recording>> {
    let (Some(path), Some(key)) = (&arguments.record, &arguments.sign_key) else { return Ok(None) };
    Recording::prepare(path, key, &arguments.passphrase, arguments.force.existing()).map(Some)
}

/// The record of the earlier audit, and who signed it; `None` if none was given.
pub fn read_former(arguments: &AuditArguments) -> anyhow::Result<Option<(HostAuditRecord, KeyId)>> {
    let (Some(path), Some(key)) = (&arguments.since, &arguments.record_key) else { return Ok(None) };
    let file = fs::read(path).explained()?;
    let read = HostAuditRecord::read(&path.display().to_string(), &file, &public_key(key)?.0);
    read.context("the earlier record is not taken")
        .refused()
        .hint("give the key of whoever signed it: `--record-key`")
        .map(Some)
}
