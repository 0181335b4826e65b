//! The contents of a future bundle, as far as a cluster needs them: from a lock, or from a selection before anything is fetched.

use kbundle_cluster::contents::{BundleContents, ContentFile};

use crate::lock::Lock;
use crate::resolve::Selection;

/// The facts about a file that a cluster needs: from a lock's file, or from a selection's, which has no digest yet.
macro_rules! content_file {
    ($file:expr) => {
        ContentFile {
            path: &$file.path,
            kind: $file.kind,
            component: Some(&$file.component),
            platform: $file.platform.as_ref(),
            roles: &$file.roles,
            host_file: $file.host_file.as_ref(),
        }
    };
}

/// The contents of a bundle of `lock`.
#[must_use]
pub fn of_lock(lock: &Lock) -> BundleContents {
    let mut contents = BundleContents::new(lock.kubernetes, lock.platforms.clone());
    contents.after = lock.after.clone();
    for file in &lock.artifacts {
        contents.add_file(content_file!(file));
    }
    for image in &lock.images {
        contents.add_image(image.reference.clone(), image.platform.clone());
    }
    contents
}

/// The contents of a bundle of `selection`: each image for every platform, and charts by name.
#[must_use]
pub fn of_selection(selection: &Selection) -> BundleContents {
    let mut contents = BundleContents::new(selection.kubernetes, selection.platforms.clone());
    contents.after = selection.after.clone();
    for file in &selection.artifacts {
        contents.add_file(content_file!(file));
    }
    for image in &selection.images {
        for platform in &selection.platforms {
            contents.add_image(image.reference.clone(), platform.clone());
        }
    }
    for chart in selection.charts.iter().flat_map(|selected| &selected.charts) {
        contents.add_chart(&chart.release);
    }
    contents
}
