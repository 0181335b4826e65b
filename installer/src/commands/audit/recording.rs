//! The record of an earlier audit.

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::keys::public_key;
use kbundle_format::KeyId;

use crate::cli::AuditArguments;
use crate::failure::{Advise, Explained};
use crate::host_audit::HostAuditRecord;

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
