//! Packages of distributions, which an archive has signed for.

use kbundle_format::os_package::FOLDER;
use kbundle_format::{Component, EntryKind, PinSource, Platform, Role};

use super::{Pin, SelectedArtifact, Selection};
use crate::os_packages::{OsPackageError, OsPackages, Package};

impl Selection {
    /// Adds the file of a package, unless another platform has added it.
    pub(crate) fn add_os_package(
        &mut self,
        of: &OsPackages,
        package: &Package,
        platform: &Platform,
        pinned_by: &str,
    ) -> Result<(), OsPackageError> {
        let wrong = |reason: String| OsPackageError::Package { package: package.name.clone(), reason };
        if package.file.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return Err(wrong(format!("its file is `{}`", package.file)));
        }
        let suits_all = package.architecture == "all";
        let path = entry_path(of, package).parse().map_err(|error| wrong(format!("{error}")))?;
        if self.artifacts.iter().any(|known| known.path == path) {
            return Ok(());
        }
        self.artifacts.push(SelectedArtifact {
            path,
            url: format!("{}/{}", package.mirror, package.file),
            pin: Pin::Fetched(package.digest, PinSource::UpstreamChecksum),
            kind: EntryKind::OsPackage,
            component: Component { name: package.name.clone(), version: package.version.to_string() },
            platform: (!suits_all).then(|| platform.clone()),
            roles: Role::ALL.into(),
            licence: None,
            pinned_by: Some(pinned_by.to_owned()),
            host_file: None,
        });
        Ok(())
    }
}

/// The path of a package in the bundle: the usual name of its file, with a dash in place of each character that is not allowed in paths of
/// entries.
fn entry_path(of: &OsPackages, package: &Package) -> String {
    let Package { name, version, architecture, .. } = package;
    let known = |letter: char| if letter.is_ascii_alphanumeric() || "._-+".contains(letter) { letter } else { '-' };
    let file: String = format!("{name}_{version}_{architecture}.deb").chars().map(known).collect();
    format!("{FOLDER}/{}/{file}", of.distribution)
}
