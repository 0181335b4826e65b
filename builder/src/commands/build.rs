//! `kbundle build`

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use kbundle::catalog::Catalog;
use kbundle::demand;
use kbundle::fetch::Cache;
use kbundle::interrupt::Interrupt;
use kbundle::lock::Lock;
use kbundle::pack::{BundleExtras, Contents};
use kbundle_cli::{Explained as _, output, progress};
use kbundle_format::head::Attestation;
use kbundle_format::{Compression, Digest, Entry, KeyId, KubeVersion, SignatureFile, SigningKey};
use serde::Serialize;

use super::composed::note_beside;
use super::plan::{Plan, Source};
use super::{dry_run, keys, provenance, reproduce, source};
use crate::cli::BuildArgs;

/// Higher levels gain little on layers that are compressed already, and cost minutes.
const DEFAULT_LEVEL: i32 = 9;

/// What `--output json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: u32,
    bundle: String,
    kubernetes_version: KubeVersion,
    size_bytes: u64,
    content_bytes: u64,
    entries: usize,
    left_out: usize,
    list_digest: Digest,
    signers: Vec<KeyId>,
    volumes: Vec<String>,
}

pub fn run(arguments: &BuildArgs) -> anyhow::Result<()> {
    if let Some(bundle) = &arguments.reproduce {
        return reproduce::run(arguments, bundle);
    }
    let file = source::spec_file(&arguments.spec)?;
    if arguments.dry_run {
        return dry_run::run(arguments, &file);
    }
    let Plan { source, upstream, mirrors, keys, path, destination, bases, cache, .. } =
        Plan::of(arguments, &file, Catalog::resolve)?;
    let keys = signing_keys(keys, arguments)?;
    let cache = Cache::open(cache.directory()).explained()?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let interrupt = Interrupt::watch()?;
    let lock = source::online(&fetcher, &upstream, &interrupt, async {
        match source {
            Source::Locked(lock) => fetcher.fetch(lock).await,
            Source::Selected(selection) => fetcher.pin_and_fetch(selection).await,
        }
    })?;
    progress.finish();

    let level = arguments.level.or(file.level).unwrap_or(DEFAULT_LEVEL);
    let contents = Contents::of(&lock, Compression::at_level(level)).explained()?;
    let in_a_base = bases.iter().flat_map(|base| base.carried().into_keys()).collect::<HashSet<_>>();
    let carried = |entry: &Entry| !in_a_base.contains(&entry.digest);
    let (signatures, attestations) = sign(&lock, &contents, &keys)?;
    let extras = BundleExtras { signatures: &signatures, attestations: &attestations, carried: &carried };
    let entries: Vec<_> = contents.list.entries.iter().filter(|entry| carried(entry)).collect();
    let content_bytes = entries.iter().map(|entry| entry.size).sum();
    let bar = progress::bar("packing", content_bytes);
    if bases.is_empty() {
        destination.check_room(demand::least_bundle_bytes(&entries)).explained()?;
    }
    let to_stdout = destination.is_stdout();
    let write = || {
        let output = destination.start(&interrupt).explained()?;
        contents.write(output, &cache, extras, &|bytes| bar.inc(bytes)).explained()?.commit().explained()
    };
    let written = source::interrupted(&interrupt, write(), || source::downloads_kept(&cache))?;
    bar.finish_and_clear();

    let report = Report {
        schema: 1,
        bundle: path.display().to_string(),
        kubernetes_version: lock.kubernetes,
        size_bytes: written.size_bytes,
        content_bytes,
        entries: entries.len(),
        left_out: contents.list.entries.len() - entries.len(),
        list_digest: Digest::of(&contents.list.to_bytes()),
        signers: keys.iter().map(|(_, key)| key.verifying_key().id()).collect(),
        volumes: if arguments.split.split().is_some() { names(&written.files) } else { Vec::new() },
    };
    note_beside(&written)?;
    if to_stdout {
        output::result_beside(arguments.output, &text(&report, &keys), &report)?;
    } else {
        output::result(arguments.output, &text(&report, &keys), &report)?;
    }
    Ok(())
}

/// Signatures over the list by each key, and the provenance that they sign as well; nothing without a key.
fn sign(
    lock: &Lock,
    contents: &Contents,
    keys: &[(PathBuf, SigningKey)],
) -> anyhow::Result<(Vec<SignatureFile>, Vec<Attestation>)> {
    if keys.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let list_bytes = contents.list.to_bytes();
    let keys: Vec<_> = keys.iter().map(|(_, key)| key).collect();
    let mut signatures: Vec<_> = keys.iter().map(|key| SignatureFile::sign(&list_bytes, key)).collect();
    signatures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((signatures, vec![provenance::state(lock, &contents.list, &keys)?]))
}

fn signing_keys(paths: Vec<PathBuf>, arguments: &BuildArgs) -> anyhow::Result<Vec<(PathBuf, SigningKey)>> {
    paths.into_iter().map(|path| keys::signing_key(&path, &arguments.passphrase).map(|key| (path, key))).collect()
}

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.display().to_string()).collect()
}

fn text(report: &Report, keys: &[(PathBuf, SigningKey)]) -> String {
    let mut text = format!(
        "{}\n  size       {} ({} of content)\n  entries    {}\n  list       {}\n",
        report.bundle,
        HumanBytes(report.size_bytes),
        HumanBytes(report.content_bytes),
        report.entries,
        report.list_digest,
    );
    for volume in &report.volumes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  volume     {volume}");
    }
    if report.left_out > 0 {
        let _ = writeln!(text, "  left out   {} entries that the older bundle has", report.left_out);
    }
    let mut public = String::new();
    for (path, key) in keys {
        let beside = path.with_extension("pub");
        let named = if beside.exists() { beside } else { Path::new("PUBLIC_KEY").to_owned() };
        let _ = writeln!(text, "  signed by  {} ({})", key.verifying_key().id(), path.display());
        let _ = write!(public, " --key {}", named.display());
    }
    if keys.is_empty() {
        text.push_str("  NOT SIGNED: kinstall refuses it until it is\nnext: kbundle sign ");
        text.push_str(&report.bundle);
        text.push_str(" --key signing.key");
    } else {
        let _ = write!(text, "next: kinstall run {}{public}", report.bundle);
    }
    text
}
