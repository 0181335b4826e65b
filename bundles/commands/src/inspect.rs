//! `inspect`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use indicatif::HumanBytes;
use kbundle_cli::Explained as _;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::program::typed;
use kbundle_format::{BundleList, Digest, KeyId, Role, SignatureCheck};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::BundleArgs;
use crate::input::Input;
use crate::provenance::{self, ProvenanceCheck};
use crate::signers::{self, Signer, Trusted};

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Inspected")]
pub struct Report<'a> {
    schema: u32,
    bundle: String,
    signature: Signature,
    signers: &'a [KeyId],
    signed_by: Vec<Signer>,
    signature_files: Vec<&'a str>,
    attestations: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<ProvenanceCheck>,
    list_digest: Digest,
    list: &'a BundleList,
}

/// What is known about the signatures.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    Verified,
    NotChecked,
}

/// Show what a bundle holds
///
/// Reads only the list at its head. Verifies the signatures with --key; without it, verifies nothing and says so.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Check the signatures with this public key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Which signatures count.
    #[command(flatten)]
    pub signatures: SignatureArguments,
}

/// Does what the command line says.
pub fn run(arguments: &InspectArgs, output: OutputFormat) -> anyhow::Result<()> {
    let input = Input::find(&arguments.bundle)?;
    let detached = signers::detached(&arguments.signatures)?;
    let trusted = match arguments.key.as_slice() {
        [] => None,
        keys => Some(Trusted::read(keys, &arguments.signatures)?),
    };
    let check = match &trusted {
        None => SignatureCheck::Skipped,
        Some(trusted) => SignatureCheck::Required { trust: &trusted.policy, detached: &detached },
    };
    let stream = input.open_stream(check)?;
    let head = stream.head();
    let provenance = trusted.as_ref().map(|trusted| provenance::check(head, trusted)).transpose();
    let signed_by = trusted.as_ref().map(|trusted| trusted.signers(stream.list().signers()));
    let report = Report {
        schema: SCHEMA,
        signature: if trusted.is_some() { Signature::Verified } else { Signature::NotChecked },
        signers: stream.list().signers(),
        signed_by: signed_by.unwrap_or_default(),
        provenance: provenance.explained().with_context(|| input.refused())?,
        attestations: head.attestations.iter().map(|file| file.path.as_str()).collect(),
        bundle: input.name,
        signature_files: head.signatures.iter().map(|file| file.name.as_str()).collect(),
        list_digest: Digest::of(&head.list_bytes),
        list: stream.list(),
    };
    if let Signature::NotChecked = report.signature {
        output::warning(
            "WARNING: NOTHING WAS VERIFIED; this is only what the file claims. Give --key to check its signatures",
        )?;
    }
    output::result(output, &text(&report), &report)?;
    Ok(())
}

fn text(report: &Report<'_>) -> String {
    let list = report.list;
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    let mut lines =
        vec![format!("{}: Kubernetes {} for {}", report.bundle, list.kubernetes_version, platforms.join(", "))];
    match report.signature {
        Signature::Verified => {
            let verify = typed("verify").map(|verify| format!(", `{verify}` does that")).unwrap_or_default();
            lines.push(format!("  signature  verified; the content was not read{verify}"));
            lines.extend(report.signed_by.iter().map(|signer| format!("  signed by  {signer}")));
        }
        Signature::NotChecked => {
            lines.push(format!("  signature  NOT CHECKED; the file carries {}", report.signature_files.len()));
        }
    }
    if let Some(provenance) = &report.provenance {
        lines.push(format!("  provenance {provenance}"));
    }
    lines.push(format!("  list       {}", report.list_digest));
    lines.push(format!("  content    {} in {} entries", HumanBytes(list.size_bytes()), list.entries.len()));
    for source in &list.sources {
        lines.push(format!("  pins from  {} ({})", source.name, source.digest));
    }
    lines.push("\nFILES".to_owned());
    for entry in &list.entries {
        if let Some(component) = &entry.component {
            let platform = entry.platform.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
            lines.push(format!(
                "  {:<20} {:<10} {:<12} {:>11}  {:<24} {}",
                component.name,
                component.version,
                platform,
                HumanBytes(entry.size).to_string(),
                roles(&entry.roles),
                entry.digest,
            ));
        }
    }
    lines.push("\nIMAGES".to_owned());
    for image in &list.images {
        lines.push(format!(
            "  {:<52} {:<12} {:<24} {}",
            image.reference.to_string(),
            image.platform.to_string(),
            roles(&image.roles),
            image.pinned
        ));
    }
    lines.join("\n")
}

fn roles<'a>(roles: impl IntoIterator<Item = &'a Role>) -> String {
    roles.into_iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}
