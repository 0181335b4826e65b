//! `kbundle catalog add`

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Context as _;
use kbundle::catalog::draft::Draft;
use kbundle::catalog::{Catalog, CatalogFile};
use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::resolve::Selection;
use kbundle::spec::{BundleSpec, SpecFile};
use kbundle::upstream::Upstream;
use kbundle_cli::{Explained as _, OutputFormat};
use kbundle_commands::destination::Destination;
use kbundle_commands::interrupt::Interrupt;
use kbundle_format::shell::word;
use kbundle_format::{KubeVersion, Platform};

use super::Report;
use crate::cli::CatalogAddArgs;
use crate::commands::source;

pub fn run(arguments: &CatalogAddArgs, output: OutputFormat) -> anyhow::Result<()> {
    let file = SpecFile::default();
    let catalog = source::catalog(&arguments.catalogs, &file)?;
    let Draft { nearest, file: drafted } = catalog.draft(arguments.version).explained()?;
    let selection =
        selection(&catalog.with_draft(Draft { nearest, file: drafted.clone() }), arguments.version, &drafted)?;
    let mirrors: Mirrors = arguments.mirrors.iter().cloned().collect();
    let upstream = Upstream::of_selection(&selection);
    source::check_mirrors(&mirrors, &upstream, None)?;
    let destination = Destination::find(&arguments.out, None, arguments.force.existing()).explained()?;
    let cache = source::cache(&arguments.fetch)?;
    let (fetcher, _held, progress) = source::fetcher(&arguments.fetch, &file, mirrors, &cache)?;
    let interrupt = Interrupt::watch()?;
    let lock = source::online(&fetcher, &upstream, &interrupt, fetcher.pin(selection))?;
    progress.finish();
    let drafted = pinned(drafted, &lock);
    let text = serde_yaml::to_string(&drafted).context("cannot write the catalog as YAML")?;
    let to_stdout = destination.is_stdout();
    let mut file = destination.start(&interrupt).explained()?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    file.commit().explained()?;
    Report::of(&arguments.out, &drafted).print(output, &note(arguments, &nearest.to_string(), to_stdout))
}

/// What was written, and the next command.
fn note(arguments: &CatalogAddArgs, nearest: &str, to_stdout: bool) -> String {
    let (version, out) = (arguments.version, arguments.out.display().to_string());
    let name = if to_stdout { "standard output" } else { &out };
    let text = format!(
        "{name}: Kubernetes {version}, pinned by upstream's checksums and registry; containerd, etcd, CoreDNS and add-ons as with {nearest}"
    );
    // If the draft goes to standard output, its place is not known here.
    if to_stdout {
        return text;
    }
    format!("{text}\nread it, then: kbundle build --catalog {} --k8s {version} --key signing.key", word(&arguments.out))
}

/// The part that has to be pinned: the release's own programs and images, for every platform of the programs.
fn selection(catalog: &Catalog, version: KubeVersion, drafted: &CatalogFile) -> anyhow::Result<Selection> {
    let versions = drafted.components.values().flat_map(|family| family.versions.values());
    let platforms: BTreeSet<Platform> = versions.flat_map(|version| version.platforms.keys().cloned()).collect();
    let spec = BundleSpec::bare(version.into(), platforms);
    let mut selection = catalog.select(&spec).explained()?;
    selection.artifacts.retain(|file| drafted.components.contains_key(&file.component.name));
    selection.images.retain(|image| image.digest.is_none());
    Ok(selection)
}

/// The draft with the digests that the lock has.
fn pinned(mut file: CatalogFile, lock: &Lock) -> CatalogFile {
    let downloads = file.components.values_mut().flat_map(|family| family.versions.values_mut());
    for version in downloads {
        let mut sources = BTreeSet::new();
        for download in version.platforms.values_mut() {
            let artifact = lock.artifacts.iter().find(|artifact| artifact.url == download.url);
            download.sha256 = artifact.map(|artifact| artifact.digest.into());
            sources.extend(download.sha256_url.take());
        }
        version.pinned_by = Some(sources.into_iter().collect::<Vec<_>>().join(", "));
    }
    for image in file.releases.values_mut().flat_map(|release| &mut release.images) {
        if let Some(locked) = lock.images.iter().find(|locked| locked.reference == image.reference) {
            image.digest = Some(locked.pinned().digest);
        }
    }
    file
}
