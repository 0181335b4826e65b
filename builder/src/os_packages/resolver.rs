//! Resolves dependencies of packages as dpkg will on a host with the base.
//!
//! A name stands for the newest package of the suites. Of alternatives, the resolver takes the first that the base or the packages so far
//! satisfy, or else the first that can be added with all of its dependencies. Recommendations are left out.

use std::collections::{BTreeMap, BTreeSet};

use debian_control::lossy::Relation;
use debian_control::relations::VersionConstraint;
use debversion::Version;

use super::index::relations;
use super::{Base, Index, OsPackageError, Package};

/// The packages in `wanted` and all of their dependencies that `base` lacks, each after the packages that it depends on.
///
/// # Errors
/// [`OsPackageError`]: a package, or what it needs, is missing, or two cannot be installed together.
pub fn resolve<'a>(
    index: &'a Index,
    wanted: &[String],
    base: &'a Base,
    architecture: &str,
) -> Result<Vec<&'a Package>, OsPackageError> {
    let mut resolution = Resolution { base: base_of(index, base), ..Resolution::new(index, base) };
    for name in wanted {
        let missing = || OsPackageError::NoPackage { package: name.clone(), architecture: architecture.to_owned() };
        resolution.take(index.get(name).ok_or_else(missing)?)?;
    }
    resolution.refuse_conflicts()?;
    Ok(resolution.taken)
}

struct Resolution<'a> {
    index: &'a Index,
    /// Names of packages that hosts have, in unknown versions.
    listed: Option<&'a BTreeSet<String>>,
    base: BTreeMap<&'a str, &'a Package>,
    /// In the order in which they can be installed, except packages that need each other.
    taken: Vec<&'a Package>,
    /// The names of packages that were taken, or whose dependencies are being resolved.
    begun: BTreeSet<&'a str>,
}

/// The packages that hosts have, as far as the suites know them.
fn base_of<'a>(index: &'a Index, base: &'a Base) -> BTreeMap<&'a str, &'a Package> {
    let own: Vec<_> = match base {
        Base::ByPriority => {
            let mut own: Vec<_> = index.packages().filter(|package| package.is_base).collect();
            own.sort_by(|one, other| one.name.cmp(&other.name));
            own
        }
        Base::Listed(names) => {
            return names
                .iter()
                .filter_map(|name| index.get(name))
                .map(|package| (package.name.as_str(), package))
                .collect();
        }
    };
    let mut resolution = Resolution::new(index, base);
    for package in own {
        // A part of the base that cannot be completed from the suites is not carried, and hosts have it all the same.
        if resolution.take(package).is_err() {
            resolution.taken.push(package);
            resolution.begun.insert(&package.name);
        }
    }
    resolution.taken.into_iter().map(|package| (package.name.as_str(), package)).collect()
}

impl<'a> Resolution<'a> {
    fn new(index: &'a Index, base: &'a Base) -> Self {
        let listed = match base {
            Base::ByPriority => None,
            Base::Listed(names) => Some(names),
        };
        Self { index, listed, base: BTreeMap::new(), taken: Vec::new(), begun: BTreeSet::new() }
    }

    /// Adds a package after all of its dependencies.
    fn take(&mut self, package: &'a Package) -> Result<(), OsPackageError> {
        if !self.begun.insert(&package.name) {
            return Ok(());
        }
        for field in &package.needs {
            let groups = relations(field).map_err(|reason| unreadable(package, reason))?;
            for alternatives in groups {
                self.satisfy(package, &alternatives)?;
            }
        }
        self.taken.push(package);
        Ok(())
    }

    fn satisfy(&mut self, package: &Package, alternatives: &[Relation]) -> Result<(), OsPackageError> {
        if alternatives.iter().any(|relation| self.has(relation)) {
            return Ok(());
        }
        let mut first = None;
        for candidate in alternatives.iter().flat_map(|relation| candidates(self.index, relation)) {
            let (taken, begun) = (self.taken.len(), self.begun.clone());
            match self.take(candidate) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.taken.truncate(taken);
                    self.begun = begun;
                    first.get_or_insert(error);
                }
            }
        }
        let names: Vec<_> = alternatives.iter().map(ToString::to_string).collect();
        Err(first.unwrap_or_else(|| OsPackageError::Unsatisfied {
            package: package.name.clone(),
            relation: names.join(" | "),
        }))
    }

    /// Whether the base or the packages so far satisfy a relation.
    fn has(&self, relation: &Relation) -> bool {
        let has = |package: &&Package| {
            self.begun.contains(package.name.as_str()) || self.base.contains_key(package.name.as_str())
        };
        // Hosts may have packages that are in no suite any more.
        let is_listed = || self.listed.is_some_and(|names| names.contains(&relation.name));
        candidates(self.index, relation).iter().any(has) || (self.index.get(&relation.name).is_none() && is_listed())
    }

    fn refuse_conflicts(&self) -> Result<(), OsPackageError> {
        let is_taken = |package: &Package| self.taken.iter().any(|taken| taken.name == package.name);
        for package in self.taken.iter().chain(self.base.values()) {
            for field in &package.excludes {
                let groups = relations(field).map_err(|reason| unreadable(package, reason))?;
                for relation in groups.iter().flatten() {
                    let found = candidates(self.index, relation).into_iter().find(|other| {
                        let is_other = other.name != package.name;
                        is_other
                            && (is_taken(other) || (is_taken(package) && self.base.contains_key(other.name.as_str())))
                    });
                    if let Some(other) = found {
                        return Err(OsPackageError::Conflict {
                            package: package.name.clone(),
                            other: other.name.clone(),
                            relation: relation.to_string(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The packages that satisfy a relation: first the one of that name, then those that provide it.
fn candidates<'a>(index: &'a Index, relation: &Relation) -> Vec<&'a Package> {
    let real = index.get(&relation.name).filter(|package| holds(relation, Some(&package.version)));
    let provides = |package: &&Package| {
        let provided = package.provided().unwrap_or_default();
        provided.iter().any(|(name, version)| *name == relation.name && holds(relation, version.as_ref()))
    };
    real.into_iter().chain(index.providers(&relation.name).filter(provides)).collect()
}

/// Whether a version satisfies the relation. A name that is provided without a version has none (Debian Policy 7.5).
fn holds(relation: &Relation, version: Option<&Version>) -> bool {
    let Some((constraint, wanted)) = &relation.version else { return true };
    version.is_some_and(|version| match constraint {
        VersionConstraint::LessThan => version < wanted,
        VersionConstraint::LessThanEqual => version <= wanted,
        VersionConstraint::Equal => version == wanted,
        VersionConstraint::GreaterThanEqual => version >= wanted,
        VersionConstraint::GreaterThan => version > wanted,
    })
}

fn unreadable(package: &Package, reason: String) -> OsPackageError {
    OsPackageError::Package { package: package.name.clone(), reason }
}
