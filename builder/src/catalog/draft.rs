//! A release that the catalog lacks, drafted from the nearest one that it has.
//!
//! Programs come from the same addresses as those of the nearest release, with the checksums that upstream publishes beside them.
//! Kubernetes' own images have the new tag and no digest. Everything else (containerd, etcd, CoreDNS, add-ons) has the versions of the
//! nearest release; `./ci/catalog import` pairs the releases of one minor version in the same way.

use std::collections::BTreeMap;

use kbundle_format::{ComponentName, ImageRef, KubeVersion};

use super::{Catalog, CatalogFile, CatalogImage, ComponentVersion, Download, Release, SCHEMA};

/// Components that have Kubernetes' own version.
const OWN: [ComponentName; 3] = [ComponentName::Kubeadm, ComponentName::Kubectl, ComponentName::Kubelet];

/// A drafted release.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The release that it was drafted from.
    pub nearest: KubeVersion,
    /// What the catalog lacks: the release and its programs.
    pub file: CatalogFile,
}

/// Why no release can be drafted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The catalog has the release already.
    #[error("the catalog has Kubernetes {version} already")]
    Known {
        /// The release.
        version: KubeVersion,
    },
    /// The catalog has no release of this minor version or of the one before.
    #[error("the catalog has no Kubernetes release near {version}")]
    NothingNear {
        /// The release.
        version: KubeVersion,
    },
    /// An address or tag does not contain the version, so the new address or tag is unknown.
    #[error("{what} does not name Kubernetes {nearest}, so the address of {version} is unknown")]
    NoVersion {
        /// The address or image.
        what: String,
        /// The release that the draft is made from.
        nearest: KubeVersion,
        /// The release to draft.
        version: KubeVersion,
    },
}

impl Catalog {
    /// Drafts a release from the nearest one: of the same minor version, or of the one before.
    ///
    /// # Errors
    /// Any [`DraftError`].
    pub fn draft(&self, version: KubeVersion) -> Result<Draft, DraftError> {
        if self.releases.contains_key(&version) {
            return Err(DraftError::Known { version });
        }
        let nearest = self.nearest(version).ok_or(DraftError::NothingNear { version })?;
        let renamed = Renamed { nearest, version };
        let known = &self.releases[&nearest];
        let mut components = BTreeMap::new();
        for name in OWN.map(ComponentName::as_str) {
            let family = self.components.get(name).zip(known.components.get(name));
            let Some((family, files)) = family.and_then(|(family, of)| Some((family, family.versions.get(of)?))) else {
                return Err(DraftError::NothingNear { version });
            };
            let versions = BTreeMap::from([(version.to_string(), renamed.files(files)?)]);
            components.insert(name.to_owned(), super::ComponentFamily { versions, ..family.clone() });
        }
        let images = known.images.iter().map(|image| renamed.image(image)).collect();
        let mut release = Release { images, ..known.clone() };
        release.components.extend(OWN.map(|name| (name.as_str().to_owned(), version.to_string())));
        let releases = BTreeMap::from([(version, release)]);
        Ok(Draft { nearest, file: CatalogFile { schema: SCHEMA, components, addons: BTreeMap::new(), releases } })
    }

    /// The newest release of the same minor, or else of the minor before.
    fn nearest(&self, version: KubeVersion) -> Option<KubeVersion> {
        let newest_of = |minor| self.releases.keys().copied().rfind(|known| known.minor() == minor);
        let (major, minor) = version.minor();
        newest_of((major, minor)).or_else(|| newest_of((major, minor.checked_sub(1)?)))
    }

    /// This catalog together with the draft.
    #[must_use]
    pub fn with_draft(mut self, draft: Draft) -> Self {
        for (name, family) in draft.file.components {
            if let Some(known) = self.components.get_mut(&name) {
                known.versions.extend(family.versions);
            }
        }
        self.releases.extend(draft.file.releases);
        self
    }
}

/// A change from one release to another.
#[derive(Clone, Copy)]
struct Renamed {
    nearest: KubeVersion,
    version: KubeVersion,
}

