//! A catalog as one file, or only the part that some releases need.

use std::collections::BTreeMap;

use super::{Catalog, CatalogFile, SCHEMA};
use crate::resolve::ResolveError;
use crate::version_request::VersionRequest;

impl Catalog {
    /// The file with these releases and what they need; with all releases if none is named.
    ///
    /// # Errors
    /// [`ResolveError::Release`].
    pub fn file(&self, requests: &[VersionRequest]) -> Result<CatalogFile, ResolveError> {
        let Self { components, addons, releases, .. } = self.clone();
        if requests.is_empty() {
            return Ok(CatalogFile { schema: SCHEMA, components, addons, releases });
        }
        let wanted = requests.iter().map(|request| self.release(*request)).collect::<Result<Vec<_>, _>>()?;
        let wanted: BTreeMap<_, _> = wanted.into_iter().map(|(version, release)| (version, release.clone())).collect();
        let component =
            |name: &str, version: &str| wanted.values().any(|release| is(&release.components, name, version));
        let addon = |name: &str, version: &str| wanted.values().any(|release| is(&release.addons, name, version));
        let components = components.into_iter().map(|(name, mut family)| {
            family.versions.retain(|version, _| component(&name, version));
            (name, family)
        });
        let components = components.filter(|(_, family)| !family.versions.is_empty()).collect();
        let addons = addons.into_iter().map(|(name, mut family)| {
            family.versions.retain(|version, _| addon(&name, version));
            (name, family)
        });
        let addons = addons.filter(|(_, family)| !family.versions.is_empty()).collect();
        Ok(CatalogFile { schema: SCHEMA, components, addons, releases: wanted })
    }
}

/// Whether a release has this version of `name`.
fn is(versions: &BTreeMap<String, String>, name: &str, version: &str) -> bool {
    versions.get(name).is_some_and(|known| known == version)
}
