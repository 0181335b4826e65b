//! Shared by `build` and `lock`: makes a selection from flags and files, and the fetcher.

use std::collections::BTreeSet;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;
use kbundle::catalog::Catalog;
use kbundle::fetch::progress::{Audience, Progress};
use kbundle::fetch::{Cache, CacheLock, FetchError, FetchSettings, Fetcher, RetryPolicy};
use kbundle::mirror::Mirrors;
use kbundle::registry::{HttpSettings, Keyring};
use kbundle::resolve::Selection;
use kbundle::spec::{BundleSpec, SpecFile, SpecFlags, Unpinned};
use kbundle::upstream::Upstream;
use kbundle::version_request::VersionRequest;
use kbundle_cli::{Explained as _, failure, output};
use kbundle_commands::destination::{Destination, check_space};
use kbundle_commands::interrupt::{Interrupt, interrupted};

use crate::cli::{CatalogArgs, ConnectionArgs, FetchArgs, SpecArgs};

/// How often waiting work checks whether a signal came.
const PERIOD: Duration = Duration::from_millis(50);

/// `bundle.yaml` if one was given, or an empty one.
pub fn spec_file(arguments: &SpecArgs) -> anyhow::Result<SpecFile> {
    Ok(match &arguments.file {
        Some(path) => SpecFile::read(path).explained()?,
        None => SpecFile::default(),
    })
}

/// What flags and file ask for, and the catalog that has it.
pub struct Wishes {
    /// The wanted content.
    pub spec: BundleSpec,
    /// The catalog to find it in.
    pub catalog: Catalog,
    /// The mirrors to fetch it from.
    pub mirrors: Mirrors,
}

/// Reads what flags and file ask for.
pub fn wishes(arguments: &SpecArgs, file: &SpecFile) -> anyhow::Result<Wishes> {
    wishes_of(arguments.flags(), &arguments.catalogs, file)
}

/// Reads what a file alone asks for.
pub fn wishes_of_file(file: &SpecFile) -> anyhow::Result<Wishes> {
    wishes_of(SpecFlags::default(), &CatalogArgs::default(), file)
}

fn wishes_of(flags: SpecFlags, catalogs: &CatalogArgs, file: &SpecFile) -> anyhow::Result<Wishes> {
    let (spec, mirrors) = flags.join(file).explained()?;
    let catalog = drafted(catalog(catalogs, file)?, &spec)?;
    if let VersionRequest::NewestOf(..) = spec.kubernetes {
        let (newest, _) = catalog.release(spec.kubernetes).explained()?;
        output::note(&format!("Kubernetes {newest} is the newest {} of the catalog", spec.kubernetes))?;
    }
    Ok(Wishes { spec, catalog, mirrors })
}

/// Reports which images of the site's manifests were left out of the bundle because they only look like images.
pub fn tell_doubtful(spec: &BundleSpec, selection: &Selection) -> anyhow::Result<()> {
    for manifests in &spec.manifests {
        for line in selection.doubtful(&manifests.name, &manifests.images) {
            output::note(&line)?;
        }
    }
    Ok(())
}

/// The catalog, with a draft of the release if it lacks it and content without a pin is accepted.
fn drafted(catalog: Catalog, spec: &BundleSpec) -> anyhow::Result<Catalog> {
    let VersionRequest::Release(version) = spec.kubernetes else { return Ok(catalog) };
    if catalog.releases.contains_key(&version) || spec.unpinned == Unpinned::Refuse {
        return Ok(catalog);
    }
    let draft = catalog.draft(version).explained()?;
    output::note(&format!(
        "the catalog lacks Kubernetes {version}: its programs are pinned by upstream's checksums, its images as they come, and the rest is as with {}",
        draft.nearest
    ))?;
    Ok(catalog.with_draft(draft))
}

/// The catalogs that flags and file name, and the built-in one unless they leave it out.
pub fn catalog(arguments: &CatalogArgs, file: &SpecFile) -> anyhow::Result<Catalog> {
    let paths = if arguments.catalog.is_empty() { &file.catalog.0 } else { &arguments.catalog };
    let built_in = !arguments.no_builtin_catalog && file.builtin_catalog.unwrap_or(true);
    if !built_in && paths.is_empty() {
        return Err(failure::usage("no catalog is left without the built-in one", "name one with `--catalog PATH`"));
    }
    let named = Catalog::read(paths).explained()?;
    if built_in { Catalog::built_in().and_then(|catalog| catalog.with(named)).explained() } else { Ok(named) }
}

/// Checks that some content comes from each mirror's upstream, in this bundle or in another of the same catalog.
pub fn check_mirrors(mirrors: &Mirrors, upstream: &Upstream, catalog: Option<&Catalog>) -> anyhow::Result<()> {
    let built_in = Catalog::built_in().explained()?;
    let catalogs: Vec<_> = catalog.into_iter().chain([&built_in]).map(Upstream::of_catalog).collect();
    let known: BTreeSet<&str> = catalogs.iter().chain([upstream]).flat_map(Upstream::names).collect();
    let unknown: Vec<_> = mirrors.names().filter(|name| !known.contains(name)).collect();
    // The images of charts are known only after rendering.
    if unknown.is_empty() || upstream.has_charts() {
        return Ok(());
    }
    let names: Vec<_> = upstream.names().into_iter().collect();
    Err(failure::usage(
        format!("nothing is fetched from {}, so a mirror of it changes nothing", unknown.join(", ")),
        format!("this bundle comes from {}", names.join(", ")),
    ))
}

