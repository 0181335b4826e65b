//! What the configuration of Kubernetes may contain, by minor version: fields of the kubelet's and kube-proxy's configuration with their
//! types, and the flags of the control plane's programs. The tables are in `manifests/types/`; `ci/kubernetes-types` makes them from
//! Kubernetes itself.
//!
//! A version that is newer than the tables is treated as their newest minor version.

mod fields;
mod flags;
mod scalars;

use kbundle_cli::similar::nearest;
use kbundle_format::KubeVersion;

pub use fields::{Structure, flaws};
pub use flags::{Program, unknown_flag, unknown_plugin};
pub use scalars::{is_duration, is_quantity};

/// Something in a configuration that Kubernetes would not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The place by the names of fields, such as `evictionHard` or `authentication.webhook.cacheTTL`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// Whether `span` covers the minor version of `version`, or without a version any known minor version.
fn covers(minors: &[u16], span: (u16, u16), version: Option<KubeVersion>) -> bool {
    let Some(version) = version else { return true };
    let minor = version.minor().1;
    // For a minor version that the table leaves out, everything in either neighbour is known.
    let below = minors.iter().copied().filter(|known| *known <= minor).max().or(minors.first().copied());
    let above = minors.iter().copied().filter(|known| *known >= minor).min().or(minors.last().copied());
    above.is_some_and(|above| span.0 <= above) && below.is_some_and(|below| span.1 >= below)
}

/// The beginning of a sentence: `the kubelet of Kubernetes 1.25.2 has no`, or for all known versions
/// `no kubelet of Kubernetes 1.25 to 1.36 has a`.
fn lacks(program: &str, minors: &[u16], version: Option<KubeVersion>) -> String {
    match (version, minors) {
        (None, [first, .., last]) => format!("no {program} of Kubernetes 1.{first} to 1.{last} has a"),
        (version, _) => {
            let version = version.map(|version| version.to_string()).unwrap_or_default();
            format!("the {program} of Kubernetes {version} has no")
        }
    }
}

/// The known name that `name` probably means, as the end of a sentence.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests;
