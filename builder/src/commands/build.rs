//! `kbundle build`

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use kbundle::destination::Destination;
use kbundle::interrupt::Interrupt;
use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::pack::{self, Around, Contents};
use kbundle::resolve::Selection;
use kbundle::spec::SpecFile;
use kbundle::upstream::Upstream;
use kbundle_format::head::Attestation;
use kbundle_format::{
    Compression, Digest, Entry, IndexedBundle, KeyId, KubeVersion, SignatureCheck, SignatureFile, SigningKey,
};
use serde::Serialize;

use super::composed::note_beside;
use super::input::Input;
use super::source::{self, Wishes};
use super::{dry_run, keys, provenance, reproduce};
use crate::cli::BuildArgs;
use crate::failure::CommandError;
use crate::output;

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

/// Where the lock comes from.
enum Source {
    /// A file.
    Locked(Lock),
    /// The catalog.
    Selected(Selection),
}

impl Source {
    fn upstream(&self) -> Upstream {
        match self {
            Self::Locked(lock) => Upstream::of_lock(lock),
            Self::Selected(selection) => Upstream::of_selection(selection),
        }
    }
}

pub fn run(arguments: BuildArgs) -> anyhow::Result<()> {
    if let Some(bundle) = &arguments.reproduce {
        return reproduce::run(&arguments, bundle);
    }
    let file = source::spec_file(&arguments.spec)?;
    if arguments.dry_run {
        return dry_run::run(&arguments, &file);
    }
    let (source, mirrors) = find_source(&arguments, &file)?;
    let keys = signing_keys(&arguments, &file)?;
    let path = out(&arguments, &file, &source);
    let (split, existing) = (arguments.split.split(), arguments.force.existing());
    let destination = Destination::for_bundle(&path, split, existing, !keys.is_empty())?;
    let bases = open_bases(&arguments.since)?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let interrupt = Interrupt::watch()?;
    let upstream = source.upstream();
    let lock = source::online(&fetcher, &upstream, &interrupt, async {
        match source {
            Source::Locked(lock) => fetcher.fetch(lock).await,
            Source::Selected(selection) => fetcher.pin_and_fetch(selection).await,
        }
    })?;
    progress.finish();

    let level = arguments.level.or(file.level).unwrap_or(DEFAULT_LEVEL);
    let contents = Contents::of(&lock, Compression::at_level(level))?;
    let in_a_base = bases.iter().flat_map(|base| base.carried().into_keys()).collect::<HashSet<_>>();
    let carried = |entry: &Entry| !in_a_base.contains(&entry.digest);
    let (signatures, attestations) = sign(&lock, &contents, &keys)?;
    let around = Around { signatures: &signatures, attestations: &attestations, carried: &carried };
    let entries: Vec<_> = contents.list.entries.iter().filter(|entry| carried(entry)).collect();
    let content_bytes = entries.iter().map(|entry| entry.size).sum();
    let bar = output::bar("packing", content_bytes);
    let to_stdout = destination.is_stdout();
    let write = || {
        let output = destination.start(&interrupt)?;
        anyhow::Ok(contents.write(output, &cache, around, &|bytes| bar.inc(bytes))?.commit()?)
    };
    let written = interrupt.explain(write(), || source::downloads_kept(&cache))?;
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
        volumes: if split.is_some() { names(&written.files) } else { Vec::new() },
    };
    note_beside(&written)?;
    if to_stdout {
        output::result_beside(arguments.output, &text(&report, &keys), &report)?;
    } else {
        output::result(arguments.output, &text(&report, &keys), &report)?;
    }
    Ok(())
}

/// Opens the bundles whose content need not be carried again. The far side compares it with the new list, whoever signed them.
fn open_bases(paths: &[PathBuf]) -> anyhow::Result<Vec<IndexedBundle>> {
    paths.iter().map(|path| Input::find_file(path)?.open_indexed(SignatureCheck::Skipped)).collect()
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

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.display().to_string()).collect()
}

/// Where the bundle goes: what flags or file say, or a name made of what it holds.
fn out(arguments: &BuildArgs, file: &SpecFile, source: &Source) -> PathBuf {
    let named = arguments.out.clone().or_else(|| file.out.clone());
    named.unwrap_or_else(|| {
        match source {
            Source::Locked(lock) => pack::file_name(lock.kubernetes, &lock.platforms),
            Source::Selected(selection) => pack::file_name(selection.kubernetes, &selection.platforms),
        }
        .into()
    })
}

fn find_source(arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<(Source, Mirrors)> {
    if let Some(path) = &arguments.locked {
        return Ok((Source::Locked(read_lock(path, arguments, file)?), locked_mirrors(arguments, file)));
    }
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, file)?;
    Ok((Source::Selected(catalog.resolve(&spec)?), mirrors))
}

/// The mirrors that flags and file name; the rest of what they say about content is the lock's.
pub fn locked_mirrors(arguments: &BuildArgs, file: &SpecFile) -> Mirrors {
    file.mirrors().chain(arguments.spec.mirrors.iter().cloned()).collect()
}

/// Reads the lock, which has to be for the version that flags or file ask for, where they do.
pub fn read_lock(path: &Path, arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<Lock> {
    let lock = Lock::read(path)?;
    if let Some(asked) = arguments.spec.kubernetes.or(file.kubernetes)
        && asked != lock.kubernetes
    {
        return Err(CommandError::Usage {
            what: format!("{} is for Kubernetes {}, not {asked}", path.display(), lock.kubernetes),
            hint: "make a lock for that version with `kbundle lock`".to_owned(),
        }
        .into());
    }
    Ok(lock)
}

fn signing_keys(arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<Vec<(PathBuf, SigningKey)>> {
    let from_file = if arguments.unsigned { None } else { file.key.clone() };
    let paths = if arguments.key.is_empty() { from_file.into_iter().collect() } else { arguments.key.clone() };
    if paths.is_empty() && !arguments.unsigned {
        return Err(CommandError::Usage {
            what: "no key to sign the bundle with was given".to_owned(),
            hint: "make one with `kbundle keygen` and give it with `--key signing.key`, or say `--unsigned`".to_owned(),
        }
        .into());
    }
    paths.into_iter().map(|path| keys::signing_key(&path, &arguments.passphrase).map(|key| (path, key))).collect()
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
