//! Packages of the hosts' own distributions, such as conntrack and socat, for hosts that lack them and cannot reach a mirror.
//!
//! `bundle.yaml` → [`OsPackages`] → signed release documents and indexes (`fetch`) → the packages with all of their dependencies.
//!
//! | module | what it knows |
//! |---|---|
//! | `keyring` | whether an archive's key signed a document |
//! | `release` | the indexes of a suite by digest, and their expiry |
//! | `index` | the packages of a suite |
//! | `resolver` | which packages others need |
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>, deb-control(5), Debian Policy 7.

mod error;
mod index;
mod keyring;
mod release;
mod resolver;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kbundle_format::os_package::DistributionName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::site::read_regular;

pub use error::{OsPackageError, OsPackageSettingsError};
pub use index::{Index, Package};
pub use keyring::{Keyring, SignedText};
pub use release::{IndexFile, Release};
pub use resolver::resolve;

/// Programs that kubeadm's preflight looks for and that a base system of Debian or Ubuntu lacks.
const DEFAULT_PACKAGES: [&str; 4] = ["conntrack", "ethtool", "iptables", "socat"];

/// A distribution's packages as `bundle.yaml` has them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OsPackageSettings {
    /// `ID-VERSION_ID` of the hosts' os-release, such as `debian-12` or `ubuntu-24.04`.
    pub distribution: DistributionName,
    /// The file with the archive's public keys, such as `debian-archive-keyring.gpg`.
    #[schemars(with = "String")]
    pub keyring: PathBuf,
    /// The address of the archive. Default: the distribution's own.
    pub mirror: Option<String>,
    /// Suites of the archive. Default: those of the release and its updates.
    #[serde(default)]
    pub suites: Vec<String>,
    /// The address of the archive with security updates, where it is another one. Default: Debian's, unless `mirror` is given.
    pub security_mirror: Option<String>,
    /// Suites of that archive. Default: that of the release.
    #[serde(default)]
    pub security_suites: Vec<String>,
    /// Components of each suite. Default: `main`, and `universe` too for Ubuntu.
    #[serde(default)]
    pub components: Vec<String>,
    /// The packages. Default: `conntrack`, `ethtool`, `iptables` and `socat`. What they depend on comes along.
    #[serde(default)]
    pub packages: Vec<String>,
    /// A file with the names of packages that all hosts have, one on a line. Where absent, they have those of the priorities `required` and `important`.
    #[schemars(with = "Option<String>")]
    pub installed: Option<PathBuf>,
}

/// Packages for one release of a distribution, and where to find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsPackages {
    /// The release.
    pub distribution: DistributionName,
    /// The keys that the archive signs with.
    pub keyring: Keyring,
    /// The archives that have its packages. The newest version of a package counts, whichever archive has it.
    pub archives: Vec<Archive>,
    /// Components of each suite.
    pub components: Vec<String>,
    /// The packages that hosts need.
    pub packages: Vec<String>,
    /// The packages that hosts have already.
    pub base: Base,
}

/// Suites at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The address, without a slash at its end.
    pub mirror: Arc<str>,
    /// The suites.
    pub suites: Vec<String>,
}

/// The packages that hosts have before anything is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Essential packages and those with the priorities `required` and `important`, with all of their dependencies: the installers of
    /// Debian and Ubuntu and debootstrap(8) put these on every host.
    ByPriority,
    /// Packages by name.
    Listed(BTreeSet<String>),
}

/// The built-in knowledge about a distribution.
struct Known {
    distribution: &'static str,
    mirror: &'static str,
    suites: &'static [&'static str],
    /// The suites of the archive for security updates, if that is a separate archive.
    security_suites: &'static [&'static str],
    components: &'static [&'static str],
}

const DEBIAN: &str = "https://deb.debian.org/debian";
const DEBIAN_SECURITY: &str = "https://deb.debian.org/debian-security";
const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu";

/// Addresses and suites, as in the sources.list(5) that each distribution installs.
const KNOWN: [Known; 4] = [
    Known {
        distribution: "debian-12",
        mirror: DEBIAN,
        suites: &["bookworm", "bookworm-updates"],
        security_suites: &["bookworm-security"],
        components: &["main"],
    },
    Known {
        distribution: "debian-13",
        mirror: DEBIAN,
        suites: &["trixie", "trixie-updates"],
        security_suites: &["trixie-security"],
        components: &["main"],
    },
    Known {
        distribution: "ubuntu-22.04",
        mirror: UBUNTU,
        suites: &["jammy", "jammy-updates", "jammy-security"],
        security_suites: &[],
        components: &["main", "universe"],
    },
    Known {
        distribution: "ubuntu-24.04",
        mirror: UBUNTU,
        suites: &["noble", "noble-updates", "noble-security"],
        security_suites: &[],
        components: &["main", "universe"],
    },
];

impl OsPackages {
    /// Reads settings and the files that they name, which are relative to `base`.
    ///
    /// # Errors
    /// [`OsPackageSettingsError`].
    pub fn read_all(base: &Path, settings: &[OsPackageSettings]) -> Result<Vec<Self>, OsPackageSettingsError> {
        let mut seen = BTreeSet::new();
        for OsPackageSettings { distribution, .. } in settings {
            if !seen.insert(distribution) {
                return Err(wrong(distribution, "it is there twice"));
            }
        }
        settings.iter().map(|settings| Self::read(base, settings)).collect()
    }

