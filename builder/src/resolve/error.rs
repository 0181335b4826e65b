//! Why a spec cannot be met from a catalog.

use kbundle_cli::similar::{nearest, nearest_version};
use kbundle_format::prerequisites::circle_words;
use kbundle_format::{Component, Digest, ImageRef, KubeVersion, Platform};

use crate::spec::ImageRequestError;
use crate::version_request::VersionRequest;

/// Content of a selection that nothing pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// Its address or image reference.
    pub what: String,
    /// The component or add-on that it belongs to; absent where it is Kubernetes' own image or the site's.
    pub of: Option<Component>,
}

/// Why a spec cannot be met from a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The catalog knows other releases.
    #[error("the catalog has no Kubernetes {version}{}; it has {}", meant(nearest_version(&version.to_string(), texts(known))), words(known))]
    Release {
        /// What was asked for.
        version: VersionRequest,
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
    #[error(
        "the catalog has no add-on `{name}` for Kubernetes {release}{}; it has {}",
        meant(nearest(name, texts(known))),
        words(known)
    )]
    Addon {
        /// The release.
        release: KubeVersion,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nobody pins the content, and nobody said that this is fine.
    #[error("nothing pins {}", loose_words(loose))]
    Unpinned {
        /// All of it.
        loose: Vec<Loose>,
        /// Networks of the release that could be had instead, because they are pinned; empty where the network is not at fault.
        pinned_networks: Vec<String>,
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
    /// Manifests or a chart of the site have the name of an add-on, or of each other.
    #[error("`{name}` is the name of something else that cluster.yaml lists under addons; choose another one")]
    SameName {
        /// The name.
        name: String,
    },
    /// `after` in bundle.yaml is about something that the bundle does not have.
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
    /// Charts are rendered on the machine that builds.
    #[error("charts are rendered here, on {platform}, and the catalog has helm {version} for {} only", words(known))]
    HelmPlatform {
        /// The builder's platform.
        platform: String,
        /// The version of helm.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Manifests of the site name an image in a way that no registry is known for.
    #[error("the image `{image}` cannot be carried ({place})")]
    SiteImage {
        /// The image, as the manifests name it.
        image: String,
        /// Where it is named.
        place: String,
        /// Why.
        source: ImageRequestError,
    },
    /// A name that does not fit into a bundle.
    #[error("{what} cannot be named in a bundle")]
    Name {
        /// An address or a manifest's name.
        what: String,
        /// Why.
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

/// What was meant instead, where there is something near.
fn meant(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

fn texts(known: &[String]) -> impl Iterator<Item = &str> {
    known.iter().map(String::as_str)
}

fn words(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}
