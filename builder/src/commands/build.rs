//! `kbundle build`

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use kbundle::catalog::Catalog;
use kbundle::demand;
use kbundle::fetch::Cache;
use kbundle::lock::Lock;
use kbundle::pack::{BundleExtras, Contents};
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, progress};
use kbundle_commands::composed::{names, note_beside};
use kbundle_commands::interrupt::{Interrupt, interrupted};
use kbundle_commands::signing_key::signing_key;
use kbundle_format::bases::{Base, Bases};
use kbundle_format::head::Attestation;
use kbundle_format::shell::word;
use kbundle_format::{Compression, Digest, Entry, IndexedBundle, KeyId, KubeVersion, SignatureFile, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use super::plan::{Plan, Source};
use super::{dry_run, provenance, source};
use crate::cli::BuildArgs;

/// Higher levels gain little on layers that are compressed already, and cost minutes.
const DEFAULT_LEVEL: i32 = 9;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Built")]
pub struct Report {
    schema: u32,
    /// The file, or `-` for standard output.
    bundle: String,
    kubernetes_version: KubeVersion,
    size_bytes: u64,
    content_bytes: u64,
    entries: usize,
    /// How many entries of the list the bases have.
    left_out: usize,
    list_digest: Digest,
    signers: Vec<KeyId>,
    /// The files of a bundle in volumes.
    volumes: Vec<String>,
}

pub fn run(arguments: &BuildArgs, output: OutputFormat) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    if arguments.dry_run {
        return dry_run::run(arguments, &file, output);
    }
    let plan = Plan::of(arguments, &file, Catalog::resolve)?;
    let cache = Cache::open(plan.cache.directory()).explained()?;
    plan.keep_local_files(arguments, &file)?;
    let Plan { source, upstream, mirrors, keys, path, destination, bases, .. } = plan;
    let keys = signing_keys(keys, arguments)?;
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
    let mut contents = Contents::of(&lock, Compression::at_level(level)).explained()?;
    describe(&mut contents, &cache)?;
    let in_a_base = bases.iter().flat_map(|base| base.carried().into_keys()).collect::<HashSet<_>>();
    let carried = |entry: &Entry| !in_a_base.contains(&entry.digest);
    let (signatures, mut attestations) = sign(&lock, &contents, &keys)?;
    attestations.extend(named(&arguments.since, &bases).to_attestation());
    let extras = BundleExtras { signatures: &signatures, attestations: &attestations, carried: &carried };
    let entries: Vec<_> = contents.list.entries.iter().filter(|entry| carried(entry)).collect();
    let content_bytes = entries.iter().map(|entry| entry.size).sum();
    let bar = progress::bar("packing", content_bytes);
    if bases.is_empty() {
        destination.check_room(demand::least_bundle_bytes(&entries)).explained()?;
    }
    let to_stdout = destination.is_stdout();
    let write = || {
        let file = destination.start(&interrupt).explained()?;
        contents.write(file, &cache, extras, &|bytes| bar.inc(bytes)).explained()?.commit().explained()
    };
    let written = interrupted(&interrupt, write(), || source::downloads_kept(&cache))?;
    bar.finish_and_clear();

    let report = Report {
        schema: SCHEMA,
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
    let name = if to_stdout { "standard output" } else { &report.bundle };
    let mut text = text(name, &report, &keys);
    // If the bundle goes to standard output, its place is not known here.
    if !to_stdout {
        let paths: Vec<_> = keys.iter().map(|(path, _)| path.as_path()).collect();
        let _ = write!(text, "next: {}", next(&report, &paths, &arguments.since));
    }
    output::result(output, &text, &report)?;
    Ok(())
}

/// Adds the documents that list the packages inside of the content.
pub fn describe(contents: &mut Contents, cache: &Cache) -> anyhow::Result<()> {
    let bar = progress::bar("looking inside", contents.list.size_bytes());
    let described = contents.describe(cache, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    described.explained()
}

/// The base bundles that a differential bundle names, so that the far side knows which files to look for.
fn named(paths: &[PathBuf], bases: &[IndexedBundle]) -> Bases {
    let base = |(path, bundle): (&PathBuf, &IndexedBundle)| Base {
        name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        kubernetes_version: bundle.list().kubernetes_version,
        list_digest: Digest::of(&bundle.head().list_bytes),
    };
    Bases(paths.iter().zip(bases).map(base).collect())
}

/// Signatures over the list by each key, and signed provenance; empty without a key.
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
    paths.into_iter().map(|path| signing_key(&path, &arguments.passphrase).map(|key| (path, key))).collect()
}

fn text(name: &str, report: &Report, keys: &[(PathBuf, SigningKey)]) -> String {
    let mut text = format!(
        "{}\n  size       {} ({} of content)\n  entries    {}\n  list       {}\n",
        name,
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
    for (path, key) in keys {
        let _ = writeln!(text, "  signed by  {} ({})", key.verifying_key().id(), path.display());
    }
    if keys.is_empty() {
        text.push_str("  NOT SIGNED: kinstall refuses it until it is\n");
    }
    text
}

/// The next command, in a form that can be typed as it is.
fn next(report: &Report, keys: &[&Path], since: &[PathBuf]) -> String {
    let bundle = word(Path::new(report.volumes.first().unwrap_or(&report.bundle)));
    if keys.is_empty() {
        let keygen = if Path::new("signing.key").exists() { "" } else { "kbundle keygen && " };
        // Volumes are not rewritten, so their signature is a detached file.
        let detached = if report.volumes.is_empty() { "" } else { " --detached" };
        return format!("{keygen}kbundle sign {bundle} --key signing.key{detached}");
    }
    if !since.is_empty() {
        let bases: Vec<_> = since.iter().map(|path| word(path)).collect();
        return format!("kbundle join {bundle} {} --out {}", bases.join(" "), word(&joined(Path::new(&report.bundle))));
    }
    let mut command = String::new();
    let mut trusted = String::new();
    for key in keys {
        let public = key.with_extension("pub");
        if !public.exists() {
            let _ = write!(command, "openssl pkey -in {} -pubout -out {} && ", word(key), word(&public));
        }
        let _ = write!(trusted, " --key {}", word(&public));
    }
    format!("{command}kinstall run {bundle}{trusted}")
}

/// A name for the full bundle that results from the differential bundle at `path` and its bases.
fn joined(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("full-{name}"))
}
