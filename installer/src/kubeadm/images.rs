//! The images that the cluster itself is made of, as the bundle has them.

use kbundle_format::{BundleList, Image, ImageRef, Platform};

use crate::inputs::Inputs;

/// The images that settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterImages {
    /// Registry and path that the control plane's images share: `registry.k8s.io`.
    pub repository: String,
    /// Holds each pod's namespaces.
    pub pause: ImageRef,
    /// The cluster's DNS, where the bundle has it.
    pub coredns: Option<ImageRef>,
}

/// The bundle lacks an image that no cluster can do without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bundle has no {name} image for {platform}")]
pub struct MissingImage {
    /// The image's short name.
    pub name: &'static str,
    /// The host's platform.
    pub platform: Platform,
}

impl ClusterImages {
    /// Finds the images. Others may bear the same short names; those of the cluster lie where the API server's lies.
    pub fn find(list: &BundleList, platform: &Platform) -> Result<Self, MissingImage> {
        let missing = |name| MissingImage { name, platform: platform.clone() };
        let apiserver = of_platform(list, platform).find(|image| image.reference.short_name() == "kube-apiserver");
        let apiserver = &apiserver.ok_or_else(|| missing("kube-apiserver"))?.reference;
        let repository = parent(apiserver);
        let sibling = |name: &str| {
            let path = format!("{repository}/{name}");
            // kubeadm names them by tag.
            let is_it = |image: &&Image| path_of(&image.reference) == path && image.reference.tag().is_some();
            let found = of_platform(list, platform).find(is_it);
            found.map(|image| image.reference.clone())
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

/// The images for `platform`.
pub fn of_platform<'a>(list: &'a BundleList, platform: &'a Platform) -> impl Iterator<Item = &'a Image> {
    list.images.iter().filter(move |image| image.platform == *platform)
}

/// The image with this short name for this host, such as `haproxy`.
#[must_use]
pub fn image_called(name: &str, inputs: &Inputs<'_>) -> Option<String> {
    let mut images = of_platform(inputs.list, &inputs.facts.platform);
    images.find(|image| image.reference.short_name() == name).map(|image| image.reference.to_string())
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
