//! What `build` and `lock` share: from flags and files to a selection, and the fetcher.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use kbundle::catalog::Catalog;
use kbundle::fetch::progress::{Audience, Progress};
use kbundle::fetch::{Cache, CacheLock, Credentials, FetchSettings, Fetcher, HttpSettings, RetryPolicy};
use kbundle::mirror::Mirrors;
use kbundle::spec::{BundleSpec, SpecFile};
use kbundle_cli::{Explained as _, failure};

use crate::cli::{FetchArgs, SpecArgs};

/// `bundle.yaml` if one was given, or one that says nothing.
pub fn spec_file(arguments: &SpecArgs) -> anyhow::Result<SpecFile> {
    Ok(match &arguments.file {
        Some(path) => SpecFile::read(path).explained()?,
        None => SpecFile::default(),
    })
}

/// What flags and file ask for, and the catalog to find it in.
pub struct Wishes {
    /// What is wanted.
    pub spec: BundleSpec,
    /// Where it is found.
    pub catalog: Catalog,
    /// Where it is fetched from.
    pub mirrors: Mirrors,
}

/// Reads what flags and file ask for.
pub fn wishes(arguments: &SpecArgs, file: &SpecFile) -> anyhow::Result<Wishes> {
    let (spec, mirrors) = arguments.flags().join(file).explained()?;
    let catalog = match arguments.catalog.as_ref().or(file.catalog.as_ref()) {
        Some(path) => Catalog::read(path).explained()?,
        None => Catalog::built_in().explained()?,
    };
    Ok(Wishes { spec, catalog, mirrors })
}

/// Where downloads are kept.
pub fn cache(arguments: &FetchArgs) -> anyhow::Result<Cache> {
    let named = || arguments.cache.clone();
    let absolute = |path: &PathBuf| path.is_absolute();
    let xdg =
        || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute).map(|path| path.join("kbundle"));
    let home = || std::env::home_dir().map(|home| home.join(".cache/kbundle"));
    let directory = named().or_else(xdg).or_else(home).ok_or_else(|| {
        failure::usage("there is no home directory to keep downloads in", "say where with `--cache DIR`")
    })?;
    Cache::open(&directory).explained()
}

/// A fetcher, and the lock on the cache that it needs for as long as it works.
pub fn fetcher(
    arguments: &FetchArgs,
    file: &SpecFile,
    mirrors: Mirrors,
    cache: &Cache,
) -> anyhow::Result<(Fetcher, CacheLock, Arc<Progress>)> {
    let progress = Arc::new(Progress::new(Audience::of_stderr()));
    let lock = cache.lock(|| progress.note("waiting for another kbundle that uses the same cache")).explained()?;
    let settings = FetchSettings {
        http: HttpSettings {
            timeout: arguments.timeout,
            ca_file: arguments.ca_file.clone().or_else(|| file.ca_file.clone()),
        },
        retry: RetryPolicy { retries: arguments.retries, first_pause: arguments.retry_pause },
        jobs: arguments.jobs.into(),
    };
    let credentials = Credentials::from_docker_config().context("while reading Docker's config.json")?;
    let fetcher = Fetcher::new(&settings, mirrors, credentials, cache.clone(), Arc::clone(&progress)).explained()?;
    Ok((fetcher, lock, progress))
}

/// The runtime for the network part.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("while starting the threads for the network")
}
