//! A policy, `policy.yaml`: which rules hold for a bundle, and who may break one until when.

use std::io;
use std::path::{Path, PathBuf};

use kbundle_advisories::Severity;
use kbundle_cli::yaml::{self, Findings};
use kbundle_format::key_notes::Day;
use kbundle_format::{Digest, KeyId, PinSource, text_file};
use kbundle_sbom::licence::is_expression;
use serde::Deserialize;

use super::Rule;

/// The schema of `policy.yaml` that this program reads.
pub const SCHEMA: u32 = 1;

const BASELINE: &str = include_str!("baseline.yaml");
const STRICT: &str = include_str!("strict.yaml");

/// A policy. A section that is absent has no rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    schema: u32,
    /// What the sections that are absent are taken from.
    #[serde(default)]
    profile: Option<Profile>,
    /// Who signed.
    #[serde(default)]
    pub signers: Option<Signers>,
    /// How content was pinned.
    #[serde(default)]
    pub pins: Option<Pins>,
    /// Where content came from.
    #[serde(default)]
    pub origins: Option<Origins>,
    /// Licences of files and packages.
    #[serde(default)]
    pub licences: Option<Licences>,
    /// Single packages.
    #[serde(default)]
    pub packages: Option<Packages>,
    /// Settings of images.
    #[serde(default)]
    pub images: Option<Images>,
    /// Known flaws.
    #[serde(default)]
    pub advisories: Option<Advisories>,
    /// Whether all is known.
    #[serde(default)]
    pub completeness: Option<Completeness>,
    /// What is taken although a rule refuses it.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
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
    /// Licences that are not SPDX expression, and in neither list.
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

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not of its shape.
    #[error("{} is not valid", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, with line and column.
        source: Findings,
    },
    /// A schema that this program does not know.
    #[error("{} has schema {found}, this program knows {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: u32,
    },
    /// A value that makes no sense.
    #[error("{}: {what}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Policy {
    /// The policy called `name`: a profile, or a file. With the digest of its text.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn find(name: &Path) -> Result<(Self, Digest), PolicyError> {
        let built_in =
            [("baseline", BASELINE), ("strict", STRICT)].into_iter().find(|(known, _)| name == Path::new(known));
        let text = match built_in {
            Some((_, text)) => text.to_owned(),
            None => text_file::read(name).map_err(|source| PolicyError::Read { path: name.to_owned(), source })?,
        };
        Ok((Self::parse(&text, name)?, Digest::of(text.as_bytes())))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let policy: Self = yaml::read(text).map_err(|source| PolicyError::Syntax { path: path.to_owned(), source })?;
        if policy.schema != SCHEMA {
            return Err(PolicyError::Schema { path: path.to_owned(), found: policy.schema });
        }
        if let Some(what) = policy.fault() {
            return Err(PolicyError::Value { path: path.to_owned(), what });
        }
        match policy.profile {
            None => Ok(policy),
            Some(Profile::Baseline) => Ok(policy.over(Self::parse(BASELINE, Path::new("baseline"))?)),
            Some(Profile::Strict) => Ok(policy.over(Self::parse(STRICT, Path::new("strict"))?)),
        }
    }

    /// A section of this policy stands for that of `base` as a whole.
    fn over(self, base: Self) -> Self {
        Self {
            schema: self.schema,
            profile: self.profile,
            signers: self.signers.or(base.signers),
            pins: self.pins.or(base.pins),
            origins: self.origins.or(base.origins),
            licences: self.licences.or(base.licences),
            packages: self.packages.or(base.packages),
            images: self.images.or(base.images),
            advisories: self.advisories.or(base.advisories),
            completeness: self.completeness.or(base.completeness),
            waivers: self.waivers,
        }
    }

    /// Whether the list of packages has to be made again from the content.
    #[must_use]
    pub fn asks_for_content(&self) -> bool {
        self.completeness.as_ref().is_some_and(|rule| rule.list_of_packages == ListOfPackages::MadeAgain)
    }

    /// What can be told of values without a bundle.
    fn fault(&self) -> Option<String> {
        if self.signers.as_ref().is_some_and(|signers| signers.threshold == 0) {
            return Some("signers.threshold is 0; leave the section out to ask for no signature".to_owned());
        }
        let licences = self.licences.iter().flat_map(|licences| licences.allow.iter().chain(&licences.deny));
        if let Some(name) = licences.into_iter().find(|name| name.contains(' ') && is_expression(name)) {
            return Some(format!("licences: `{name}` is an expression; name single licences"));
        }
        let packages = self
            .packages
            .iter()
            .flat_map(|packages| packages.forbidden.iter().chain(packages.lowest.iter().map(|lowest| &lowest.package)));
        let waived = self.waivers.iter().filter_map(|waiver| waiver.package.as_ref());
        let wrong = |purl: &&String| purl.parse::<packageurl::PackageUrl<'_>>().is_err();
        if let Some(purl) = packages.chain(waived).find(wrong) {
            return Some(format!("`{purl}` is not a package URL such as pkg:golang/golang.org/x/net"));
        }
        let nameless = |waiver: &&Waiver| [&waiver.name, &waiver.reason].iter().any(|text| text.trim().is_empty());
        self.waivers
            .iter()
            .find(nameless)
            .map(|waiver| format!("the waiver of {} has no name or no reason", waiver.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, String> {
        Policy::parse(text, Path::new("policy.yaml")).map_err(|error| match error {
            PolicyError::Syntax { source, .. } => source.to_string(),
            error => error.to_string(),
        })
    }

    #[test]
    fn profiles_are_policies_and_a_section_replaces_the_profiles() {
        for name in ["baseline", "strict"] {
            assert!(Policy::find(Path::new(name)).unwrap().0.pins.is_some());
        }
        let policy = parse("schema: 1\nprofile: strict\nimages: {latest-tag: refuse}\n").unwrap();
        assert_eq!(policy.images, Some(Images { root_user: Choice::Allow, latest_tag: Choice::Refuse }));
        assert_eq!(policy.advisories.unwrap().max_severity, Severity::Medium);
    }

    #[test]
    fn all_mistakes_are_named_with_what_was_meant() {
        let error = parse("schema: 1\nsinger: {threshold: 2}\npins: {allowed: [catalogue]}\n").unwrap_err();
        assert!(error.contains("unknown field `singer`; did you mean `signers`?"), "{error}");
        assert!(error.contains("line 3") && error.contains("did you mean `catalog`?"), "{error}");
        for (text, part) in [
            ("schema: 2\n", "has schema 2"),
            ("schema: 1\nsigners: {threshold: 0}\n", "signers.threshold is 0"),
            ("schema: 1\npackages: {forbidden: [bash]}\n", "`bash` is not a package URL"),
            ("schema: 1\nlicences: {allow: [MIT OR Apache-2.0]}\n", "is an expression"),
            ("schema: 1\nwaivers: [{rule: pins, item: a, name: '', reason: b, until: 2027-01-01}]\n", "has no name"),
            ("schema: 1\nwaivers: [{rule: pins, item: a, name: b, reason: c}]\n", "`until` is missing"),
            ("schema: 1\nwaivers: [{rule: pins, item: a, name: b, reason: c, until: soon}]\n", "soon"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
