//! Packages of distributions: the signed documents of suites, their indexes, and the packages that are chosen from these.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use fs_err as fs;
use kbundle_format::{Digest, Platform};

use super::http::{Download, beside_the_network};
use super::{FetchError, Fetcher};
use crate::os_packages::{
    Archive, Index, OsPackageError, OsPackages, Package, Release, SignedText, debian_architecture, resolve,
};
use crate::resolve::Selection;

/// Most bytes of the document of a suite; Debian's have about 150 kB.
const MAX_RELEASE_BYTES: u64 = 16 << 20;
/// Most bytes of a compressed index; Debian's main has about 9 MB.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// The verified document of a suite.
struct Suite {
    /// The address of its archive.
    mirror: Arc<str>,
    /// Its address, without the document's name.
    address: String,
    /// The document's address.
    url: String,
    release: Release,
    /// The key that signed it.
    fingerprint: String,
}

impl Fetcher {
    /// The selection with the packages of distributions that it asks for. Fetches documents and indexes for that.
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
        for archive in &packages.archives {
            for name in &archive.suites {
                suites.push(self.suite(packages, archive, name).await?);
            }
        }
        Ok(suites)
    }

    /// Fetches the document of a suite: `InRelease`, which contains its signatures, or `Release` with the signatures in `Release.gpg`.
    async fn suite(&self, packages: &OsPackages, archive: &Archive, name: &str) -> Result<Suite, FetchError> {
        let address = format!("{}/dists/{name}", archive.mirror);
        let now = SystemTime::now();
        let inline = format!("{address}/InRelease");
        let (url, signed) = match self.small_file(&inline).await {
            Ok(document) => (inline, text_of(&document).and_then(|text| packages.keyring.verify(text, now))),
            Err(error) if error.is_not_there() => {
                let url = format!("{address}/Release");
                let document = match self.small_file(&url).await {
                    Err(also) if also.is_not_there() => return Err(error),
                    document => document?,
                };
                let signatures = self.small_file(&format!("{url}.gpg")).await?;
                let verify = |text| packages.keyring.verify_detached(text, &signatures, now);
                (url, text_of(&document).and_then(verify))
            }
            Err(error) => return Err(error),
        };
        let (release, fingerprint) =
            checked(packages, name, &url, signed, now).map_err(|error| of_distribution(packages, error))?;
        Ok(Suite { mirror: Arc::clone(&archive.mirror), address, url, release, fingerprint })
    }

    /// The content of a document that has no pin.
    async fn small_file(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let wanted = self.web(url, None, MAX_RELEASE_BYTES);
        let (digest, _) = self.downloader.fetch(&wanted, &self.progress.step(url, None)).await?;
        self.cache().read(&digest, MAX_RELEASE_BYTES)
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
                    Arc::clone(&suite.mirror),
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
            for (mirror, url, path, compression) in files {
                let file = fs::File::open(&path).map_err(|source| FetchError::Cache { path: path.clone(), source })?;
                let wrong = |reason| failed(OsPackageError::Index { url: url.clone(), reason });
                index.add(&mirror, file, compression).map_err(wrong)?;
            }
            let mirrors: Vec<_> = packages.archives.iter().map(|archive| &*archive.mirror).collect();
            let wrong = |reason| failed(OsPackageError::Index { url: mirrors.join(" with "), reason });
            index.link().map_err(wrong)?;
            let chosen = resolve(&index, &packages.packages, &packages.base, &architecture).map_err(failed)?;
            Ok(chosen.into_iter().cloned().collect())
        })
        .await
    }

    /// Fetches an index that has several addresses on each mirror.
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

fn text_of(document: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(document).map_err(|_| "it is not text".to_owned())
}

/// The content of a document, and the key that signed it.
fn checked(
    packages: &OsPackages,
    suite: &str,
    url: &str,
    signed: Result<SignedText, String>,
    now: SystemTime,
) -> Result<(Release, String), OsPackageError> {
    let signed = signed.map_err(|reason| OsPackageError::Signature {
        url: url.to_owned(),
        keyring: packages.keyring.path.clone(),
        reason,
    })?;
    let release = Release::parse(&signed.text, url)?;
    release.check(suite, url, now)?;
    Ok((release, signed.fingerprint))
}

fn of_distribution(packages: &OsPackages, error: OsPackageError) -> FetchError {
    FetchError::OsPackages { distribution: packages.distribution.clone(), source: Box::new(error) }
}
