//! A policy, `policy.yaml`: which rules apply to a bundle, and which exceptions are allowed until when.

mod sections;

use std::io;
use std::path::{Path, PathBuf};

use kbundle_format::audit_record::Looked;
use kbundle_format::{Digest, text_file};
use kbundle_sbom::licence::is_expression;
use serde::Deserialize;

use super::rego::{Rego, RegoError};
use crate::settings_file::{self, Settings, SettingsFileError};

pub use sections::{
    Advisories, Choice, Completeness, Images, Licences, ListOfPackages, Lowest, Manifests, Origins, Packages, Pins,
    Profile, Signers, Waiver,
};

const BASELINE: &str = include_str!("baseline.yaml");
const STRICT: &str = include_str!("strict.yaml");

/// A policy. A section that is absent has no rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    schema: u32,
    /// The policy that absent sections are taken from.
    #[serde(default)]
    profile: Option<Profile>,
    /// Required signatures.
    #[serde(default)]
    pub signers: Option<Signers>,
    /// Allowed pins.
    #[serde(default)]
    pub pins: Option<Pins>,
    /// Allowed origins of content.
    #[serde(default)]
    pub origins: Option<Origins>,
    /// Licences of files and packages.
    #[serde(default)]
    pub licences: Option<Licences>,
    /// Forbidden packages and lowest versions.
    #[serde(default)]
    pub packages: Option<Packages>,
    /// Settings of images.
    #[serde(default)]
    pub images: Option<Images>,
    /// Known vulnerabilities.
    #[serde(default)]
    pub advisories: Option<Advisories>,
    /// What Kubernetes objects in manifests may demand.
    #[serde(default)]
    pub manifests: Option<Manifests>,
    /// What has to be known.
    #[serde(default)]
    pub completeness: Option<Completeness>,
    /// Exceptions: what is accepted although a rule refuses it.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
    /// Files with rules of the site's own; their paths are relative to the policy.
    #[serde(default, rename = "rego")]
    rego_files: Vec<PathBuf>,
    /// The rules of those files.
    #[serde(skip)]
    pub rego: Option<Rego>,
}

impl Settings for Policy {
    const SCHEMA: u32 = 1;

    fn schema(&self) -> u32 {
        self.schema
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read, or has the wrong shape.
    #[error(transparent)]
    File(#[from] SettingsFileError),
    /// A value that makes no sense.
    #[error("{}: {what}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file with rules cannot be read.
    #[error("cannot read {}", path.display())]
    ReadRego {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The rules cannot be used.
    #[error(transparent)]
    Rego(#[from] RegoError),
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
            None => settings_file::text(name)?,
        };
        let mut policy = Self::parse(&text, name)?;
        policy.rego = read_rego(name.parent().unwrap_or(Path::new("")), &policy.rego_files)?;
        Ok((policy, Digest::of(text.as_bytes())))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let policy: Self = settings_file::parse(text, path)?;
        if let Some(what) = policy.fault() {
            return Err(PolicyError::Value { path: path.to_owned(), what });
        }
        match policy.profile {
            None => Ok(policy),
            Some(Profile::Baseline) => Ok(policy.over(Self::parse(BASELINE, Path::new("baseline"))?)),
            Some(Profile::Strict) => Ok(policy.over(Self::parse(STRICT, Path::new("strict"))?)),
        }
    }

    /// This policy; sections that it lacks are taken from `base` as a whole.
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
            manifests: self.manifests.or(base.manifests),
            waivers: self.waivers,
            rego_files: self.rego_files,
            rego: self.rego,
        }
    }

    /// Whether the list of packages has to be made again from the content.
    #[must_use]
    pub fn asks_for_list_again(&self) -> bool {
        self.completeness.as_ref().is_some_and(|rule| rule.list_of_packages == ListOfPackages::MadeAgain)
    }

    /// Whether files inside of images have to be examined.
    #[must_use]
    pub fn asks_for_files(&self) -> bool {
        self.images.as_ref().is_some_and(|rule| rule.privileged_files == Choice::Refuse)
    }

    /// Whether manifests have to be read.
    #[must_use]
    pub fn asks_for_objects(&self) -> bool {
        self.manifests.is_some() || self.rego.is_some()
    }

    /// The files with rules of the site's own, by digest.
    #[must_use]
    pub fn rego_files(&self) -> Vec<Looked> {
        self.rego.iter().flat_map(|rego| rego.files().to_vec()).collect()
    }

    /// A fault that can be found in the values without a bundle.
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

/// Reads the files with rules, whose paths are relative to `folder`; `None` if there are none.
fn read_rego(folder: &Path, files: &[PathBuf]) -> Result<Option<Rego>, PolicyError> {
    if files.is_empty() {
        return Ok(None);
    }
    let read = |path: &PathBuf| {
        let text = text_file::read(&folder.join(path));
        let text = text.map_err(|source| PolicyError::ReadRego { path: folder.join(path), source })?;
        Ok((path.display().to_string(), text))
    };
    let texts = files.iter().map(read).collect::<Result<Vec<_>, PolicyError>>()?;
    Ok(Some(Rego::new(texts)?))
}

#[cfg(test)]
mod tests {
    use kbundle_advisories::Severity;

    use super::*;

    fn parse(text: &str) -> Result<Policy, String> {
        Policy::parse(text, Path::new("policy.yaml")).map_err(|error| match error {
            PolicyError::File(SettingsFileError::Syntax { source, .. }) => source.to_string(),
            error => error.to_string(),
        })
    }

    #[test]
    fn profiles_are_policies_and_a_section_replaces_the_profiles() {
        for name in ["baseline", "strict"] {
            assert!(Policy::find(Path::new(name)).unwrap().0.pins.is_some());
        }
        let policy = parse("schema: 1\nprofile: strict\nimages: {latest-tag: refuse}\n").unwrap();
        assert_eq!(policy.images, Some(Images { latest_tag: Choice::Refuse, ..Images::default() }));
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
