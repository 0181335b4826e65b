//! `kbundle lock`

use anyhow::Context as _;
use kbundle::upstream::Upstream;
use kbundle_format::atomic_file::write_atomically;

use super::source::{self, Wishes};
use crate::cli::LockArgs;
use crate::output;

pub fn run(arguments: &LockArgs) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, &file)?;
    let selection = catalog.resolve(&spec)?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let upstream = Upstream::of_selection(&selection);
    let lock = source::online(&fetcher, &upstream, fetcher.pin(selection))?;
    progress.finish();
    write_atomically(&arguments.out, lock.to_yaml()?.as_bytes(), 0o644)
        .with_context(|| format!("while writing {}", arguments.out.display()))?;
    output::note(&format!(
        "{}: {} files and {} images of Kubernetes {}\nnext: kbundle build --locked {} --key signing.key",
        arguments.out.display(),
        lock.artifacts.len(),
        lock.images.len(),
        lock.kubernetes,
        arguments.out.display(),
    ))?;
    Ok(())
}
