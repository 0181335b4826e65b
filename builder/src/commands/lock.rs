//! `kbundle lock`

use std::path::Path;

use anyhow::Context as _;
use kbundle_cli::{Explained as _, output};
use kbundle_format::atomic_file::write_atomically;
use kbundle_format::shell::word;

use super::source::{self, Wishes};
use crate::cli::LockArgs;

pub fn run(arguments: &LockArgs) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, &file)?;
    let selection = catalog.resolve(&spec).explained()?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let lock = source::runtime()?.block_on(fetcher.pin(selection)).explained()?;
    progress.finish();
    write_atomically(&arguments.out, lock.to_yaml()?.as_bytes(), 0o644)
        .with_context(|| format!("while writing {}", arguments.out.display()))?;
    output::note(&format!(
        "{}: {} files and {} images of Kubernetes {}\nnext: {}kbundle build --locked {} --key signing.key",
        arguments.out.display(),
        lock.artifacts.len(),
        lock.images.len(),
        lock.kubernetes,
        if Path::new("signing.key").exists() { "" } else { "kbundle keygen && " },
        word(&arguments.out),
    ))?;
    Ok(())
}
