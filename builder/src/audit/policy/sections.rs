//! The sections of a policy.

use kbundle_advisories::Severity;
use kbundle_format::key_notes::Day;
use kbundle_format::{KeyId, PinSource};
use serde::Deserialize;

use crate::audit::Rule;

/// What is done about something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// It is taken.
    #[default]
    Allow,
    /// It is refused.
    Refuse,
}

/// Who has to have signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signers {
    /// By how many keys that the command line trusts.
    #[serde(default = "one")]
    pub threshold: usize,
    /// Only these keys count; all that are trusted where it is empty.
    #[serde(default)]
    pub keys: Vec<KeyId>,
    /// How long ago the first day of use of each may be, as the key's file states it.
    #[serde(default)]
    pub max_key_age_days: Option<u32>,
}

fn one() -> usize {
    1
}

/// How content may be pinned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pins {
    /// These ways.
    pub allowed: Vec<PinSource>,
}

/// Where content may come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Origins {
    /// Hosts and registries; `*.example.org` is every host below it.
    pub hosts: Vec<String>,
}

/// Which licences are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Licences {
    /// Only these, where it is not empty: SPDX identifiers, or names as a package states them.
    pub allow: Vec<String>,
    /// Not these.
    pub deny: Vec<String>,
    /// Packages without a licence.
    pub unstated: Choice,
    /// Licences that are not SPDX expressions, and in neither list.
    pub not_spdx: Choice,
}

/// Which packages are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Packages {
    /// Package URLs; one without a version means all versions.
    pub forbidden: Vec<String>,
    /// Packages with their lowest version.
    pub lowest: Vec<Lowest>,
}

/// The lowest version of a package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lowest {
    /// A package URL without a version.
    pub package: String,
    /// The version.
    pub version: String,
}

/// How images may be set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Images {
    /// Images that run as root unless Kubernetes says otherwise.
    pub root_user: Choice,
    /// Images whose name has the tag `latest`, or no tag and no digest.
    pub latest_tag: Choice,
    /// Files of images that give whoever runs them more rights: setuid, setgid and capabilities.
    pub privileged_files: Choice,
}

/// What Kubernetes objects of manifests may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Manifests {
    /// Containers with all rights on the host.
    pub privileged: Choice,
    /// Volumes that are folders or files of the host.
    pub host_path: Choice,
    /// Pods in the host's network.
    pub host_network: Choice,
    /// Bindings to the role `cluster-admin`, and roles that allow everything.
    pub cluster_admin: Choice,
}

/// Which flaws are taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advisories {
    /// Whether a file of advisories has to be given.
    #[serde(default)]
    pub required: bool,
    /// The worst that is taken.
    pub max_severity: Severity,
    /// Flaws of which no record states how bad they are.
    #[serde(default)]
    pub unknown_severity: Choice,
    /// How old the data may be.
    #[serde(default)]
    pub max_age_days: Option<u32>,
    /// Whether every ecosystem of the bundle's packages has to have records.
    #[serde(default)]
    pub data_for_every_ecosystem: bool,
}

/// What has to be known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Completeness {
    /// What the list of packages has to be.
    pub list_of_packages: ListOfPackages,
    /// Layers and files that could not be looked into.
    #[serde(default)]
    pub not_read: Choice,
}

/// What a list of packages is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListOfPackages {
    /// The bundle carries it, signed.
    Carried,
    /// It also is what the content gives, byte for byte.
    MadeAgain,
}

/// What is taken although a rule refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Waiver {
    /// The rule.
    pub rule: Rule,
    /// An advisory by any of its names, or else the image, file, package or host that a verdict names.
    pub item: String,
    /// Of an advisory: only in this package, by its package URL.
    #[serde(default)]
    pub package: Option<String>,
    /// Who answers for it.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The last day on which it counts.
    pub until: Day,
}

/// A policy that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What every bundle should meet.
    Baseline,
    /// For sites that answer for every package.
    Strict,
}
