//! The sections of a policy.

use kbundle_advisories::Severity;
use kbundle_format::key_notes::Day;
use kbundle_format::{KeyId, PinSource};
use serde::Deserialize;

use crate::audit::Rule;

/// What to do about a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Accept it.
    #[default]
    Allow,
    /// Refuse it.
    Refuse,
}

/// The required signatures.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signers {
    /// How many different keys have to have signed, of those that the command line trusts.
    #[serde(default = "one")]
    pub threshold: usize,
    /// Only these keys count; if it is empty, all trusted keys count.
    #[serde(default)]
    pub keys: Vec<KeyId>,
    /// The longest time in days since the first day of use of each key, as the key's file states it.
    #[serde(default)]
    pub max_key_age_days: Option<u32>,
}

fn one() -> usize {
    1
}

/// Which pins are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pins {
    /// The allowed pins.
    pub allowed: Vec<PinSource>,
}

/// Where content may come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Origins {
    /// Hosts and registries; `*.example.org` is every host below it.
    pub hosts: Vec<String>,
}

/// Which licences are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Licences {
    /// If not empty, only these: SPDX identifiers, or names as a package states them.
    pub allow: Vec<String>,
    /// Never these.
    pub deny: Vec<String>,
    /// Packages without a licence.
    pub unstated: Choice,
    /// Licences that are not SPDX expressions, and in neither list.
    pub not_spdx: Choice,
}

/// Which packages are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Packages {
    /// Package URLs; one without a version stands for all versions.
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

/// Which settings of images are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Images {
    /// Images that run as root unless Kubernetes says otherwise.
    pub root_user: Choice,
    /// Images whose name has the tag `latest`, or no tag and no digest.
    pub latest_tag: Choice,
    /// Files in images that give their users more rights: setuid, setgid and capabilities.
    pub privileged_files: Choice,
}

/// What Kubernetes objects in manifests may demand.
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

/// Which vulnerabilities are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advisories {
    /// Whether a file of advisories has to be given.
    #[serde(default)]
    pub required: bool,
    /// The highest severity that is accepted.
    pub max_severity: Severity,
    /// Vulnerabilities for which no record states a severity.
    #[serde(default)]
    pub unknown_severity: Choice,
    /// The highest age of the data in days.
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
    /// The required list of packages.
    pub list_of_packages: ListOfPackages,
    /// Layers and files that could not be examined.
    #[serde(default)]
    pub not_read: Choice,
}

/// How far a list of packages can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListOfPackages {
    /// The bundle carries it, and it is signed.
    Carried,
    /// In addition, it equals the list that is made again from the content, byte for byte.
    MadeAgain,
}

/// An exception: something that is accepted although a rule refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Waiver {
    /// The rule.
    pub rule: Rule,
    /// An advisory by any of its names, or else the image, file, package or host that a verdict names.
    pub item: String,
    /// Of an advisory: in this package only, given by its package URL.
    #[serde(default)]
    pub package: Option<String>,
    /// The name of the person who is responsible for it.
    pub name: String,
    /// The reason.
    pub reason: String,
    /// The last day on which it applies.
    pub until: Day,
}

/// A policy that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The rules that every bundle should meet.
    Baseline,
    /// For sites that are responsible for every package.
    Strict,
}