impl Renamed {
    fn files(self, files: &ComponentVersion) -> Result<ComponentVersion, DraftError> {
        let file = |download: &Download| {
            let url = self.text(&download.url)?;
            Ok(Download { sha256: None, sha256_url: Some(format!("{url}.sha256")), url })
        };
        let platforms = files.platforms.iter().map(|(platform, download)| Ok((platform.clone(), file(download)?)));
        Ok(ComponentVersion { pinned_by: None, platforms: platforms.collect::<Result<_, _>>()? })
    }

    fn text(self, text: &str) -> Result<String, DraftError> {
        let Self { nearest, version } = self;
        let (from, to) = (format!("v{nearest}/"), format!("v{version}/"));
        if text.contains(&from) {
            return Ok(text.replace(&from, &to));
        }
        Err(DraftError::NoVersion { what: text.to_owned(), nearest, version })
    }

    /// The image of the new release if it is Kubernetes' own; other images stay the same.
    fn image(self, image: &CatalogImage) -> CatalogImage {
        if image.reference.tag() != Some(format!("v{}", self.nearest).as_str()) {
            return image.clone();
        }
        let reference = format!("{}/{}:v{}", image.reference.registry(), image.reference.repository(), self.version);
        let reference: ImageRef = reference.parse().expect("registry and repository are those of an image");
        CatalogImage { reference, digest: None, ..image.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::overview::PinState;

    fn version(text: &str) -> KubeVersion {
        text.parse().unwrap()
    }

    #[test]
    fn a_patch_that_the_catalog_lacks_has_the_components_of_its_minor() {
        let catalog = Catalog::built_in().unwrap();
        let draft = catalog.draft(version("1.34.99")).unwrap();
        assert_eq!(draft.nearest.minor(), (1, 34));
        let nearest = catalog.releases[&draft.nearest].clone();
        let catalog = catalog.with_draft(draft);
        let release = &catalog.releases[&version("1.34.99")];
        assert_eq!(release.components["kubelet"], "1.34.99");
        assert_eq!(release.components["containerd"], nearest.components["containerd"]);
        assert_eq!(release.addons, nearest.addons);

        let detail = catalog.detail(version("1.34.99").into()).unwrap();
        let kubelet = detail.components.iter().find(|component| component.name == "kubelet").unwrap();
        for (platform, file) in &kubelet.files {
            assert_eq!(file.state, PinState::UpstreamChecksum);
            let architecture = platform.architecture();
            assert_eq!(file.url, format!("https://dl.k8s.io/release/v1.34.99/bin/linux/{architecture}/kubelet"));
        }
        let (own, other): (Vec<_>, Vec<_>) =
            detail.images.iter().partition(|image| image.reference.tag() == Some("v1.34.99"));
        assert_eq!((own.len(), other.len()), (4, 2), "{:?}", detail.images);
        assert!(own.iter().all(|image| image.digest.is_none()) && other.iter().all(|image| image.digest.is_some()));
    }

    #[test]
    fn a_minor_that_the_catalog_lacks_is_drafted_from_the_one_before() {
        let catalog = Catalog::built_in().unwrap();
        let newest = *catalog.releases.keys().next_back().unwrap();
        let (major, minor) = newest.minor();
        let next = KubeVersion::new(major, minor + 1, 0);
        assert_eq!(catalog.draft(next).unwrap().nearest, newest);
        let later = KubeVersion::new(major, minor + 2, 0);
        assert!(matches!(catalog.draft(later), Err(DraftError::NothingNear { .. })));
        assert!(matches!(catalog.draft(newest), Err(DraftError::Known { .. })));
    }

    #[test]
    fn an_address_without_the_version_is_refused() {
        let mut catalog = Catalog::built_in().unwrap();
        let nearest = catalog.nearest(version("1.25.99")).unwrap();
        let kubelet = catalog.components.get_mut("kubelet").unwrap().versions.get_mut(&nearest.to_string()).unwrap();
        kubelet.platforms.values_mut().for_each(|file| file.url = "https://site.example/kubelet".to_owned());
        let error = catalog.draft(version("1.25.99")).unwrap_err().to_string();
        assert!(error.contains("https://site.example/kubelet does not name Kubernetes 1.25."), "{error}");
    }
}
