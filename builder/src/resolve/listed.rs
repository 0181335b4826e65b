//! Selects the images of a bundle again.

use kbundle_format::{BundleList, Image, PinSource};

use super::SelectedImage;

/// The images of `list`, each for every platform.
#[must_use]
pub fn images_of(list: &BundleList) -> Vec<SelectedImage> {
    let mut images: Vec<SelectedImage> = Vec::new();
    for image in &list.images {
        // The list has one image for each platform, a selection has one for all.
        if images.iter().all(|known| known.reference != image.reference) {
            images.push(selected(list, image));
        }
    }
    images
}

fn selected(list: &BundleList, image: &Image) -> SelectedImage {
    let manifest = list.entries.iter().find(|entry| entry.digest == image.manifest);
    let pinned = list.entries.iter().find(|entry| entry.digest == image.pinned);
    let origin = pinned.and_then(|entry| entry.origin.as_ref()).filter(|origin| origin.pin == PinSource::LocalFile);
    SelectedImage {
        reference: image.reference.clone(),
        digest: Some(image.pinned),
        roles: image.roles.clone(),
        licence: manifest.and_then(|entry| entry.licence.clone()),
        addon: None,
        file: origin.and_then(|origin| origin.url.parse().ok()),
    }
}
