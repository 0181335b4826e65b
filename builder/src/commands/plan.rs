//! The plan of a build, checked before any server is asked. A dry run shows it.

use std::iter::zip;
use std::path::{Path, PathBuf};

use kbundle::catalog::Catalog;
use kbundle::contents;
use kbundle::demand::{Demand, Size};
use kbundle::fetch::{Answers, Cache, Questions, keep_image_files, keep_local_files};
use kbundle::lock::Lock;
use kbundle::mirror::Mirrors;
use kbundle::pack;
use kbundle::resolve::{Pin, ResolveError, SelectedArtifact, Selection};
use kbundle::spec::{BundleSpec, SpecFile};
use kbundle::upstream::Upstream;
use kbundle_cli::{Explained as _, failure};
use kbundle_cluster::contents::BundleContents;
use kbundle_commands::destination::Destination;
use kbundle_commands::input::Input;
use kbundle_commands::signing_key::check_signing_key;
use kbundle_format::{Digest, IndexedBundle, SignatureCheck};

use super::check::Cluster;
use super::source::{self, Wishes};
use crate::cli::BuildArgs;

/// Everything that a build needs to know.
pub struct Plan {
    pub source: Source,
    /// Where the content comes from.
    pub upstream: Upstream,
    pub mirrors: Mirrors,
    /// Files of private keys that can be read; empty for an unsigned bundle.
    pub keys: Vec<PathBuf>,
    /// The path of the bundle.
    pub path: PathBuf,
    pub destination: Destination,
    /// Older bundles whose content is left out.
    pub bases: Vec<IndexedBundle>,
    /// The cache; its directory is not created yet.
    pub cache: Cache,
    pub demand: Demand,
}

/// Where the lock comes from.
#[expect(clippy::large_enum_variant, reason = "there is one in a run")]
pub enum Source {
    /// A file.
    Locked(Lock),
    /// The catalog.
    Selected(Selection),
}

impl Source {
    /// The contents of the future bundle, as far as clusters need them.
    fn contents(&self) -> BundleContents {
        match self {
            Self::Locked(lock) => contents::of_lock(lock),
            Self::Selected(selection) => contents::of_selection(selection),
        }
    }

    /// What the build fetches and writes, with the sizes that servers reported.
    pub fn demand(&self, cache: &Cache, answers: &Answers) -> Demand {
        match self {
            Self::Locked(lock) => Demand::of_lock(lock, cache, answers),
            Self::Selected(selection) => Demand::of_selection(selection, cache, answers),
        }
    }

    /// Questions for servers: the sizes of files and images that are unknown and not on this machine.
    pub fn questions(&self, demand: &Demand) -> Questions {
        let is_unknown = |size: &Size| size.bytes.is_none();
        let is_on_the_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        let urls: Vec<&str> = match self {
            Self::Locked(lock) => lock.artifacts.iter().map(|file| file.url.as_str()).collect(),
            Self::Selected(selection) => selection.artifacts.iter().map(|file| file.url.as_str()).collect(),
        };
        let files = zip(urls, &demand.files).filter(|(url, size)| is_unknown(size) && is_on_the_web(url));
        let (images, platforms) = match self {
            Self::Locked(lock) => (Vec::new(), lock.platforms.clone()),
            Self::Selected(Selection { images, platforms, .. }) => {
                let unknown =
                    zip(images, &demand.images).filter(|(image, size)| is_unknown(size) && image.file.is_none());
                (unknown.map(|(image, _)| image.clone()).collect(), platforms.clone())
            }
        };
        Questions { files: files.map(|(url, _)| url.to_owned()).collect(), images, platforms }
    }

    /// All files by address and digest, including those of the site.
    fn files(&self) -> Vec<(&str, Digest)> {
        match self {
            Self::Locked(lock) => lock.artifacts.iter().map(|file| (file.url.as_str(), file.digest)).collect(),
            Self::Selected(selection) => local_files(selection),
        }
    }
}

/// The files of the site in a selection, by address and digest.
pub fn local_files(selection: &Selection) -> Vec<(&str, Digest)> {
    let local = |file: &SelectedArtifact| match file.pin {
        Pin::LocalFile(digest) => Some(digest),
        _ => None,
    };
    selection.artifacts.iter().filter_map(|file| Some((file.url.as_str(), local(file)?))).collect()
}

