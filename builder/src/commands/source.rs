//! What `build` and `lock` share: from flags and files to a selection, and the fetcher.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use kbundle::catalog::Catalog;
use kbundle::fetch::progress::{Audience, Progress};
use kbundle::fetch::{Cache, CacheLock, Credentials, FetchError, FetchSettings, Fetcher, HttpSettings, RetryPolicy};
use kbundle::interrupt::Interrupt;
use kbundle::mirror::Mirrors;
use kbundle::spec::{BundleSpec, SpecFile};
use kbundle::upstream::Upstream;

use crate::cli::{FetchArgs, SpecArgs};
use crate::failure::CommandError;

/// `bundle.yaml` if one was given, or one that says nothing.
pub fn spec_file(arguments: &SpecArgs) -> anyhow::Result<SpecFile> {
    Ok(match &arguments.file {
        Some(path) => SpecFile::read(path)?,
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
    let (spec, mirrors) = arguments.flags().join(file)?;
    let catalog = match arguments.catalog.as_ref().or(file.catalog.as_ref()) {
        Some(path) => Catalog::read(path)?,
        None => Catalog::built_in()?,
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
    let directory = named().or_else(xdg).or_else(home).ok_or_else(|| CommandError::Usage {
        what: "there is no home directory to keep downloads in".to_owned(),
        hint: "say where with `--cache DIR`".to_owned(),
    })?;
    Ok(Cache::open(&directory)?)
}

/// A fetcher, and the lock on the cache that it needs for as long as it works.
pub fn fetcher(
    arguments: &FetchArgs,
    file: &SpecFile,
    mirrors: Mirrors,
    cache: &Cache,
) -> anyhow::Result<(Fetcher, CacheLock, Arc<Progress>)> {
    let progress = Arc::new(Progress::new(Audience::of_stderr()));
    let lock = cache.lock(|| progress.note("waiting for another kbundle that uses the same cache"))?;
    let settings = FetchSettings {
        http: HttpSettings {
            timeout: arguments.timeout,
            ca_file: arguments.ca_file.clone().or_else(|| file.ca_file.clone()),
        },
        retry: RetryPolicy { retries: arguments.retries, first_pause: arguments.retry_pause },
        jobs: arguments.jobs.into(),
    };
    let credentials = Credentials::from_docker_config().context("while reading Docker's config.json")?;
    let fetcher = Fetcher::new(&settings, mirrors, credentials, cache.clone(), Arc::clone(&progress))?;
    Ok((fetcher, lock, progress))
}

/// Runs the part that needs the network until it is done or a signal comes. Says of an error which servers cannot be reached.
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
            done = work => Ok(done?),
            () = interrupt.caught() => {
                interrupt.explain(Err(anyhow::anyhow!("the downloads were stopped")), || downloads_kept(fetcher.cache()))
            }
        }
    })
}

/// What an interrupted command kept that fetches.
pub fn downloads_kept(cache: &Cache) -> String {
    format!("what was fetched is kept in {}, and the next run resumes there", cache.directory().display())
}

/// The runtime for the network part.
///
/// It runs tasks on the thread that waits for the result, so none runs after that. On threads of their own, tasks that libraries
/// started (name resolution, connections) would still run while the runtime ends, and panic when they look at its clock.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")
}