    fn read(base: &Path, settings: &OsPackageSettings) -> Result<Self, OsPackageSettingsError> {
        let distribution = &settings.distribution;
        let known = KNOWN.iter().find(|known| known.distribution == distribution.as_str());
        let lacking = |key: &str| {
            let names: Vec<_> = KNOWN.iter().map(|known| known.distribution).collect();
            wrong(distribution, &format!("it needs `{key}`, which is known for {} alone", names.join(", ")))
        };
        let mirror = settings.mirror.as_deref().or(known.map(|known| known.mirror)).ok_or_else(|| lacking("mirror"))?;
        let or_known = |given: &[String], of: fn(&Known) -> &'static [&'static str], key: &str| match (given, known) {
            ([], None) => Err(lacking(key)),
            ([], Some(known)) => Ok(of(known).iter().map(|&name| name.to_owned()).collect()),
            (given, _) => given.iter().map(|name| plain(distribution, name)).collect::<Result<Vec<_>, _>>(),
        };
        let packages = match settings.packages.as_slice() {
            [] => DEFAULT_PACKAGES.map(str::to_owned).into(),
            packages => packages.iter().map(|name| plain(distribution, name)).collect::<Result<_, _>>()?,
        };
        let suites = or_known(&settings.suites, |known| known.suites, "suites")?;
        let main = Archive { mirror: address(distribution, mirror)?, suites };
        let archives = [main].into_iter().chain(security(settings, known)?).collect();
        let keyring = base.join(&settings.keyring);
        Ok(Self {
            distribution: distribution.clone(),
            keyring: Keyring::parse(&keyring, &read_file(&keyring)?)?,
            archives,
            components: or_known(&settings.components, |known| known.components, "components")?,
            packages,
            base: settings.installed.as_ref().map_or(Ok(Base::ByPriority), |file| installed(&base.join(file)))?,
        })
    }
}

/// The archive for security updates, if it is a separate one. If the settings name a mirror of the archive, they have to name one for this
/// too: kbundle asks no other server.
fn security(settings: &OsPackageSettings, known: Option<&Known>) -> Result<Option<Archive>, OsPackageSettingsError> {
    let distribution = &settings.distribution;
    let by_default: &[&str] = known.map_or(&[], |known| known.security_suites);
    let default_mirror = (settings.mirror.is_none() && !by_default.is_empty()).then_some(DEBIAN_SECURITY);
    let Some(mirror) = settings.security_mirror.as_deref().or(default_mirror) else {
        return match settings.security_suites.as_slice() {
            [] => Ok(None),
            _ => Err(wrong(distribution, "it needs `security-mirror`, the address that has `security-suites`")),
        };
    };
    let suites: Vec<_> = match settings.security_suites.as_slice() {
        [] => by_default.iter().map(|&name| name.to_owned()).collect(),
        given => given.iter().map(|name| plain(distribution, name)).collect::<Result<_, _>>()?,
    };
    if suites.is_empty() {
        return Err(wrong(distribution, "it needs `security-suites`, the suites at `security-mirror`"));
    }
    Ok(Some(Archive { mirror: address(distribution, mirror)?, suites }))
}

/// The address of an archive.
fn address(distribution: &DistributionName, mirror: &str) -> Result<Arc<str>, OsPackageSettingsError> {
    if mirror.starts_with("https://") || mirror.starts_with("http://") {
        return Ok(mirror.trim_end_matches('/').into());
    }
    Err(wrong(distribution, &format!("`{mirror}` is not an address that begins with https:// or http://")))
}

fn wrong(distribution: &DistributionName, reason: &str) -> OsPackageSettingsError {
    OsPackageSettingsError::Settings { distribution: distribution.clone(), reason: reason.to_owned() }
}

fn read_file(path: &Path) -> Result<Vec<u8>, OsPackageSettingsError> {
    read_regular(path).map_err(|source| OsPackageSettingsError::Read { path: path.to_owned(), source })
}

/// The packages in a file with the output of `dpkg-query --show --showformat '${Package}\n'`.
fn installed(path: &Path) -> Result<Base, OsPackageSettingsError> {
    let text = String::from_utf8_lossy(&read_file(path)?).into_owned();
    Ok(Base::Listed(text.split_whitespace().map(str::to_owned).collect()))
}

/// Checks a name of a package, suite or component, since it becomes part of addresses.
fn plain(distribution: &DistributionName, name: &str) -> Result<String, OsPackageSettingsError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-_".contains(&byte);
    let good = !name.is_empty()
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(known));
    if good {
        Ok(name.to_owned())
    } else {
        Err(wrong(distribution, &format!("`{name}` is not the name of a package, suite or component")))
    }
}

/// Debian's name of the architecture that is `architecture` in OCI.
#[must_use]
pub fn debian_architecture(architecture: &str) -> &str {
    match architecture {
        "arm" => "armhf",
        "386" => "i386",
        "ppc64le" => "ppc64el",
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests;
