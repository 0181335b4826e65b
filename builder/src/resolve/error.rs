//! Why a spec cannot be met from a catalog.

use kbundle_cli::similar::{nearest, nearest_version};
use kbundle_format::prerequisites::circle_words;
use kbundle_format::{Component, Digest, ImageRef, KubeVersion, Platform};

use crate::spec::ImageRequestError;
use crate::version_request::VersionRequest;

/// Content of a selection without a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// Its address or image reference.
    pub what: String,
    /// The component or add-on that it belongs to; absent for Kubernetes' own images and the site's.
    pub of: Option<Component>,
}

/// Why a spec cannot be met from a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The catalog has other releases.
    #[error("the catalog has no Kubernetes {version}{}; it has {}", meant(nearest_version(&version.to_string(), texts(known))), words(known))]
    Release {
        /// The wanted release.
        version: VersionRequest,
        /// The releases that it has.
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
        /// The wanted platform.
        platform: Platform,
        /// The platforms that it has.
        known: Vec<String>,
    },
    /// No add-on of this name suits the release.
    #[error(
        "the catalog has no add-on `{name}` for Kubernetes {release}{}; it has {}",
        meant(nearest(name, texts(known))),
        words(known)
    )]
    Addon {
        /// The release.
        release: KubeVersion,
        /// The name that was asked for.
        name: String,
        /// The add-ons that suit it.
        known: Vec<String>,
    },
    /// The content has no pin, and the spec does not accept that.
    #[error("nothing pins {}", loose_words(loose))]
    Unpinned {
        /// All such content.
        loose: Vec<Loose>,
        /// Networks for the release that have pins and could be used instead; empty if the network is not the cause.
        pinned_networks: Vec<String>,
    },
    /// One reference is pinned to two digests.
    #[error("image {reference} is pinned to {first} and to {second}")]
    TwoDigests {
        /// The image.
        reference: Box<ImageRef>,
        /// The digest that came first.
        first: Digest,
        /// The other.
        second: Digest,
    },
    /// Manifests or a chart of the site have the same name as an add-on, or as each other.
    #[error("`{name}` is the name of something else that cluster.yaml lists under addons; choose another one")]
    SameName {
        /// The name.
        name: String,
    },
    /// `after` in bundle.yaml names something that the bundle does not have.
    #[error(
        "`after` has `{name}`, which is not in the bundle{}; the bundle has {}",
        meant(nearest(name, texts(known))),
        words(known)
    )]
    UnknownInAfter {
        /// The name.
        name: String,
        /// What cluster.yaml can list.
        known: Vec<String>,
    },
    /// An add-on needs another one first, which the bundle does not have.
    #[error("{of} needs `{name}` first, which is not in the bundle{}", meant(nearest(name, texts(known)).filter(|_| !is_in_catalog)))]
    Needed {
        /// The add-on.
        of: String,
        /// What it needs.
        name: String,
        /// Whether `--addon` would add it.
        is_in_catalog: bool,
        /// What cluster.yaml can list.
        known: Vec<String>,
    },
    /// Add-ons that need each other first.
    #[error("no order is right for these add-ons: {}", circle_words(names))]
    Circle {
        /// Their names.
        names: Vec<String>,
    },
    /// Charts need helm.
    #[error("the catalog has no helm for Kubernetes {release}, which charts are rendered and installed with")]
    NoHelm {
        /// The release.
        release: KubeVersion,
    },
    /// Charts are rendered on the machine that builds, and helm has no file for it.
    #[error("charts are rendered here, on {platform}, and the catalog has helm {version} for {} only", words(known))]
    HelmPlatform {
        /// The builder's platform.
        platform: String,
        /// The version of helm.
        version: String,
        /// The platforms that it has.
        known: Vec<String>,
    },
    /// Manifests of the site name an image in a form that has no known registry.
    #[error("the image `{image}` cannot be carried ({place})")]
    SiteImage {
        /// The image, as the manifests name it.
        image: String,
        /// The place of the name.
        place: String,
        /// The reason.
        source: ImageRequestError,
    },
    /// A name that is not possible in a bundle.
    #[error("{what} cannot be named in a bundle")]
    Name {
        /// An address or a manifest's name.
        what: String,
        /// The reason.
        source: kbundle_format::text::TextError,
    },
}

/// `calico 3.32.1 (https://…, quay.io/…) and quay.io/site/app:1`.
fn loose_words(loose: &[Loose]) -> String {
    let mut groups: Vec<(Option<&Component>, Vec<&str>)> = Vec::new();
    for Loose { what, of } in loose {
        match groups.last_mut().filter(|(group, _)| group.is_some() && *group == of.as_ref()) {
            Some((_, whats)) => whats.push(what),
            None => groups.push((of.as_ref(), vec![what])),
        }
    }
    let group = |(of, whats): &(Option<&Component>, Vec<&str>)| match of {
        Some(of) => format!("{} {} ({})", of.name, of.version, whats.join(", ")),
        None => whats.join(", "),
    };
    groups.iter().map(group).collect::<Vec<_>>().join(" and ")
}

/// The hint about a similar name, if there is one.
fn meant(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

fn texts(known: &[String]) -> impl Iterator<Item = &str> {
    known.iter().map(String::as_str)
}

fn words(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}
