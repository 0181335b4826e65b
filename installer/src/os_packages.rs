//! Packages that a bundle brings for a host's distribution.

use std::collections::BTreeSet;

use kbundle_format::os_package::DistributionName;
use kbundle_format::{BundleList, Entry, Platform};

use crate::facts::HostFacts;

/// The release of the host's distribution.
#[must_use]
pub fn distribution(facts: &HostFacts) -> Option<DistributionName> {
    DistributionName::of(&facts.os.id, &facts.os.version_id)
}

/// The packages for a host, in the order in which dpkg can install them.
pub fn for_host<'a>(list: &'a BundleList, facts: &HostFacts) -> impl Iterator<Item = &'a Entry> {
    let (distribution, platform) = (distribution(facts), facts.platform.clone());
    list.entries.iter().filter(move |entry| {
        distribution.is_some()
            && DistributionName::of_entry(entry) == distribution
            && entry.platform.as_ref().is_none_or(|of| *of == platform)
    })
}

/// The names of packages that a bundle brings, by distribution and platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroughtPackages(BTreeSet<(DistributionName, Option<Platform>, String)>);

impl BroughtPackages {
    /// The packages in a list.
    #[must_use]
    pub fn of(list: &BundleList) -> Self {
        let package = |entry: &Entry| {
            let name = entry.component.as_ref()?.name.clone();
            Some((DistributionName::of_entry(entry)?, entry.platform.clone(), name))
        };
        Self(list.entries.iter().filter_map(package).collect())
    }

    /// Whether `package` is among those for a host.
    #[must_use]
    pub fn has(&self, facts: &HostFacts, package: &str) -> bool {
        let Some(distribution) = distribution(facts) else { return false };
        let platforms = [None, Some(facts.platform.clone())];
        platforms.into_iter().any(|platform| self.0.contains(&(distribution.clone(), platform, package.to_owned())))
    }
}
