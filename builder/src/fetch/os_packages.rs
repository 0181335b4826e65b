//! Packages of distributions: signed documents of suites, their indexes, and what is chosen from these.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use fs_err as fs;
use kbundle_format::{Digest, Platform};

use super::http::{Download, beside_the_network};
use super::{FetchError, Fetcher};
use crate::os_packages::{Index, OsPackageError, OsPackages, Package, Release, debian_architecture, resolve};
use crate::resolve::Selection;

/// Most bytes of the document of a suite; Debian's have about 150 kB.
const MAX_RELEASE_BYTES: u64 = 16 << 20;
/// Most bytes of a packed index; Debian's main has about 9 MB.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// The verified document of a suite.
struct Suite {
    /// Its address, without the document's name.
    address: String,
    /// The document's address.
    url: String,
    release: Release,
    /// Who signed it.
    fingerprint: String,
}

impl Fetcher {
    /// The selection with the packages of distributions that it asks for. Documents and indexes are fetched for that.
    pub(super) async fn with_os_packages(&self, mut selection: Selection) -> Result<Selection, FetchError> {
        for packages in std::mem::take(&mut selection.os_packages) {
            let suites = self.suites(&packages).await?;
            let signers: BTreeSet<_> = suites.iter().map(|suite| suite.fingerprint.as_str()).collect();
            let signers: Vec<_> = signers.into_iter().collect();
            let pinned_by =
                format!("the archive's index of packages, signed by the OpenPGP key {}", signers.join(" and "));
            for platform in selection.platforms.clone() {
                let chosen = self.chosen(&packages, &suites, &platform).await?;
                for package in &chosen {
                    let added = selection.add_os_package(&packages, package, &platform, &pinned_by);
                    added.map_err(|error| of_distribution(&packages, error))?;
                }
            }
        }
        Ok(selection)
    }

    /// Fetches the documents of the suites, and verifies that they count.
    async fn suites(&self, packages: &OsPackages) -> Result<Vec<Suite>, FetchError> {
        let mut suites = Vec::new();
        for name in &packages.suites {
            let address = format!("{}/dists/{name}", packages.mirror);
            let url = format!("{address}/InRelease");
            let wanted = self.web(&url, None, MAX_RELEASE_BYTES);
            let (digest, _) = self.downloader.fetch(&wanted, &self.progress.step(&url, None)).await?;
            let document = self.cache().read(&digest, MAX_RELEASE_BYTES)?;
            let (release, fingerprint) = verified(packages, name, &url, &document, SystemTime::now())
                .map_err(|error| of_distribution(packages, error))?;
            suites.push(Suite { address, url, release, fingerprint });
        }
        Ok(suites)
    }

    /// The packages for hosts of a platform.
    async fn chosen(
        &self,
        packages: &OsPackages,
        suites: &[Suite],
        platform: &Platform,
    ) -> Result<Vec<Package>, FetchError> {
        let architecture = debian_architecture(platform.architecture()).to_owned();
        let mut files = Vec::new();
        for suite in suites {
            for component in &packages.components {
                let file = suite.release.index(component, &architecture).ok_or_else(|| {
                    let (url, component) = (suite.url.clone(), component.clone());
                    of_distribution(
                        packages,
                        OsPackageError::NoIndex { url, component, architecture: architecture.clone() },
                    )
                })?;
                let urls: Vec<_> = file.paths.iter().map(|path| format!("{}/{path}", suite.address)).collect();
                self.fetch_index(&urls, file.digest, file.size).await?;
                files.push((
                    urls.last().cloned().unwrap_or_default(),
                    self.cache().path(&file.digest),
                    file.compression,
                ));
            }
        }
        let packages = Arc::new(packages.clone());
        beside_the_network(move || {
            let failed = |error| of_distribution(&packages, error);
            let mut index = Index::default();
            for (url, path, compression) in files {
                let file = fs::File::open(&path).map_err(|source| FetchError::Cache { path: path.clone(), source })?;
                let wrong = |reason| failed(OsPackageError::Index { url: url.clone(), reason });
                index.add(file, compression).map_err(wrong)?;
            }
            let wrong = |reason| failed(OsPackageError::Index { url: packages.mirror.clone(), reason });
            index.link().map_err(wrong)?;
            let chosen = resolve(&index, &packages.packages, &packages.base, &architecture).map_err(failed)?;
            Ok(chosen.into_iter().cloned().collect())
        })
        .await
    }

    /// Fetches an index that lies at several addresses of each mirror.
    async fn fetch_index(&self, urls: &[String], digest: Digest, size: u64) -> Result<(), FetchError> {
        let mut downloads = urls.iter().map(|url| self.web(url, Some(digest), MAX_INDEX_BYTES));
        let Some(first) = downloads.next() else { return Ok(()) };
        let places = first.places.into_iter().chain(downloads.flat_map(|download| download.places)).collect();
        let wanted = Download { places, size: Some(size), digest: Some(digest), most: MAX_INDEX_BYTES };
        let name = urls.last().map(String::as_str).unwrap_or_default();
        self.downloader.fetch(&wanted, &self.progress.step(name, Some(size))).await?;
        Ok(())
    }
}

/// What a document says, and who signed it.
fn verified(
    packages: &OsPackages,
    suite: &str,
    url: &str,
    document: &[u8],
    now: SystemTime,
) -> Result<(Release, String), OsPackageError> {
    let unsigned = |reason: String| OsPackageError::Signature {
        url: url.to_owned(),
        keyring: packages.keyring.path.clone(),
        reason,
    };
    let document = std::str::from_utf8(document).map_err(|_| unsigned("it is not text".to_owned()))?;
    let signed = packages.keyring.verify(document, now).map_err(unsigned)?;
    let release = Release::parse(&signed.text, url)?;
    release.check(suite, url, now)?;
    Ok((release, signed.fingerprint))
}

fn of_distribution(packages: &OsPackages, error: OsPackageError) -> FetchError {
    FetchError::OsPackages { distribution: packages.distribution.clone(), source: Box::new(error) }
}
