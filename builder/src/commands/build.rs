//! `kbundle build`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use indicatif::{HumanBytes, ProgressBar};
use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::pack::{self, Contents};
use kbundle::resolve::{Pin, Selection};
use kbundle::spec::SpecFile;
use kbundle_format::{Compression, Digest, KeyId, KubeVersion, SignatureFile, SigningKey};
use serde::Serialize;

use super::{keys, source};
use crate::cli::BuildArgs;
use crate::failure::CommandError;
use crate::output::{self, Format};

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
    list_digest: Digest,
    signers: Vec<KeyId>,
}

/// Where the lock comes from.
enum Source {
    /// A file.
    Locked(Lock),
    /// The catalog.
    Selected(Selection),
}

pub fn run(arguments: BuildArgs) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    let (source, mirrors) = find_source(&arguments, &file)?;
    if arguments.dry_run {
        return dry_run(&source, &mirrors);
    }
    let keys = signing_keys(&arguments, &file)?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let lock = source::runtime()?.block_on(async {
        let lock = match source {
            Source::Locked(lock) => lock,
            Source::Selected(selection) => fetcher.pin(selection).await?,
        };
        fetcher.fetch(lock).await
    })?;
    progress.finish();

    let level = arguments.level.or(file.level).unwrap_or(DEFAULT_LEVEL);
    let contents = Contents::of(&lock, Compression::at_level(level))?;
    let list_bytes = contents.list.to_bytes();
    let mut signatures: Vec<_> = keys.iter().map(|(_, key)| SignatureFile::sign(&list_bytes, key)).collect();
    signatures.sort_by(|a, b| a.name.cmp(&b.name));
    let path = arguments.out.or(file.out).unwrap_or_else(|| pack::file_name(&lock).into());
    let bar = ProgressBar::new(contents.list.size_bytes()).with_message("packing");
    contents.write(&path, &cache, &signatures, &|bytes| bar.inc(bytes))?;
    bar.finish_and_clear();

    let report = Report {
        schema: 1,
        bundle: path.display().to_string(),
        kubernetes_version: lock.kubernetes,
        size_bytes: fs::metadata(&path)?.len(),
        content_bytes: contents.list.size_bytes(),
        entries: contents.list.entries.len(),
        list_digest: Digest::of(&list_bytes),
        signers: keys.iter().map(|(_, key)| key.verifying_key().id()).collect(),
    };
    output::result(arguments.output, &text(&report, &keys), &report)?;
    Ok(())
}

fn find_source(arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<(Source, Mirrors)> {
    let Some(path) = &arguments.locked else {
        let (selection, mirrors) = source::select(&arguments.spec, file)?;
        return Ok((Source::Selected(selection), mirrors));
    };
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
    let mirrors = file.mirrors().chain(arguments.spec.mirrors.iter().cloned()).collect();
    Ok((Source::Locked(lock), mirrors))
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
    paths.into_iter().map(|path| keys::signing_key(&path).map(|key| (path, key))).collect()
}

fn dry_run(source: &Source, mirrors: &Mirrors) -> anyhow::Result<()> {
    let first_use = || "(trusted on first use)".to_owned();
    let lines: Vec<String> = match source {
        Source::Locked(lock) => {
            let files = lock.artifacts.iter().map(|file| format!("{} {}", file.digest, mirrors.rewrite(&file.url)));
            let images = lock.images.iter();
            files
                .chain(images.map(|image| format!("{} {} {}", image.pinned().digest, image.reference, image.platform)))
                .collect()
        }
        Source::Selected(selection) => {
            let files = selection.artifacts.iter().map(|file| {
                let pin = match &file.pin {
                    Pin::Catalog(digest) => digest.to_string(),
                    Pin::UpstreamChecksum(url) => format!("(digest from {})", mirrors.rewrite(url)),
                    Pin::FirstUse => first_use(),
                };
                format!("{pin} {}", mirrors.rewrite(&file.url))
            });
            let images = selection.images.iter().map(|image| {
                format!("{} {}", image.digest.map_or_else(first_use, |digest| digest.to_string()), image.reference)
            });
            files.chain(images).collect()
        }
    };
    output::note("dry run: nothing is fetched and nothing is written")?;
    output::result(Format::Text, &lines.join("\n"), &())?;
    Ok(())
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
    let mut public = String::new();
    for (path, key) in keys {
        let beside = path.with_extension("pub");
        let named = if beside.exists() { beside } else { Path::new("PUBLIC_KEY").to_owned() };
        // Writing to a string cannot fail.
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
