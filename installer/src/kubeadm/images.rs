//! The images of the bundle, as this host can use them.

use kbundle_format::{BundleList, Image, Platform};

use crate::inputs::Inputs;

pub use kbundle_cluster::needs::{ClusterImages, MissingImage, parent};

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
