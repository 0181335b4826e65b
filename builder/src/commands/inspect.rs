//! `kbundle inspect`

use anyhow::Context as _;
use indicatif::HumanBytes;
use kbundle_format::{BundleList, BundleSource, BundleStream, Digest, KeyId, Role, SignatureCheck};
use serde::Serialize;

use super::keys;
use crate::cli::InspectArgs;
use crate::output;

/// What `--output json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    schema: u32,
    bundle: String,
    signature: Signature,
    signers: &'a [KeyId],
    signature_files: Vec<&'a str>,
    list_digest: Digest,
    list: &'a BundleList,
}

/// What is known about the signatures.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    Verified,
    NotChecked,
}

pub fn run(arguments: &InspectArgs) -> anyhow::Result<()> {
    let name = arguments.bundle.display();
    let source = BundleSource::open(&arguments.bundle)?;
    let detached = keys::detached(&arguments.signatures)?;
    let trust;
    let (check, signature) = if arguments.key.is_empty() {
        (SignatureCheck::Skipped, Signature::NotChecked)
    } else {
        trust = keys::trust(&arguments.key, arguments.signatures.threshold)?;
        (SignatureCheck::Required { trust: &trust, detached: &detached }, Signature::Verified)
    };
    let stream = BundleStream::open(source.reader(), check).with_context(|| format!("refused {name}"))?;
    let report = Report {
        schema: 1,
        bundle: name.to_string(),
        signature,
        signers: stream.list().signers(),
        signature_files: stream.signatures().iter().map(|file| file.name.as_str()).collect(),
        list_digest: Digest::of(stream.list_bytes()),
        list: stream.list(),
    };
    if let Signature::NotChecked = signature {
        output::note(
            "WARNING: NOTHING WAS VERIFIED; this is only what the file claims. Give --key to check its signatures",
        )?;
    }
    output::result(arguments.output, &text(&report), &report)?;
    Ok(())
}

fn text(report: &Report<'_>) -> String {
    let list = report.list;
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    let mut lines =
        vec![format!("{}: Kubernetes {} for {}", report.bundle, list.kubernetes_version, platforms.join(", "))];
    match report.signature {
        Signature::Verified => {
            let signers: Vec<_> = report.signers.iter().map(KeyId::to_string).collect();
            lines.push(format!(
                "  signature  verified, by {}; the content was not read, `kbundle verify` does that",
                signers.join(", ")
            ));
        }
        Signature::NotChecked => {
            lines.push(format!("  signature  NOT CHECKED; the file carries {}", report.signature_files.len()));
        }
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
