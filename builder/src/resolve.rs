//! From a spec and a catalog to the selection: everything the bundle will hold, each with its pin. Nothing is fetched here.

use std::collections::BTreeSet;

use kbundle_format::{Component, Digest, EntryKind, EntryPath, ImageRef, KubeVersion, Platform, Role, Source};

use crate::catalog::{Catalog, CatalogImage, Download, Release};
use crate::spec::{BundleSpec, Cni, ImageRequest, Unpinned};

/// Components in the order a host needs them; others come after, by name.
const ORDER_OF_NEED: [&str; 8] =
    ["containerd", "runc", "cni-plugins", "crictl", "etcd", "kubelet", "kubeadm", "kubectl"];

/// What a bundle will hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The Kubernetes release.
    pub kubernetes: KubeVersion,
    /// Platforms of the hosts.
    pub platforms: BTreeSet<Platform>,
    /// The catalog files behind the pins.
    pub sources: Vec<Source>,
    /// Files, in the order of the bundle.
    pub artifacts: Vec<SelectedArtifact>,
    /// Images, each for every platform, in the order of the bundle.
    pub images: Vec<SelectedImage>,
}

/// A file to fetch by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedArtifact {
    /// Where it will lie in the bundle.
    pub path: EntryPath,
    /// The upstream address.
    pub url: String,
    /// What makes its content believable.
    pub pin: Pin,
    /// Binary, archive or manifest.
    pub kind: EntryKind,
    /// What it is.
    pub component: Component,
    /// The platform it runs on; absent where it suits all.
    pub platform: Option<Platform>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    pub licence: Option<String>,
    /// Where the pin was found, in words.
    pub pinned_by: Option<String>,
}

/// What makes the content of a file believable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The catalog states its digest.
    Catalog(Digest),
    /// The project publishes its digest at this address.
    UpstreamChecksum(String),
    /// Nothing: it is taken as it comes.
    FirstUse,
}

/// An image to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedImage {
    /// The upstream reference.
    pub reference: ImageRef,
    /// What its tag has to stand for; absent where it is taken as it comes.
    pub digest: Option<Digest>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    pub licence: Option<String>,
}

/// Why a spec cannot be met from a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The catalog knows other releases.
    #[error("the catalog has no Kubernetes {version}; it has {}", words(known))]
    Release {
        /// What was asked for.
        version: KubeVersion,
        /// What there is.
        known: Vec<String>,
    },
    /// A release names a component that the catalog lacks.
    #[error("Kubernetes {release} needs {name} {version}, which the catalog does not have")]
    Component {
        /// The release.
        release: KubeVersion,
        /// The component.
        name: String,
        /// Its version.
        version: String,
    },
    /// A component has no file for the platform.
    #[error("{name} {version} has no file for {platform} in the catalog; it has {}", words(known))]
    Platform {
        /// The component.
        name: String,
        /// Its version.
        version: String,
        /// What was asked for.
        platform: Platform,
        /// What there is.
        known: Vec<String>,
    },
    /// No add-on of that name goes with the release.
    #[error("the catalog has no add-on `{name}` for Kubernetes {release}; it has {}", words(known))]
    Addon {
        /// The release.
        release: KubeVersion,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nobody pins the content, and nobody said that this is fine.
    #[error("nothing pins the content of {what}")]
    Unpinned {
        /// An address or an image reference.
        what: String,
    },
    /// One reference with two digests.
    #[error("image {reference} is pinned to {first} and to {second}")]
    TwoDigests {
        /// The image.
        reference: Box<ImageRef>,
        /// The digest that came first.
        first: Digest,
        /// The other.
        second: Digest,
    },
    /// A name that does not fit into a bundle.
    #[error("{what} cannot be named in a bundle")]
    Name {
        /// An address or a manifest's name.
        what: String,
        /// Why.
        source: kbundle_format::names::NameError,
    },
}

