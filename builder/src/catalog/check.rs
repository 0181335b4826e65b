//! Whether every release of a catalog can be built: the result of `kbundle catalog check`.

use std::collections::BTreeSet;

use kbundle_format::{KubeVersion, Platform};
use schemars::JsonSchema;
use serde::Serialize;

use super::{AddonKind, Catalog, Release};
use crate::resolve::ResolveError;
use crate::spec::{BundleSpec, Cni, LoadBalancer};

/// Why a release, or an add-on with it, cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The release.
    pub kubernetes: KubeVersion,
    /// What is wrong, in words.
    pub message: String,
}

impl Catalog {
    /// Selects every release for each platform of any of its components, with each of its add-ons in turn. Returns one fault for each
    /// error.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = BTreeSet::new();
        for (version, release) in &self.releases {
            for platform in self.platforms(release) {
                let mut errors: Vec<_> = self.try_release(*version, release, &platform);
                // An error without any add-on would be repeated with each.
                errors.dedup();
                faults.extend(errors.into_iter().map(|message| Fault { kubernetes: *version, message }));
            }
        }
        faults.into_iter().collect()
    }

    fn try_release(&self, version: KubeVersion, release: &Release, platform: &Platform) -> Vec<String> {
        let bare = BundleSpec::bare(version.into(), BTreeSet::from([platform.clone()]));
        let fault = |spec: &BundleSpec| self.select(spec).err().map(|error| words(&error));
        let with = |name: &String| match self.addons.get(name).map(|addon| addon.kind) {
            Some(AddonKind::Cni) => BundleSpec { cni: Cni::Addon(name.clone()), ..bare.clone() },
            Some(AddonKind::LoadBalancer) => {
                BundleSpec { load_balancer: LoadBalancer::Addon(name.clone()), ..bare.clone() }
            }
            Some(AddonKind::Addon) | None => BundleSpec { addons: self.with_prerequisites(name), ..bare.clone() },
        };
        match fault(&bare) {
            Some(message) => vec![message],
            None => release.addons.keys().filter_map(|name| fault(&with(name))).collect(),
        }
    }

    /// The platforms for which any component of the release has a file; amd64 if there are none.
    fn platforms(&self, release: &Release) -> BTreeSet<Platform> {
        let versions = release.components.iter().filter_map(|(name, version)| {
            self.components.get(name)?.versions.get(version).map(|version| version.platforms.keys())
        });
        let found: BTreeSet<_> = versions.flatten().cloned().collect();
        if found.is_empty() { BTreeSet::from(["linux/amd64".parse().expect("a platform")]) } else { found }
    }
}

/// The error and its causes in a line.
fn words(error: &ResolveError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalog_has_no_fault() {
        assert_eq!(Catalog::built_in().unwrap().faults(), []);
    }

    #[test]
    fn what_is_named_and_missing_is_found_once() {
        let mut catalog = Catalog::built_in().unwrap();
        let version = "1.25.2".parse().unwrap();
        let release = catalog.releases.get_mut(&version).unwrap();
        release.addons.insert("calico".to_owned(), "0.1".to_owned());
        release.addons.insert("nothing".to_owned(), "1".to_owned());
        catalog.components.get_mut("runc").unwrap().versions.remove("1.1.12");
        let runc: Vec<_> = catalog.faults().into_iter().filter(|fault| fault.kubernetes == version).collect();
        assert_eq!(runc.len(), 1, "{runc:?}");
        assert!(runc[0].message.contains("needs runc 1.1.12"), "{runc:?}");

        catalog.releases.get_mut(&version).unwrap().components.remove("runc");
        let addons: Vec<_> = catalog.faults().into_iter().filter(|fault| fault.kubernetes == version).collect();
        assert_eq!(addons.len(), 2, "{addons:?}");
        assert!(addons[0].message.contains("no add-on `calico`"), "{addons:?}");
    }
}
