//! Packages of distributions that a bundle brings to hosts. The packages of a distribution are in `os-packages/DISTRIBUTION/`, each before
//! those that depend on it.

use std::fmt;
use std::str::FromStr;

use crate::text::TextError;
use crate::text_type;
use crate::{Entry, EntryKind};

/// The folder of all distributions.
pub const FOLDER: &str = "os-packages";

/// A release of a distribution: `ID` and `VERSION_ID` of os-release(5), joined by a dash, such as `debian-12` or `ubuntu-24.04`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistributionName(String);

impl DistributionName {
    /// The release of a host, from `ID` and `VERSION_ID`; `None` for a distribution without versions.
    #[must_use]
    pub fn of(id: &str, version_id: &str) -> Option<Self> {
        format!("{id}-{version_id}").parse().ok()
    }

    /// The release whose package an entry is.
    #[must_use]
    pub fn of_entry(entry: &Entry) -> Option<Self> {
        let path = Some(entry).filter(|entry| entry.kind == EntryKind::OsPackage)?.path.as_str();
        path.strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('/')?.0.parse().ok()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `ID` of os-release(5).
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(id, _)| id)
    }
}

impl FromStr for DistributionName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        // os-release(5): lower-case letters, digits, `.`, `_` and `-`.
        let id = |id: &str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let version = |version: &str| {
            version.starts_with(|first: char| first.is_ascii_digit())
                && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        let good = text.rsplit_once('-').is_some_and(|(name, release)| id(name) && version(release));
        if good && text.len() <= 40 && text.starts_with(|first: char| first.is_ascii_lowercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(text, "a release of a distribution, such as `debian-12` or `ubuntu-24.04`"))
        }
    }
}

impl fmt::Display for DistributionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(DistributionName, "^[a-z][a-z0-9-]*-[0-9][0-9.]*$", "maxLength": 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_an_id_and_a_version() {
        for good in ["debian-12", "ubuntu-24.04", "opensuse-leap-15.6"] {
            assert_eq!(good.parse::<DistributionName>().unwrap().as_str(), good);
        }
        for bad in ["", "debian", "debian-", "-12", "debian-sid", "Debian-12", "debian-12/x", "..-1"] {
            assert!(bad.parse::<DistributionName>().is_err(), "{bad}");
        }
        assert_eq!(DistributionName::of("opensuse-leap", "15.6").unwrap().id(), "opensuse-leap");
        assert_eq!(DistributionName::of("arch", ""), None);
    }
}