impl Plan {
    /// Puts the site's own files and images into the cache. Paths of a lock are relative to the lock, those of bundle.yaml to that file.
    pub fn keep_local_files(&self, arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<()> {
        let beside_lock = arguments.locked.as_deref().map(|lock| lock.parent().unwrap_or(Path::new("")));
        let base = beside_lock.unwrap_or(&file.folder);
        keep_local_files(self.source.files(), base, &self.cache).explained()?;
        match &self.source {
            Source::Locked(lock) => keep_image_files(lock.image_files(), base, &lock.platforms, &self.cache),
            Source::Selected(selection) => {
                keep_image_files(selection.image_files(), base, &selection.platforms, &self.cache)
            }
        }
        .explained()
    }

    /// Checks settings, keys, output, authorities, credentials, cache and room, in this order. `pick` selects the content from the catalog.
    pub fn of(
        arguments: &BuildArgs,
        file: &SpecFile,
        pick: impl Fn(&Catalog, &BundleSpec) -> Result<Selection, ResolveError>,
    ) -> anyhow::Result<Self> {
        let (source, upstream, mirrors) = find_source(arguments, file, pick)?;
        if let Some(cluster) = &arguments.cluster {
            Cluster::read(cluster)?.require(&source.contents(), "the bundle to be built")?;
        }
        let keys = key_files(arguments, file)?;
        let path = out(arguments, file, &source);
        let (split, existing) = (arguments.split.split(), arguments.force.existing());
        let destination = Destination::for_bundle(&path, split, existing, !keys.is_empty()).explained()?;
        source::check_connection(&arguments.fetch.connection, file)?;
        let bases = open_bases(&arguments.since)?;
        let cache = Cache::look_at(&source::cache_directory(&arguments.fetch)?).explained()?;
        let demand = source.demand(&cache, &Answers::default());
        let least = if bases.is_empty() { demand.least_bundle_bytes() } else { 0 };
        source::check_room(demand.to_fetch_bytes(), &cache, least, &destination)?;
        Ok(Self { source, upstream, mirrors, keys, path, destination, bases, cache, demand })
    }
}

fn find_source(
    arguments: &BuildArgs,
    file: &SpecFile,
    pick: impl Fn(&Catalog, &BundleSpec) -> Result<Selection, ResolveError>,
) -> anyhow::Result<(Source, Upstream, Mirrors)> {
    if let Some(path) = &arguments.locked {
        let lock = read_lock(path, arguments, file)?;
        // Everything else that flags and file say about content is decided by the lock.
        let mirrors = file.mirrors(&arguments.spec.mirrors);
        let upstream = Upstream::of_lock(&lock);
        source::check_mirrors(&mirrors, &upstream, None)?;
        return Ok((Source::Locked(lock), upstream, mirrors));
    }
    let Wishes { spec, catalog, mirrors } = source::wishes(&arguments.spec, file)?;
    let selection = pick(&catalog, &spec).explained()?;
    source::tell_doubtful(&spec, &selection)?;
    let upstream = Upstream::of_selection(&selection);
    source::check_mirrors(&mirrors, &upstream, Some(&catalog))?;
    Ok((Source::Selected(selection), upstream, mirrors))
}

/// Reads the lock. It has to be for the version in flags or file, if they name one.
fn read_lock(path: &Path, arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<Lock> {
    let lock = Lock::read(path).explained()?;
    if let Some(asked) = arguments.spec.kubernetes.or(file.kubernetes)
        && !asked.is_met_by(lock.kubernetes)
    {
        return Err(failure::usage(
            format!("{} is for Kubernetes {}, not {asked}", path.display(), lock.kubernetes),
            "make a lock for that version with `kbundle lock`",
        ));
    }
    Ok(lock)
}

/// The private keys to sign with. Their passphrases are asked for later.
fn key_files(arguments: &BuildArgs, file: &SpecFile) -> anyhow::Result<Vec<PathBuf>> {
    let from_file = if arguments.unsigned { None } else { file.key.clone() };
    let paths = if arguments.key.is_empty() { from_file.into_iter().collect() } else { arguments.key.clone() };
    if paths.is_empty() && !arguments.unsigned {
        return Err(failure::usage(
            "no key to sign the bundle with was given",
            "make one with `kbundle keygen` and give it with `--key signing.key`, or say `--unsigned`",
        ));
    }
    paths.iter().try_for_each(|path| check_signing_key(path))?;
    Ok(paths)
}

/// The path of the bundle: from flags or file, or a name made from its content.
fn out(arguments: &BuildArgs, file: &SpecFile, source: &Source) -> PathBuf {
    let named = arguments.out.clone().or_else(|| file.out.clone());
    named.unwrap_or_else(|| {
        match source {
            Source::Locked(lock) => pack::file_name(lock.kubernetes, &lock.platforms),
            Source::Selected(selection) => pack::file_name(selection.kubernetes, &selection.platforms),
        }
        .into()
    })
}

/// Opens the bundles whose content need not be carried again. The far side compares that content with the new list, so their signatures do
/// not matter.
fn open_bases(paths: &[PathBuf]) -> anyhow::Result<Vec<IndexedBundle>> {
    paths.iter().map(|path| Input::find_file(path)?.open_indexed(SignatureCheck::Skipped)).collect()
}
