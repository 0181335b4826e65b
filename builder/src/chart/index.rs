//! The index of an HTTP repository of charts. Source: Helm's documentation, "The index file".

use std::collections::BTreeMap;

use kbundle_format::Digest;
use serde::Deserialize;

use super::{ChartError, REGISTRY_SCHEME};

/// The needed parts of an `index.yaml`.
#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    entries: BTreeMap<String, Vec<ChartVersion>>,
}

#[derive(Debug, Deserialize)]
struct ChartVersion {
    version: String,
    #[serde(default)]
    urls: Vec<String>,
    digest: Option<String>,
}

/// The address of a version of a chart, and the digest of its archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ArchiveAddress {
    /// An `https://`, `http://` or `oci://` address.
    pub url: String,
    /// The digest, if the index states it.
    pub digest: Option<Digest>,
}

impl Index {
    /// Reads the index that came from `url`.
    pub fn parse(bytes: &[u8], url: &str) -> Result<Self, ChartError> {
        serde_yaml::from_slice(bytes).map_err(|source| ChartError::Index { url: url.to_owned(), source })
    }

    /// The `version` of the chart called `name` in the repository at the address `repository`.
    pub fn find(&self, repository: &str, name: &str, version: &str) -> Result<ArchiveAddress, ChartError> {
        let (repository, name) = (repository.to_owned(), name.to_owned());
        let Some(charts) = self.entries.get(&name) else { return Err(ChartError::NoChart { repository, name }) };
        // Some repositories write `v1.2.3` for a chart whose version is `1.2.3`.
        let bare = |text: &str| text.strip_prefix('v').unwrap_or(text).to_owned();
        let version = version.to_owned();
        let Some(chart) = charts.iter().find(|chart| bare(&chart.version) == bare(&version)) else {
            let known = charts.iter().map(|chart| chart.version.clone()).collect();
            return Err(ChartError::NoVersion { repository, name, version, known });
        };
        let digest = chart.digest.as_deref().and_then(stated_digest);
        match chart.urls.first().and_then(|url| absolute(&repository, url)) {
            Some(url) => Ok(ArchiveAddress { url, digest }),
            None => Err(ChartError::NoAddress { repository, name, version }),
        }
    }
}

/// 64 hex digits, with or without `sha256:`.
fn stated_digest(text: &str) -> Option<Digest> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).ok()
}

/// Addresses in an index are relative to the repository's, unless they name a host.
fn absolute(repository: &str, url: &str) -> Option<String> {
    if url.starts_with(REGISTRY_SCHEME) {
        return Some(url.to_owned());
    }
    let base = reqwest::Url::parse(&format!("{repository}/")).ok()?;
    let whole = base.join(url).ok()?;
    matches!(whole.scheme(), "http" | "https").then(|| whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "https://charts.example.com/stable";

    fn find(name: &str, version: &str) -> Result<ArchiveAddress, String> {
        let digest = Digest::of(b"archive");
        let text = format!(
            "apiVersion: v1\nentries:\n  app:\n  - {{name: app, version: 1.2.0, urls: [app-1.2.0.tgz], digest: {}}}\n  \
             - {{name: app, version: v1.1.0, urls: ['https://other.example.com/app.tgz'], digest: '{digest}'}}\n  \
             - {{name: app, version: 1.0.0, urls: ['oci://ghcr.io/team/app:1.0.0']}}\n  \
             - {{name: app, version: 0.9.0, urls: ['ftp://x/y']}}\n",
            digest.hex()
        );
        let index = Index::parse(text.as_bytes(), "index.yaml").unwrap();
        index.find(REPOSITORY, name, version).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_relative_to_the_repository() {
        let digest = Some(Digest::of(b"archive"));
        let listed = |url: &str, digest| Ok(ArchiveAddress { url: url.to_owned(), digest });
        assert_eq!(find("app", "1.2.0"), listed("https://charts.example.com/stable/app-1.2.0.tgz", digest));
        assert_eq!(find("app", "1.1.0"), listed("https://other.example.com/app.tgz", digest));
        assert_eq!(find("app", "1.0.0"), listed("oci://ghcr.io/team/app:1.0.0", None));
    }

    #[test]
    fn what_a_repository_lacks_is_named() {
        assert_eq!(find("other", "1"), Err(format!("{REPOSITORY} has no chart other")));
        let near = find("app", "1.2.1").unwrap_err();
        assert_eq!(near, format!("{REPOSITORY} has no version 1.2.1 of chart app; the nearest is 1.2.0"));
        assert_eq!(find("app", "0.9.0"), Err(format!("{REPOSITORY} gives no usable address of app 0.9.0")));
        assert!(Index::parse(b"<html>", "https://x").is_err());
    }
}
