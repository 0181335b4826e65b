//! `kbundle build --reproduce`

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use kbundle::fetch::{keep_image_files, keep_local_files};
use kbundle::pack::{BundleExtras, Contents};
use kbundle::reproduce::{files_of, lock_of};
use kbundle::resolve::images_of;
use kbundle::upstream::Upstream;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, failure, progress};
use kbundle_commands::input::Input;
use kbundle_commands::interrupt::Interrupt;
use kbundle_format::bases::Bases;
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::{BundleList, BundleSource, Compression, Digest, EntryKind, IndexedBundle, SignatureCheck};
use schemars::JsonSchema;
use serde::Serialize;

use super::build::describe;
use super::source;
use crate::cli::BuildArgs;

/// What `--output json` prints of an identical bundle.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Reproduced")]
pub struct Report {
    schema: u32,
    bundle: String,
    identical: bool,
    list_digest: Digest,
}

pub fn run(arguments: &BuildArgs, path: &Path, output: OutputFormat) -> anyhow::Result<()> {
    let input = Input::find_file(path)?;
    let original = input.open_indexed(SignatureCheck::Skipped)?;
    let list: &BundleList = original.list();
    let file = source::spec_file(&arguments.spec)?;
    let mirrors = file.mirrors(&arguments.spec.mirrors);
    let upstream = Upstream::of_list(list);
    source::check_mirrors(&mirrors, &upstream, None)?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let files = files_of(list).explained()?;
    keep_local_files(files.iter().map(|file| (file.url.as_str(), file.digest)), &file.folder, &cache).explained()?;
    let images = images_of(list);
    let in_files = images.iter().filter_map(|image| Some((image.file.as_ref()?, image.digest?)));
    keep_image_files(in_files, &file.folder, &list.platforms, &cache).explained()?;
    let interrupt = Interrupt::watch()?;
    let lock = source::online(&fetcher, &upstream, &interrupt, async {
        let lock = lock_of(list, files, &fetcher).await?;
        fetcher.fetch(lock).await
    })?;
    progress.finish();

    let mut contents = Contents::of(&lock, list.compression.clone()).explained()?;
    // Older bundles have no list of packages.
    if list.entries.iter().any(|entry| entry.kind == EntryKind::Sbom) {
        describe(&mut contents, &cache)?;
    }
    compare_lists(list, &contents.list)?;
    let extras = BundleExtras {
        signatures: &original.head().signatures,
        attestations: &original.head().attestations,
        carried: &|entry| original.carries(entry),
    };
    let difference = Arc::new(OnceLock::new());
    let comparison = Comparison { source: original.source().clone(), position: 0, difference: Arc::clone(&difference) };
    let bar = progress::bar("packing", list.size_bytes());
    let written = contents.write(comparison, &cache, extras, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    if let Some(&offset) = difference.get() {
        return Err(differs(&input, &original, offset));
    }
    let compared = written.explained().context("while packing again")?;
    if compared.position != compared.source.size_bytes() {
        return Err(differs(&input, &original, compared.position));
    }
    let list_digest = Digest::of(&original.head().list_bytes);
    let text =
        format!("{}: identical, byte for byte, to what its list gives again\n  list       {list_digest}", input.name);
    output::result(output, &text, &Report { schema: SCHEMA, bundle: input.name, identical: true, list_digest })?;
    Ok(())
}

/// Checks that the list made again equals the original; if not, names the first entry that differs.
fn compare_lists(original: &BundleList, again: &BundleList) -> anyhow::Result<()> {
    if original == again {
        return Ok(());
    }
    let pairs = original.entries.iter().zip(&again.entries);
    let what = pairs
        .into_iter()
        .find(|(one, other)| one != other)
        .map_or_else(|| "fields beside the entries".to_owned(), |(one, _)| format!("entry {}", one.path));
    Err(not_identical(
        format!("the list made again differs in {what}"),
        "the bundle was made by another program version, or not by kbundle",
    ))
}

/// Why the bundle made again differs from the `original` at `offset`: damage, or other compression.
fn differs(input: &Input, original: &IndexedBundle, offset: u64) -> anyhow::Error {
    let place = original
        .entry_at(offset)
        .map_or_else(|| "outside of any entry".to_owned(), |entry| format!("in {}", entry.path));
    let place = format!("the first difference is at offset {offset}, {place}");
    // The lists are equal, so the required content of every entry is known.
    match original.verify(Carriage::Partial, &|_| {}) {
        Err(error) => {
            let bases = Bases::of(original.head());
            input.failure(error, bases.as_ref()).context(format!("not identical: {place}"))
        }
        Ok(Summary { entries, .. }) => {
            let what = format!("the content is identical ({entries} entries), its compression is not; {place}");
            not_identical(what, &other_compression(original))
        }
    }
}

/// Why the same content may be compressed to other bytes.
fn other_compression(original: &IndexedBundle) -> String {
    let Compression { level, zstd: theirs } = &original.list().compression;
    let ours = Compression::at_level(*level).zstd;
    if *theirs == ours {
        format!(
            "whoever wrote the file did not use level {level} of zstd {ours}, as its list says; what it holds is what was signed"
        )
    } else {
        format!("the bundle was packed with zstd {theirs}, this program has {ours}; what it holds is what was signed")
    }
}

fn not_identical(what: String, hint: &str) -> anyhow::Error {
    failure::refused(what, hint)
}

/// A writer that compares the bytes with a bundle's.
struct Comparison {
    source: BundleSource,
    position: u64,
    /// Offset of the first difference, for the caller.
    difference: Arc<OnceLock<u64>>,
}

impl Write for Comparison {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let left = self.source.size_bytes().saturating_sub(self.position);
        let mut theirs = vec![0; buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        self.source.read_exact_at(&mut theirs, self.position)?;
        let same = buffer.iter().zip(&theirs).take_while(|(one, other)| one == other).count();
        self.position += same as u64;
        if same == buffer.len() {
            return Ok(same);
        }
        // Set once: writing ends with this error.
        let _ = self.difference.set(self.position);
        Err(io::Error::other("the bundle made again differs"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
