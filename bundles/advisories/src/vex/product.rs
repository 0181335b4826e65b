//! What a statement is about: a package, or an image or file with what is in it.

use std::sync::Arc;

use kbundle_format::Digest;
use packageurl::PackageUrl;

use super::covers;
use crate::subject::{Package, Place};

/// What a statement is about.
#[derive(Clone, Debug)]
pub enum Product {
    /// A package, or an image or a file with these packages in it; without any, with all of them.
    Thing(Arc<Thing>, Vec<Arc<Thing>>),
    /// A package where this image or file has it, and nowhere else.
    Within {
        /// The package.
        part: Arc<Thing>,
        /// The image or file.
        whole: Arc<Thing>,
    },
}

/// By what a package, an image or a file is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// Package URLs, references of images, paths of files.
    pub names: Vec<String>,
    /// Of the file, or of the image's manifest.
    pub digests: Vec<Digest>,
    /// The version that is meant where the package URL names none.
    pub version: Option<String>,
}

impl Product {
    /// Whether it is the package itself, or the image or file with the package in it.
    pub fn covers(&self, package: &Package, place: &Place) -> bool {
        match self {
            Self::Thing(thing, parts) => {
                let has_package = || parts.is_empty() || parts.iter().any(|part| part.is(&package.purl));
                thing.is(&package.purl) || thing.is_place(place) && has_package()
            }
            Self::Within { part, whole } => part.is(&package.purl) && whole.is_place(place),
        }
    }

    /// Whether anything can be compared with it.
    pub fn is_identified(&self) -> bool {
        match self {
            Self::Thing(thing, _) => thing.is_identified(),
            Self::Within { part, whole } => part.is_identified() && whole.is_identified(),
        }
    }
}

impl Thing {
    fn is_identified(&self) -> bool {
        !self.names.is_empty() || !self.digests.is_empty()
    }

    fn is(&self, purl: &str) -> bool {
        self.names.iter().any(|stated| covers(stated, purl)) && self.has_version_of(purl)
    }

    fn has_version_of(&self, purl: &str) -> bool {
        let Some(version) = &self.version else { return true };
        purl.parse::<PackageUrl<'_>>().is_ok_and(|purl| purl.version() == Some(version))
    }

    fn is_place(&self, place: &Place) -> bool {
        self.digests.contains(&place.digest)
            || self.names.contains(&place.name)
            || place.purl.as_deref().is_some_and(|purl| self.is(purl))
    }
}
