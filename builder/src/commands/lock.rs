//! `kbundle lock`

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use kbundle::destination::Destination;
use kbundle::interrupt::Interrupt;
use kbundle::upstream::Upstream;
use kbundle_cli::{Explained as _, output};
use kbundle_format::shell::word;

use super::source::{self, Wishes};
use crate::cli::LockArgs;

pub fn run(arguments: &LockArgs) -> anyhow::Result<()> {
    let file = source::spec_file(&arguments.spec)?;
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, &file)?;
    let selection = catalog.resolve(&spec).explained()?;
    let upstream = Upstream::of_selection(&selection);
    source::check_mirrors(&mirrors, &upstream, Some(&catalog))?;
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    source::tell_doubtful(&spec, &selection)?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let interrupt = Interrupt::watch()?;
    let lock = source::online(&fetcher, &upstream, &interrupt, fetcher.pin(selection))?;
    progress.finish();
    let mut file = destination.start(&interrupt).explained()?;
    file.write_all(lock.to_yaml()?.as_bytes()).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    file.commit().explained()?;
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
