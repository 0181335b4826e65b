//! `extract`

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::program::typed;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::stream::Carriage;
use kbundle_format::{BundleHead, Entry, EntryPath};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::{BaseArgs, BundleArgs, ForceArgs, TrustArgs};
use crate::destination::refuse_stdout;
use crate::input::{Asked, Input};
use crate::interrupt::{Interrupt, interrupted};
use crate::target::Target;
use crate::unpack::unpack;

/// Unpack entries of a bundle into a folder
///
/// Each file gets its name only after its digest was compared. Symbolic links in the folder are neither followed nor replaced, so nothing
/// is written outside the folder.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Bundles that complete it.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Entries to unpack, or folders of entries [default: everything]
    ///
    /// Also bundle.json, signatures and attestations.
    #[arg(value_name = "PATH")]
    pub paths: Vec<EntryPath>,
    /// Unpack into this folder, which is made if it is not there
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// What may be replaced.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Extracted")]
pub struct Report {
    schema: u32,
    bundle: String,
    directory: String,
    /// How many files were unpacked.
    files: usize,
}

/// Does what the command line says.
pub fn run(arguments: &ExtractArgs, output: OutputFormat) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    refuse_stdout(&arguments.directory, "a folder").explained()?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open(asked.check(), &arguments.base)?;
    let picked = |path: &str| arguments.paths.is_empty() || arguments.paths.iter().any(|wanted| covers(wanted, path));
    check_paths(&arguments.paths, bundle.head())?;
    let interrupt = Interrupt::watch()?;
    let target = Target::open(&arguments.directory, arguments.force.existing(), &interrupt);
    let target = target.map_err(|error| refused(&error))?;
    check_names(&target, bundle.head(), picked)?;
    let mut files = write_head(bundle.head(), &target, picked)?;
    let wanted = |entry: &Entry| picked(entry.path.as_str());
    let unpacked = unpack(&input, bundle, &target, Carriage::Full, wanted);
    files += interrupted(&interrupt, unpacked, || {
        "files that were unpacked are whole and kept; `--force` replaces them in the next run".to_owned()
    })?;
    let directory = arguments.directory.display().to_string();
    let text = format!("{directory}: {files} files unpacked");
    output::done(output, &text, &Report { schema: SCHEMA, bundle: input.name, directory, files })?;
    Ok(())
}

/// Whether `wanted` is `path` or a folder above it.
fn covers(wanted: &EntryPath, path: &str) -> bool {
    path.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks that every requested path is in the bundle; nothing is written before that is known.
fn check_paths(wanted: &[EntryPath], head: &BundleHead) -> anyhow::Result<()> {
    for path in wanted {
        let listed = head.list.entries.iter().any(|entry| covers(path, entry.path.as_str()));
        if !listed && !head.files().any(|(name, _)| covers(path, name)) {
            return Err(not_in_bundle(path));
        }
    }
    Ok(())
}

/// Checks that every name is free, or may be replaced; nothing is unpacked before that is known.
fn check_names(target: &Target, head: &BundleHead, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for (name, _) in head.files().filter(|(name, _)| wanted(name)) {
        target.check(&name.parse()?).explained()?;
    }
    for entry in head.list.entries.iter().filter(|entry| wanted(entry.path.as_str())) {
        target.check(&entry.path).explained()?;
    }
    Ok(())
}

/// The error for a path that no entry has.
#[must_use]
pub fn not_in_bundle(path: &EntryPath) -> anyhow::Error {
    let inspect = typed("inspect").unwrap_or_else(|| "inspect".to_owned());
    failure::usage(format!("the bundle has no {path}"), format!("`{inspect}` shows what it holds"))
}

/// Writes the wanted ones of the head's own files.
fn write_head(head: &BundleHead, target: &Target, wanted: impl Fn(&str) -> bool) -> anyhow::Result<usize> {
    let mut count = 0;
    for (name, content) in head.files().filter(|(name, _)| wanted(name)) {
        let mut file = target.file(&name.parse()?, 0o644).map_err(|error| refused(&error))?;
        file.write_all(content).and_then(|()| file.commit()).with_context(|| format!("while unpacking {name}"))?;
        count += 1;
    }
    Ok(count)
}

fn refused(error: &std::io::Error) -> anyhow::Error {
    failure::refused(format!("refused to unpack there: {error}"), "choose another folder with `-C`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_covers_what_lies_below_it() {
        let folder: EntryPath = "artifacts/linux-amd64".parse().unwrap();
        assert!(covers(&folder, "artifacts/linux-amd64"));
        assert!(covers(&folder, "artifacts/linux-amd64/kubelet"));
        assert!(!covers(&folder, "artifacts/linux-amd64-old/kubelet"));
    }
}
