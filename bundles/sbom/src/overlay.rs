//! Combines the layers of an image, so that files which an upper layer removed or replaced do not count.
//!
//! Source: OCI image-spec 1.1, "Image Layer Filesystem Changeset", section "Whiteouts".

use std::collections::BTreeMap;

use kbundle_format::Digest;

use crate::layer::Layer;
use crate::package::{Ecosystem, Finding, OsRelease, Package};
use crate::privileged::PrivilegedFile;

/// Where a package was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackagePlace {
    /// The path inside of the image or archive.
    pub path: String,
    /// The image layer.
    pub layer: Option<Digest>,
}

/// A package and all places where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The package.
    pub package: Package,
    /// The places, sorted.
    pub places: Vec<PackagePlace>,
}

/// A place that was not read and may have packages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotRead {
    /// The file; if `path` is empty, the whole layer or archive.
    pub place: PackagePlace,
    /// The reason.
    pub reason: String,
}

/// The visible content of an image or an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The operating system.
    pub os: Option<OsRelease>,
    /// Packages, sorted.
    pub packages: Vec<Located>,
    /// Places that were not read, sorted.
    pub not_read: Vec<NotRead>,
    /// Files that give their users more rights, sorted.
    pub privileged: Vec<PrivilegedFile>,
}

impl View {
    /// Through `layers`, the lowest first.
    #[must_use]
    pub fn through(layers: &[(Option<Digest>, &Layer)]) -> Self {
        let mut view = Self::default();
        let mut packages: BTreeMap<Package, Vec<PackagePlace>> = BTreeMap::new();
        let mut debian = BTreeMap::new();
        for (index, (digest, layer)) in layers.iter().enumerate() {
            let above = &layers[index + 1..];
            if let Some(reason) = &layer.cut_short {
                let place = PackagePlace { path: String::new(), layer: *digest };
                view.not_read.push(NotRead { place, reason: reason.clone() });
            }
            let seen = layer.privileged.iter().filter(|(path, _)| !above.iter().any(|(_, layer)| layer.hides(path)));
            view.privileged.extend(seen.map(|(path, privilege)| PrivilegedFile {
                path: path.clone(),
                privilege: *privilege,
                layer: *digest,
            }));
            for (path, finding) in &layer.found {
                if above.iter().any(|(_, layer)| layer.hides(path)) {
                    continue;
                }
                let place = PackagePlace { path: path.clone(), layer: *digest };
                match finding {
                    Finding::Packages(found) => {
                        for package in found {
                            packages.entry(package.clone()).or_default().push(place.clone());
                        }
                    }
                    // `etc/os-release` takes precedence over `usr/lib/os-release` (os-release(5)).
                    Finding::Os(os) if path.starts_with("etc/") || view.os.is_none() => view.os = Some(os.clone()),
                    Finding::Os(_) => {}
                    Finding::DebianLicences { package, licences } => {
                        debian.insert(package.clone(), licences.clone());
                    }
                    Finding::NotRead(reason) => view.not_read.push(NotRead { place, reason: reason.clone() }),
                }
            }
        }
        view.not_read.sort();
        view.privileged.sort();
        view.packages = packages.into_iter().map(|(package, places)| located(package, places, &debian)).collect();
        view
    }
}

fn located(mut package: Package, mut places: Vec<PackagePlace>, debian: &BTreeMap<String, Vec<String>>) -> Located {
    if package.ecosystem == Ecosystem::Deb {
        package.licences.extend(debian.get(&package.name).into_iter().flatten().cloned());
    }
    places.sort();
    places.dedup();
    Located { package, places }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{tar, tar_of};

    fn view(layers: &[&[(&str, &[u8])]]) -> View {
        let layers: Vec<_> = layers.iter().map(|files| Layer::read(&mut &tar(files)[..]).unwrap()).collect();
        let layers: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(at, layer)| (Some(Digest::of(&[u8::try_from(at).unwrap()])), layer))
            .collect();
        View::through(&layers)
    }

    fn names(view: &View) -> Vec<String> {
        view.packages.iter().map(|located| located.package.name.clone()).collect()
    }

    const STATUS: &str = "var/lib/dpkg/status";
    const A: &[u8] = b"Package: a\nVersion: 1\n";
    const B: &[u8] = b"Package: b\nVersion: 1\n";
    const SIX: (&str, &[u8]) = ("p/six.dist-info/METADATA", b"Name: six\nVersion: 1\n");

    #[test]
    fn a_database_of_an_upper_layer_replaces_the_lower_one() {
        let seen = view(&[&[(STATUS, A)], &[(STATUS, B)]]);
        assert_eq!(names(&seen), ["b"]);
        assert_eq!(seen.packages[0].places[0].layer, Some(Digest::of(&[1])));
    }

    #[test]
    fn a_privileged_file_that_an_upper_layer_replaces_does_not_count() {
        let lower = Layer::read(&mut &tar_of(&[("bin/su", 0o4755, false), ("bin/mount", 0o4755, false)])[..]).unwrap();
        let upper = Layer::read(&mut &tar(&[("bin/su", b"")])[..]).unwrap();
        let view = View::through(&[(None, &lower), (None, &upper)]);
        assert_eq!(view.privileged.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["bin/mount"]);
    }

    #[test]
    fn removed_packages_do_not_count() {
        assert_eq!(names(&view(&[&[SIX], &[("p/.wh.six.dist-info", b"")]])), [""; 0]);
        assert_eq!(names(&view(&[&[SIX], &[("p/.wh..wh..opq", b"")]])), [""; 0]);
        assert_eq!(names(&view(&[&[SIX], &[("p/.wh.other", b"")]])), ["six"]);
        assert_eq!(names(&view(&[&[("p/.wh.six.dist-info", b"")], &[SIX]])), ["six"]);
    }

    #[test]
    fn licences_of_debian_packages_lie_beside_them_in_any_layer() {
        let copyright: &[u8] = b"Format: x\nLicense: MIT\n";
        let seen = view(&[&[("usr/share/doc/a/copyright", copyright)], &[(STATUS, A)]]);
        assert_eq!(seen.packages[0].package.licences, ["MIT"]);
    }

    #[test]
    fn the_operating_system_is_that_of_etc() {
        let os = |id: &'static [u8], path| (path, id);
        let seen = view(&[&[os(b"ID=a", "usr/lib/os-release"), os(b"ID=b", "etc/os-release")]]);
        assert_eq!(seen.os.unwrap().id, "b");
        assert_eq!(view(&[&[os(b"ID=a", "usr/lib/os-release")]]).os.unwrap().id, "a");
    }
}
