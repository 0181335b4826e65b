//! A package with the facts from its ecosystem's own metadata.

use std::collections::BTreeMap;

use packageurl::PackageUrl;

/// The ecosystem of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// Alpine's and others' `apk`.
    Apk,
    /// Debian's and others' `dpkg`.
    Deb,
    /// Red Hat's, SUSE's and others' `rpm`.
    Rpm,
    /// A Go module that is linked into a program.
    Go,
    /// A Rust crate that is linked into a program.
    Cargo,
    /// Python.
    Pypi,
    /// Node.
    Npm,
    /// Java.
    Maven,
}

impl Ecosystem {
    /// The type in a package URL. Source: package-url/purl-spec, `types/`.
    #[must_use]
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Go => "golang",
            Self::Cargo => "cargo",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Maven => "maven",
        }
    }

    /// Whether the distribution's name is the namespace of packages of this ecosystem.
    fn is_of_distribution(self) -> bool {
        matches!(self, Self::Apk | Self::Deb | Self::Rpm)
    }
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// The part before the name, such as a Maven group; for distributions it is filled in later.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The version; absent if nothing states it, as for a Go program built from its own source tree.
    pub version: Option<String>,
    /// Qualifiers of the package URL.
    pub qualifiers: BTreeMap<&'static str, String>,
    /// Licences, as in the metadata.
    pub licences: Vec<String>,
    /// A name in the "Common Platform Enumeration" 2.3, if advisories need it.
    pub cpe: Option<String>,
}

impl Package {
    /// A package with no other facts.
    #[must_use]
    pub fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        Self {
            ecosystem,
            namespace: None,
            name: name.to_owned(),
            version: (!version.is_empty()).then(|| version.to_owned()),
            qualifiers: BTreeMap::new(),
            licences: Vec::new(),
            cpe: None,
        }
    }

    /// With a qualifier, unless its value is empty.
    #[must_use]
    pub fn with(mut self, qualifier: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.insert(qualifier, value.to_owned());
        }
        self
    }

    /// Its package URL; for a distribution's package, with `distribution` as namespace. `None` if no URL is possible for the name.
    ///
    /// Source: package-url/purl-spec.
    #[must_use]
    pub fn purl(&self, distribution: Option<&OsRelease>) -> Option<String> {
        let mut purl = PackageUrl::new(self.ecosystem.purl_type(), self.name.clone()).ok()?;
        let mut namespace = self.namespace.clone();
        if self.ecosystem.is_of_distribution() {
            namespace = distribution.map(|of| of.id.clone());
            if let Some(distro) = distribution.and_then(OsRelease::distro) {
                purl.add_qualifier("distro", distro).ok()?;
            }
        }
        if let Some(namespace) = namespace {
            purl.with_namespace(namespace).ok()?;
        }
        if let Some(version) = &self.version {
            purl.with_version(version.clone()).ok()?;
        }
        for (name, value) in &self.qualifiers {
            purl.add_qualifier(*name, value.clone()).ok()?;
        }
        Some(purl.to_string())
    }

    /// The name as people write it: with Maven's group or npm's scope.
    #[must_use]
    pub fn full_name(&self) -> String {
        match (&self.namespace, self.ecosystem) {
            (None, _) => self.name.clone(),
            (Some(namespace), Ecosystem::Maven) => format!("{namespace}:{}", self.name),
            (Some(namespace), _) => format!("{namespace}/{}", self.name),
        }
    }
}

/// The content of `os-release`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`.
    pub version: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty_name: Option<String>,
    /// `CPE_NAME`.
    pub cpe: Option<String>,
}

impl OsRelease {
    fn distro(&self) -> Option<String> {
        Some(format!("{}-{}", self.id, self.version.as_ref()?))
    }
}

/// The finding in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Packages that the file lists, or the package that it is.
    Packages(Vec<Package>),
    /// The operating system.
    Os(OsRelease),
    /// Licences of the Debian package with this name.
    DebianLicences {
        /// The package.
        package: String,
        /// Short names of licences.
        licences: Vec<String>,
    },
    /// It may have packages, but was not read for this reason.
    NotRead(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_those_of_the_specification() {
        let debian = OsRelease { id: "debian".to_owned(), version: Some("12".to_owned()), ..OsRelease::default() };
        let deb = Package::new(Ecosystem::Deb, "libc6", "2.36-9+deb12u3").with("arch", "amd64");
        assert_eq!(
            deb.purl(Some(&debian)).unwrap(),
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u3?arch=amd64&distro=debian-12"
        );
        let mut npm = Package::new(Ecosystem::Npm, "core", "7.0.0");
        npm.namespace = Some("@babel".to_owned());
        assert_eq!(npm.purl(None).unwrap(), "pkg:npm/%40babel/core@7.0.0");
        let go = Package { namespace: Some("k8s.io".to_owned()), ..Package::new(Ecosystem::Go, "api", "v0.25.2") };
        assert_eq!(go.purl(Some(&debian)).unwrap(), "pkg:golang/k8s.io/api@v0.25.2");
        assert_eq!(Package::new(Ecosystem::Go, "x", "").purl(None).unwrap(), "pkg:golang/x");
    }
}