fn words(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

impl Catalog {
    /// Selects what `spec` asks for.
    ///
    /// # Errors
    /// [`ResolveError`]: what is missing, and what there is instead.
    pub fn resolve(&self, spec: &BundleSpec) -> Result<Selection, ResolveError> {
        let version = spec.kubernetes;
        let release = self.releases.get(&version).ok_or_else(|| ResolveError::Release {
            version,
            known: self.releases.keys().map(ToString::to_string).collect(),
        })?;
        let mut selection = Selection {
            kubernetes: version,
            platforms: spec.platforms.clone(),
            sources: self.sources.clone(),
            artifacts: self.components(version, release, spec)?,
            images: Vec::new(),
        };
        let mut images: Vec<SelectedImage> = Vec::new();
        add_images(&mut images, &release.images)?;
        let cni = match &spec.cni {
            Cni::Bridge => None,
            Cni::Addon(name) => Some(name),
        };
        let names: BTreeSet<&String> = cni.into_iter().chain(&spec.addons).collect();
        for name in names {
            self.addon(&mut selection.artifacts, &mut images, (version, release), name, spec.unpinned)?;
        }
        for ImageRequest { reference, digest } in &spec.images {
            let roles = BTreeSet::from([Role::ControlPlane, Role::Worker]);
            add_image(
                &mut images,
                SelectedImage { reference: reference.clone(), digest: *digest, roles, licence: None },
            )?;
        }
        images.sort_by_key(|image| image_rank(image.reference.short_name()));
        if let Some(image) = images.iter().find(|image| image.digest.is_none() && spec.unpinned == Unpinned::Refuse) {
            return Err(ResolveError::Unpinned { what: format!("image {}", image.reference) });
        }
        selection.images = images;
        Ok(selection)
    }

    fn components(
        &self,
        kubernetes: KubeVersion,
        release: &Release,
        spec: &BundleSpec,
    ) -> Result<Vec<SelectedArtifact>, ResolveError> {
        let mut wanted: Vec<(&String, &String)> = release.components.iter().collect();
        wanted.sort_by_key(|(name, _)| {
            ORDER_OF_NEED.iter().position(|known| known == name).unwrap_or(ORDER_OF_NEED.len())
        });
        let mut artifacts = Vec::new();
        for (name, version) in wanted {
            let missing =
                || ResolveError::Component { release: kubernetes, name: name.clone(), version: version.clone() };
            let family = self.components.get(name).ok_or_else(missing)?;
            let files = family.versions.get(version).ok_or_else(missing)?;
            for platform in &spec.platforms {
                let download = files.platforms.get(platform).ok_or_else(|| ResolveError::Platform {
                    name: name.clone(),
                    version: version.clone(),
                    platform: platform.clone(),
                    known: files.platforms.keys().map(ToString::to_string).collect(),
                })?;
                let file = download.url.rsplit('/').next().unwrap_or_default();
                artifacts.push(SelectedArtifact {
                    path: path(
                        &format!("artifacts/{}-{}/{file}", platform.os(), platform.architecture()),
                        &download.url,
                    )?,
                    url: download.url.clone(),
                    pin: pin(download, spec.unpinned)?,
                    kind: family.kind.into(),
                    component: Component { name: name.clone(), version: version.clone() },
                    platform: Some(platform.clone()),
                    roles: family.roles.clone(),
                    licence: family.licence.clone(),
                    pinned_by: files.pinned_by.clone(),
                });
            }
        }
        Ok(artifacts)
    }

    fn addon(
        &self,
        artifacts: &mut Vec<SelectedArtifact>,
        images: &mut Vec<SelectedImage>,
        (kubernetes, release): (KubeVersion, &Release),
        name: &String,
        unpinned: Unpinned,
    ) -> Result<(), ResolveError> {
        let known = self.addons.get(name).zip(release.addons.get(name));
        let (addon, version, files) = known
            .and_then(|(addon, version)| Some((addon, version, addon.versions.get(version)?)))
            .ok_or_else(|| ResolveError::Addon {
                release: kubernetes,
                name: name.clone(),
                known: release.addons.keys().cloned().collect(),
            })?;
        for manifest in &files.manifests {
            let download = Download { url: manifest.url.clone(), sha256: manifest.sha256, sha256_url: None };
            artifacts.push(SelectedArtifact {
                path: path(&format!("manifests/{name}/{}", manifest.name), &manifest.name)?,
                url: manifest.url.clone(),
                pin: pin(&download, unpinned)?,
                kind: EntryKind::Manifest,
                component: Component { name: name.clone(), version: version.clone() },
                platform: None,
                roles: BTreeSet::from([Role::ControlPlane]),
                licence: addon.licence.clone(),
                pinned_by: files.pinned_by.clone(),
            });
        }
        add_images(images, &files.images)
    }
}

fn path(text: &str, what: &str) -> Result<EntryPath, ResolveError> {
    text.parse().map_err(|source| ResolveError::Name { what: what.to_owned(), source })
}

fn pin(download: &Download, unpinned: Unpinned) -> Result<Pin, ResolveError> {
    match (download.sha256, &download.sha256_url, unpinned) {
        (Some(hex), _, _) => Ok(Pin::Catalog(hex.0)),
        (None, Some(url), _) => Ok(Pin::UpstreamChecksum(url.clone())),
        (None, None, Unpinned::TrustOnFirstUse) => Ok(Pin::FirstUse),
        (None, None, Unpinned::Refuse) => Err(ResolveError::Unpinned { what: download.url.clone() }),
    }
}

fn add_images(images: &mut Vec<SelectedImage>, more: &[CatalogImage]) -> Result<(), ResolveError> {
    more.iter().try_for_each(|image| {
        let CatalogImage { reference, digest, licence, roles } = image.clone();
        add_image(images, SelectedImage { reference, digest, roles, licence })
    })
}

/// Adds an image, or its roles to the one of the same reference.
fn add_image(images: &mut Vec<SelectedImage>, image: SelectedImage) -> Result<(), ResolveError> {
    let Some(known) = images.iter_mut().find(|known| known.reference == image.reference) else {
        images.push(image);
        return Ok(());
    };
    if let (Some(first), Some(second)) = (known.digest, image.digest)
        && first != second
    {
        return Err(ResolveError::TwoDigests { reference: Box::new(image.reference), first, second });
    }
    known.digest = known.digest.or(image.digest);
    known.roles.extend(image.roles);
    Ok(())
}

/// The control plane's images come first: a host needs them first.
fn image_rank(name: &str) -> u8 {
    match name {
        "pause" => 0,
        name if name.starts_with("kube-") => 1,
        "coredns" => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