/// The cache of downloads.
pub fn cache(arguments: &FetchArgs) -> anyhow::Result<Cache> {
    Cache::open(&cache_directory(arguments)?).explained()
}

/// The directory of downloads: by flag or environment, or the user's.
pub fn cache_directory(arguments: &FetchArgs) -> anyhow::Result<PathBuf> {
    let named = || arguments.cache.clone();
    let absolute = |path: &PathBuf| path.is_absolute();
    let xdg =
        || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute).map(|path| path.join("kbundle"));
    let home = || std::env::home_dir().map(|home| home.join(".cache/kbundle"));
    named().or_else(xdg).or_else(home).ok_or_else(|| {
        failure::usage("there is no home directory to keep downloads in", "name a folder with `--cache DIR`")
    })
}

/// Checks that there is room for the content to fetch and for the bundle, as far as sizes are known.
pub fn check_room(to_fetch: u64, cache: &Cache, least_bundle: u64, destination: &Destination) -> anyhow::Result<()> {
    let folder = cache.nearest_folder();
    check_space(folder, to_fetch).explained()?;
    if let Some(out) = destination.folder() {
        let shared = fs::metadata(folder)?.dev() == fs::metadata(out)?.dev();
        check_space(out, least_bundle + if shared { to_fetch } else { 0 }).explained()?;
    }
    Ok(())
}

/// A fetcher, and the lock on the cache that it needs while it works.
pub fn fetcher(
    arguments: &FetchArgs,
    file: &SpecFile,
    mirrors: Mirrors,
    cache: &Cache,
) -> anyhow::Result<(Fetcher, CacheLock, Arc<Progress>)> {
    let progress = Arc::new(Progress::new(Audience::of_stderr()));
    let lock = cache.lock(|| progress.note("waiting for another kbundle that uses the same cache")).explained()?;
    let ConnectionArgs { retries, retry_pause, .. } = arguments.connection;
    let settings = FetchSettings {
        http: http_settings(&arguments.connection, file),
        retry: RetryPolicy { retries, first_pause: retry_pause },
        jobs: arguments.connection.jobs.into(),
    };
    let keyring = keyring(&arguments.connection, file)?;
    let fetcher = Fetcher::new(&settings, mirrors, keyring, cache.clone(), Arc::clone(&progress)).explained()?;
    Ok((fetcher, lock, progress))
}

/// The settings for connections to servers, from flags or file.
pub fn http_settings(arguments: &ConnectionArgs, file: &SpecFile) -> HttpSettings {
    let certs_dir = arguments.certs_dir.clone().or_else(|| file.certs_dir.clone());
    HttpSettings {
        timeout: arguments.timeout,
        ca_file: arguments.ca_file.clone().or_else(|| file.ca_file.clone()),
        certificate_folders: HttpSettings::certificate_folders(certs_dir),
    }
}

/// The user's credentials for registries.
pub fn keyring(arguments: &ConnectionArgs, file: &SpecFile) -> anyhow::Result<Keyring> {
    let named = arguments.registry_config.as_deref().or(file.registry_config.as_deref());
    Keyring::read(named).explained()
}

/// Checks that authorities and credentials can be read.
pub fn check_connection(arguments: &ConnectionArgs, file: &SpecFile) -> anyhow::Result<()> {
    http_settings(arguments, file).check().explained()?;
    keyring(arguments, file).map(drop)
}

/// Runs the part that needs the network until it is done or a signal comes. An error names the servers that cannot be reached.
pub fn online<T>(
    fetcher: &Fetcher,
    upstream: &Upstream,
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, FetchError>>,
) -> anyhow::Result<T> {
    let work = async {
        match work.await {
            Ok(done) => Ok(done),
            Err(error) => Err(fetcher.explain(error, upstream).await),
        }
    };
    runtime()?.block_on(async {
        tokio::select! {
            done = work => done.explained(),
            () = caught(interrupt) => {
                let stopped = Err(anyhow::anyhow!("the downloads were stopped"));
                interrupted(interrupt, stopped, || downloads_kept(fetcher.cache()))
            }
        }
    })
}

/// Waits for a signal.
pub async fn caught(interrupt: &Interrupt) {
    while interrupt.caught_signal().is_none() {
        tokio::time::sleep(PERIOD).await;
    }
}

/// What an interrupted command that fetches has kept.
pub fn downloads_kept(cache: &Cache) -> String {
    format!("what was fetched is kept in {}, and the next run resumes there", cache.directory().display())
}

/// The runtime for the network part.
///
/// It runs tasks on the thread that waits for the result, so none runs after that. On threads of their own, tasks that libraries
/// started (name resolution, connections) would still run while the runtime ends, and panic when they look at its clock.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")
}
