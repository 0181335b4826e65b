//! The differences between two bundles for an operator or an auditor: versions, files, images, packages, licences, signers, pins.
//!
//! Pure: [`Side`] is what was read of a bundle, [`compare`] lists the differences of two of them.

mod contents;
mod packages;
mod side;
mod version_order;

use schemars::JsonSchema;
use serde::Serialize;

pub use side::{ImageSettings, Side};

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// The Kubernetes release, and the platforms
    Kubernetes,
    /// Programs and add-ons, by version, and what they need first
    Components,
    /// Files, by content
    Files,
    /// Images, by name and content
    Images,
    /// How images are run: user, entrypoint, command, environment
    Settings,
    /// Packages inside of images and programs
    Packages,
    /// Licences of files and packages
    Licences,
    /// Who signed
    Signers,
    /// Where content came from, and how it was pinned
    Pins,
}

impl Topic {
    /// All, in the order of a report.
    pub const ALL: [Self; 9] = [
        Self::Kubernetes,
        Self::Components,
        Self::Files,
        Self::Images,
        Self::Settings,
        Self::Packages,
        Self::Licences,
        Self::Signers,
        Self::Pins,
    ];

    /// The heading of the topic.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Kubernetes => "Kubernetes",
            Self::Components => "Components",
            Self::Files => "Files",
            Self::Images => "Images",
            Self::Settings => "Image settings",
            Self::Packages => "Packages",
            Self::Licences => "Licences",
            Self::Signers => "Signers",
            Self::Pins => "Pins",
        }
    }
}

/// In which way something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the new bundle has it.
    Added,
    /// Only the old bundle has it.
    Removed,
    /// The new bundle has a higher version.
    Upgraded,
    /// The new bundle has a lower version.
    Downgraded,
    /// Both have it, and it is not the same.
    Changed,
}

impl Change {
    /// The kind in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Upgraded => "upgraded",
            Self::Downgraded => "downgraded",
            Self::Changed => "changed",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What it is about.
    pub topic: Topic,
    /// The image or file that it belongs to, where it is about something inside of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// What differs.
    pub name: String,
    /// In which way.
    pub change: Change,
    /// What the old bundle has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What the new bundle has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl Difference {
    /// The difference between the values of the two bundles; `None` if they are equal.
    fn between(topic: Topic, name: &str, old: Option<String>, new: Option<String>) -> Option<Self> {
        let change = match (&old, &new) {
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(old), Some(new)) if old != new => Change::Changed,
            _ => return None,
        };
        Some(Self { topic, within: None, name: name.to_owned(), change, old, new })
    }

    /// The same for versions, of which one is higher.
    fn of_versions(topic: Topic, name: &str, old: Option<String>, new: Option<String>) -> Option<Self> {
        let mut difference = Self::between(topic, name, old, new)?;
        if let (Some(old), Some(new)) = (&difference.old, &difference.new) {
            difference.change = version_order::change(old, new);
        }
        Some(difference)
    }

    fn within(mut self, within: &str) -> Self {
        self.within = Some(within.to_owned());
        self
    }
}

/// The differences of `new` from `old`, in the order of [`Topic::ALL`].
#[must_use]
pub fn compare(old: &Side<'_>, new: &Side<'_>, topics: &[Topic]) -> Vec<Difference> {
    let of = |topic: &Topic| match topic {
        Topic::Kubernetes => contents::kubernetes(old, new),
        Topic::Components => contents::components(old, new),
        Topic::Files => contents::files(old, new),
        Topic::Images => contents::images(old, new),
        Topic::Settings => contents::settings(old, new),
        Topic::Packages => packages::packages(old, new),
        Topic::Licences => packages::licences(old, new),
        Topic::Signers => contents::signers(old, new),
        Topic::Pins => contents::pins(old, new),
    };
    Topic::ALL.iter().filter(|topic| topics.contains(topic)).flat_map(of).collect()
}

/// The names of both sides, sorted, with the values of each.
fn both<'a, T>(
    old: &'a std::collections::BTreeMap<String, T>,
    new: &'a std::collections::BTreeMap<String, T>,
) -> impl Iterator<Item = (&'a str, Option<&'a T>, Option<&'a T>)> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().map(|name| (name.as_str(), old.get(name), new.get(name)))
}

#[cfg(test)]
mod tests;
