//! The images of the cluster itself, with the bundle's names.

use kbundle_format::{BundleList, ImageRef, Platform};

/// The images that settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterImages {
    /// Registry and path that the control plane's images share: `registry.k8s.io`.
    pub repository: String,
    /// The image that holds each pod's namespaces.
    pub pause: ImageRef,
    /// The image of the cluster's DNS, if the bundle has it.
    pub coredns: Option<ImageRef>,
}

/// The bundle lacks an image that every cluster needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bundle has no {name} image for {platform}")]
pub struct MissingImage {
    /// The image's short name.
    pub name: &'static str,
    /// The host's platform.
    pub platform: Platform,
}

impl ClusterImages {
    /// Finds the images in a list.
    ///
    /// # Errors
    /// The first missing image, as from [`ClusterImages::among`].
    pub fn find(list: &BundleList, platform: &Platform) -> Result<Self, MissingImage> {
        let images: Vec<_> =
            list.images.iter().filter(|image| image.platform == *platform).map(|image| &image.reference).collect();
        Self::among(&images, platform)
    }

    /// Finds the images among those for a platform. Other images may have the same short names; the cluster's images have the same
    /// repository as the API server's.
    ///
    /// # Errors
    /// The first missing image.
    pub fn among(images: &[&ImageRef], platform: &Platform) -> Result<Self, MissingImage> {
        let missing = |name| MissingImage { name, platform: platform.clone() };
        let apiserver = images.iter().find(|image| image.short_name() == "kube-apiserver");
        let repository = parent(apiserver.ok_or_else(|| missing("kube-apiserver"))?);
        let sibling = |name: &str| {
            let path = format!("{repository}/{name}");
            // kubeadm names them by tag.
            let found = images.iter().find(|image| path_of(image) == path && image.tag().is_some());
            found.map(|image| (*image).clone())
        };
        for name in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            sibling(name).ok_or_else(|| missing(name))?;
        }
        Ok(Self {
            pause: sibling("pause").ok_or_else(|| missing("pause"))?,
            coredns: sibling("coredns/coredns"),
            repository,
        })
    }
}

/// Registry and repository, without the tag: `registry.k8s.io/coredns/coredns`.
fn path_of(reference: &ImageRef) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

/// The path without its last part: `registry.k8s.io/coredns` of `registry.k8s.io/coredns/coredns:v1.9.3`.
#[must_use]
pub fn parent(reference: &ImageRef) -> String {
    let path = path_of(reference);
    path.rsplit_once('/').map_or(path.clone(), |(parent, _)| parent.to_owned())
}
