//! Ecosystems by OSV's names, and the ecosystem of each package in a list of packages.
//!
//! Source: ossf.github.io/osv-schema, "affected[].package field", and package-url/purl-spec.

use packageurl::PackageUrl;

use crate::order::Order;

/// An ecosystem whose versions can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ecosystem {
    /// OSV's name, with the release of a distribution: `Debian:12`.
    pub key: String,
    /// The order of its versions.
    pub order: Order,
}

/// A package's name and version in advisories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The ecosystem.
    pub ecosystem: Ecosystem,
    /// The name, a source package's for distributions.
    pub name: String,
    /// The version of the package or source package.
    pub version: String,
}

impl Ecosystem {
    fn new(key: impl Into<String>, order: Order) -> Self {
        Self { key: key.into(), order }
    }

    /// The form of a package's name in which advisories and package URLs are compared.
    #[must_use]
    pub fn plain(&self, name: String) -> String {
        match self.key.as_str() {
            "PyPI" => python_name(&name),
            // The crate for package URLs only knows lowercase names of Go's modules.
            "Go" => name.to_ascii_lowercase(),
            _ => name,
        }
    }

    /// The ecosystem with OSV's name; `None` if its versions are not compared here.
    #[must_use]
    pub fn of_osv(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        let (first, release) = (parts.next()?, parts.next());
        Some(match (first, release) {
            ("Go", None) => Self::new("Go", Order::Go),
            ("npm", None) => Self::new("npm", Order::Semver),
            ("crates.io", None) => Self::new("crates.io", Order::Semver),
            ("PyPI", None) => Self::new("PyPI", Order::Python),
            ("Wolfi" | "Chainguard", None) => Self::new(first, Order::Alpine),
            ("Debian", Some(release)) => Self::new(format!("Debian:{release}"), Order::Debian),
            // Fixes of Ubuntu Pro are for subscribers: `Ubuntu:Pro:22.04:LTS`.
            ("Ubuntu", Some(release)) if release != "Pro" => Self::new(format!("Ubuntu:{release}"), Order::Debian),
            ("Alpine", Some(release)) => Self::new(format!("Alpine:{release}"), Order::Alpine),
            _ => return None,
        })
    }
}

impl Known {
    /// The ecosystem from the package URL of a package with a version; `None` if advisories of its ecosystem are not compared here.
    #[must_use]
    pub fn of_purl(purl: &PackageUrl<'_>, version: &str) -> Option<Self> {
        let qualifier = |name: &str| purl.qualifiers().get(name).map(AsRef::as_ref);
        let full_name = || match purl.namespace() {
            Some(namespace) => format!("{namespace}/{}", purl.name()),
            None => purl.name().to_owned(),
        };
        let of = |key: &str, name: String| {
            let ecosystem = Ecosystem::of_osv(key)?;
            Some(Self { name: ecosystem.plain(name), ecosystem, version: version.to_owned() })
        };
        match purl.ty() {
            "golang" => of("Go", full_name()),
            "npm" => of("npm", full_name()),
            "cargo" => of("crates.io", purl.name().to_owned()),
            "pypi" => of("PyPI", purl.name().to_owned()),
            "deb" | "apk" => {
                let (distribution, release) = qualifier("distro")?.split_once('-')?;
                let key = distribution_key(distribution, release)?;
                // Advisories of distributions are for source packages.
                let upstream = qualifier("upstream").unwrap_or(purl.name());
                let (name, source_version) = match upstream.split_once('@') {
                    Some((name, version)) => (name, version.to_owned()),
                    None => (upstream, version.to_owned()),
                };
                Some(Self { ecosystem: Ecosystem::of_osv(&key)?, name: name.to_owned(), version: source_version })
            }
            _ => None,
        }
    }
}

fn distribution_key(distribution: &str, release: &str) -> Option<String> {
    Some(match distribution {
        "debian" => format!("Debian:{}", release.split('.').next()?),
        "ubuntu" => format!("Ubuntu:{release}"),
        "alpine" => {
            let (major, minor) = release.split_once('.')?;
            format!("Alpine:v{major}.{}", minor.split('.').next()?)
        }
        "wolfi" => "Wolfi".to_owned(),
        "chainguard" => "Chainguard".to_owned(),
        _ => return None,
    })
}

/// The normalized form of a Python name. Source: PEP 503.
fn python_name(name: &str) -> String {
    let mut plain = String::new();
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if plain.ends_with('-') => {}
            '-' | '_' | '.' => plain.push('-'),
            letter => plain.push(letter.to_ascii_lowercase()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(purl: &str) -> Option<(String, String, String)> {
        let purl: PackageUrl<'_> = purl.parse().unwrap();
        let known = Known::of_purl(&purl, purl.version().unwrap_or_default())?;
        Some((known.ecosystem.key, known.name, known.version))
    }

    #[test]
    fn packages_have_the_names_of_advisories() {
        for (purl, key, name, version) in [
            ("pkg:golang/github.com/BurntSushi/toml@v1.2.3", "Go", "github.com/burntsushi/toml", "v1.2.3"),
            ("pkg:deb/debian/libc6@2.36-9?distro=debian-12&upstream=glibc", "Debian:12", "glibc", "2.36-9"),
            ("pkg:deb/debian/libgcc-s1@12.2.0-14?distro=debian-12.5&upstream=gcc%4012.1", "Debian:12", "gcc", "12.1"),
            ("pkg:deb/ubuntu/bash@5.1?distro=ubuntu-22.04", "Ubuntu:22.04", "bash", "5.1"),
            (
                "pkg:apk/alpine/ssl_client@1.36-r0?distro=alpine-3.18.4&upstream=busybox",
                "Alpine:v3.18",
                "busybox",
                "1.36-r0",
            ),
            ("pkg:npm/%40babel/core@7.0.0", "npm", "@babel/core", "7.0.0"),
            ("pkg:pypi/Zope.Interface@5.0", "PyPI", "zope-interface", "5.0"),
            ("pkg:cargo/time@0.1.0", "crates.io", "time", "0.1.0"),
        ] {
            assert_eq!(known(purl), Some((key.to_owned(), name.to_owned(), version.to_owned())), "{purl}");
        }
        for purl in ["pkg:rpm/fedora/bash@5?distro=fedora-40", "pkg:maven/a/b@1", "pkg:deb/debian/bash@5"] {
            assert_eq!(known(purl), None, "{purl}");
        }
        assert_eq!(Ecosystem::of_osv("Ubuntu:22.04:LTS").unwrap().key, "Ubuntu:22.04");
        assert_eq!(Ecosystem::of_osv("Ubuntu:Pro:22.04:LTS"), None);
    }
}
