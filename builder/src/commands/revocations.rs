//! `kbundle revocations`

use std::path::Path;

use anyhow::Context as _;
use kbundle_cli::Explained as _;
use kbundle_cli::failure;
use kbundle_cli::keys::public_key;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::revocations::RevocationsFile;
use kbundle_commands::destination::refuse_stdout;
use kbundle_commands::input::Input;
use kbundle_commands::signing_key::signing_key;
use kbundle_format::atomic_file::write_atomically;
use kbundle_format::revocations::{Revocations, RevokedBundle, RevokedKey};
use kbundle_format::{Digest, KeyId, Moment, SignatureCheck, SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{RevocationsAddArgs, RevocationsCommand, RevocationsShowArgs};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevocationsList")]
pub struct Report {
    schema: u32,
    /// The file.
    list: String,
    /// The trusted keys that signed it.
    signers: Vec<KeyId>,
    /// What it revokes.
    revocations: Revocations,
}

pub fn run(command: &RevocationsCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        RevocationsCommand::Add(arguments) => add(arguments, output),
        RevocationsCommand::Show(arguments) => show(arguments, output),
    }
}

fn add(arguments: &RevocationsAddArgs, output: OutputFormat) -> anyhow::Result<()> {
    let list = &arguments.list;
    refuse_stdout(list, "a list of revocations").explained()?;
    let keys = arguments.key.iter().map(|path| signing_key(path, &arguments.passphrase));
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let mut revocations = existing(arguments, &keys)?;
    let reason = &arguments.reason;
    if let Some(revoked) = &arguments.revoke_key {
        revocations.keys.insert(key_id(revoked)?, RevokedKey { reason: reason.clone() });
    }
    let superseded_by = arguments.superseded_by.as_deref().map(list_digest).transpose()?;
    for bundle in &arguments.revoke_bundle {
        let digest = list_digest(bundle)?;
        if superseded_by == Some(digest) {
            return Err(failure::usage(
                format!("{bundle} cannot supersede itself"),
                "name the newer bundle with `--superseded-by`",
            ));
        }
        revocations.bundles.insert(digest, RevokedBundle { reason: reason.clone(), superseded_by });
    }
    revocations.number += 1;
    revocations.time = Moment::now();
    let signed = revocations.sign(&keys.iter().collect::<Vec<_>>());
    write_atomically(list, &signed, 0o644).with_context(|| format!("cannot write {}", list.display()))?;
    let signers = keys.iter().map(|key| key.verifying_key().id()).collect();
    let report = Report { schema: SCHEMA, list: list.display().to_string(), signers, revocations };
    Ok(output::result(output, &text(&report), &report)?)
}

/// The existing list; empty if there is none.
fn existing(arguments: &RevocationsAddArgs, keys: &[SigningKey]) -> anyhow::Result<Revocations> {
    if !arguments.list.try_exists()? {
        return Ok(Revocations::new(Moment::now()));
    }
    let mut trusted: Vec<_> = keys.iter().map(SigningKey::verifying_key).collect();
    for path in &arguments.signed_by {
        trusted.push(public_key(path)?.0);
    }
    let read = RevocationsFile::read(&arguments.list, &trusted);
    Ok(read.context("the list was not changed")?.revocations)
}

fn show(arguments: &RevocationsShowArgs, output: OutputFormat) -> anyhow::Result<()> {
    let trusted = arguments.key.iter().map(|path| Ok(public_key(path)?.0));
    let trusted = trusted.collect::<anyhow::Result<Vec<VerifyingKey>>>()?;
    let RevocationsFile { file, revocations, signers } = RevocationsFile::read(&arguments.list, &trusted)?;
    let report = Report { schema: SCHEMA, list: file, signers, revocations };
    Ok(output::result(output, &text(&report), &report)?)
}

/// A key id from its hex digits, or from a key file.
fn key_id(text: &str) -> anyhow::Result<KeyId> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(public_key(Path::new(text))?.0.id()),
    }
}

/// The digest of a bundle's list, given as hex digits or by the bundle's file. The signatures do not matter: it does no harm to revoke one
/// more bundle.
fn list_digest(text: &str) -> anyhow::Result<Digest> {
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let bundle = Input::find_file(Path::new(text))?.open_indexed(SignatureCheck::Skipped)?;
    Ok(Digest::of(&bundle.head().list_bytes))
}

fn text(report: &Report) -> String {
    let Revocations { number, time, keys, bundles, .. } = &report.revocations;
    let mut lines = vec![format!("{}: number {number} of {time}", report.list)];
    lines.extend(report.signers.iter().map(|signer| format!("  signed by  {signer}")));
    lines.extend(keys.iter().map(|(id, revoked)| format!("  key        {id}: {}", revoked.reason)));
    for (list, revoked) in bundles {
        lines.push(format!("  bundle     {list}: {}", revoked.reason));
        lines.extend(revoked.superseded_by.iter().map(|newer| format!("             superseded by {newer}")));
    }
    lines.join("\n")
}
