//! What a person asks for: by flags, by `bundle.yaml`, or by both; flags win.

mod example;
mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use kbundle_format::{ComponentName, Platform, Prerequisites};
use schemars::JsonSchema;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::chart::{ChartSettings, ChartSettingsError, SiteChart};
use crate::image_file::ImageFileError;
use crate::mirror::{Mirror, MirrorAddresses, MirrorHost, Mirrors};
use crate::one_or_many::{Names, OneOrMany, Paths};
use crate::os_packages::{OsPackageSettings, OsPackageSettingsError, OsPackages};
use crate::settings_file::{self, Settings, SettingsFileError};
use crate::site::{FileSettings, SiteError, SiteFile, SiteManifests, SiteName};
use crate::version_request::VersionRequest;

pub use example::{EXAMPLE, schema};
pub use image::{ImageRequest, ImageRequestError, familiar_reference};

/// The schema of `bundle.yaml` this program reads.
pub const SCHEMA: u32 = 1;

/// The levels of zstd that `--level` accepts.
pub const LEVELS: RangeInclusive<i64> = 1..=22;

/// What goes into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleSpec {
    /// The Kubernetes release, or the minor version whose newest release is taken.
    pub kubernetes: VersionRequest,
    /// Platforms of the hosts.
    pub platforms: BTreeSet<Platform>,
    /// The pod network.
    pub cni: Cni,
    /// What distributes requests of workers over several control planes.
    pub load_balancer: LoadBalancer,
    /// Other add-ons, by name.
    pub addons: Vec<String>,
    /// Images of the site itself.
    pub images: Vec<ImageRequest>,
    /// Kubernetes objects of the site itself.
    pub manifests: Vec<SiteManifests>,
    /// Helm charts of the site itself.
    pub charts: Vec<SiteChart>,
    /// Add-ons, manifests and charts that need others first.
    pub after: Prerequisites,
    /// Files that hosts get.
    pub files: Vec<SiteFile>,
    /// Packages of the hosts' distributions.
    pub os_packages: Vec<OsPackages>,
    /// Images that manifests and charts name and that may be missing in the bundle, in the form of the manifests.
    pub left_out: Vec<String>,
    /// What to do about content without a pin.
    pub unpinned: Unpinned,
}

impl BundleSpec {
    /// A release for `platforms` with nothing else. Content without a pin is taken as it comes.
    #[must_use]
    pub fn bare(kubernetes: VersionRequest, platforms: BTreeSet<Platform>) -> Self {
        Self {
            kubernetes,
            platforms,
            cni: Cni::Bridge,
            load_balancer: LoadBalancer::None,
            addons: Vec::new(),
            images: Vec::new(),
            manifests: Vec::new(),
            charts: Vec::new(),
            after: Prerequisites::default(),
            files: Vec::new(),
            os_packages: Vec::new(),
            left_out: Vec::new(),
            unpinned: Unpinned::TrustOnFirstUse,
        }
    }
}

/// The pod network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cni {
    /// The standard CNI plugins and routes, for a flat network: needs no image.
    Bridge,
    /// An add-on of the catalog.
    Addon(String),
}

impl From<String> for Cni {
    fn from(name: String) -> Self {
        if name == "bridge" { Self::Bridge } else { Self::Addon(name) }
    }
}

/// What distributes requests of workers over several control planes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LoadBalancer {
    /// The catalog's own choice, if it has one.
    #[default]
    OfCatalog,
    /// None: the bundle is for one control plane, or for `external` and `vip`.
    None,
    /// This add-on of the catalog.
    Addon(String),
}

impl From<String> for LoadBalancer {
    fn from(name: String) -> Self {
        if name == "none" { Self::None } else { Self::Addon(name) }
    }
}

/// What to do about content that neither the catalog nor the project pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpinned {
    /// Refuse it.
    Refuse,
    /// Take it as it comes the first time, and pin it in the lock.
    TrustOnFirstUse,
}

/// `bundle.yaml`: what the flags of `kbundle build` say, in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SpecFile {
    /// Version of the file format; always 1.
    pub schema: u32,
    /// The Kubernetes release, such as `1.36.3`, or a minor in quotes, such as `"1.36"`, for its newest one (`--k8s`).
    pub kubernetes: Option<VersionRequest>,
    /// Architectures of the hosts, `amd64` and `arm64`. Default: `amd64` (`--arch`).
    #[serde(default)]
    pub arch: Vec<String>,
    /// Take versions from this file or directory of `*.yaml` as well; a list for several (`--catalog`).
    #[serde(default)]
    #[schemars(with = "OneOrMany")]
    pub catalog: Paths,
    /// Whether the built-in catalog counts. Default: `true` (`--no-builtin-catalog`).
    pub builtin_catalog: Option<bool>,
    /// Where the content of an upstream host or registry is fetched instead, by its name: an address, or several, the first one first (`--mirror`).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, OneOrMany>")]
    pub mirrors: BTreeMap<MirrorHost, MirrorAddresses>,
    /// The pod network: an add-on of the catalog, or `bridge`. Default: `calico` (`--cni`).
    pub cni: Option<String>,
    /// The load balancer on workers: an add-on of the catalog, or `none`. Default: `haproxy` (`--load-balancer`).
    pub load_balancer: Option<String>,
    /// Add-ons of the catalog (`--addon`).
    #[serde(default)]
    pub addons: Vec<String>,
    /// Images of the site's own: `REGISTRY/REPOSITORY:TAG@sha256:DIGEST`, or from files `NAME=oci:PATH[:TAG]` and `NAME=docker-archive:PATH[:REFERENCE]` (`--add-image`).
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub images: Vec<ImageRequest>,
    /// Kubernetes objects of the site's own: a name, and the files or folders that it stands for. cluster.yaml lists the name under `addons`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, OneOrMany>")]
    pub manifests: BTreeMap<SiteName, Paths>,
    /// Helm charts, by the name of the release that each becomes. cluster.yaml lists the name under `addons`.
    #[serde(default)]
    pub charts: BTreeMap<SiteName, ChartSettings>,
    /// What has to run before an add-on, manifests or a chart is applied: a name, and the names that it needs first.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, OneOrMany>")]
    pub after: BTreeMap<SiteName, Names>,
    /// Files of the site's own that hosts get when kinstall prepares them.
    #[serde(default)]
    pub files: Vec<FileSettings>,
    /// Packages of the hosts' own distributions, which kinstall installs without a network.
    #[serde(default)]
    pub os_packages: Vec<OsPackageSettings>,
    /// Images that manifests and charts name and the bundle need not have, as they name them.
    #[serde(default)]
    pub left_out_images: Vec<String>,
    /// Accept content that has no pin (`--trust-on-first-use`).
    #[serde(default)]
    pub trust_on_first_use: bool,
    /// Sign with this private key (`--key`).
    pub key: Option<PathBuf>,
    /// The zstd level, 1 to 22. Default: 9 (`--level`).
    #[serde(default, deserialize_with = "level")]
    #[schemars(range(min = 1, max = 22))]
    pub level: Option<i32>,
    /// The bundle's file. Default: `k8s-VERSION-ARCH.tar.zst` (`--out`).
    pub out: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file as well (`--ca-file`).
    pub ca_file: Option<PathBuf>,
    /// Read credentials for registries from this file alone (`--registry-config`).
    pub registry_config: Option<PathBuf>,
    /// A folder with certificates for each registry in a folder `HOST[:PORT]` (`--certs-dir`).
    pub certs_dir: Option<PathBuf>,
    /// Where the file lies, and paths of `manifests`, `charts`, `files` and `os-packages` begin.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A level in [`LEVELS`]. It is a visitor, because serde then reports line and column of a wrong one.
fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    struct Level;
    impl Visitor<'_> for Level {
        type Value = Option<i32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a level from {} to {}", LEVELS.start(), LEVELS.end())
        }

        fn visit_i64<E: de::Error>(self, level: i64) -> Result<Self::Value, E> {
            let known = i32::try_from(level).ok().filter(|_| LEVELS.contains(&level));
            known.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Signed(level), &self))
        }

        fn visit_u64<E: de::Error>(self, level: u64) -> Result<Self::Value, E> {
            self.visit_i64(i64::try_from(level).unwrap_or(i64::MAX))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Level)
}

/// Why `bundle.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It cannot be read, or does not have the right shape.
    #[error(transparent)]
    File(#[from] SettingsFileError),
    /// Manifests of the site cannot be used.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Charts of the site cannot be used.
    #[error(transparent)]
    Chart(#[from] ChartSettingsError),
    /// Settings for packages of distributions cannot be used.
    #[error(transparent)]
    OsPackages(#[from] OsPackageSettingsError),
    /// Images from files cannot be used.
    #[error(transparent)]
    Image(#[from] ImageFileError),
    /// Neither flag nor file names a release.
    #[error("no Kubernetes version was given")]
    NoVersion,
    /// An architecture that belongs to no platform.
    #[error("`{text}` is not an architecture such as `amd64` or `arm64`")]
    Architecture {
        /// The given text.
        text: String,
    },
}

impl Settings for SpecFile {
    const SCHEMA: u32 = SCHEMA;

    fn schema(&self) -> u32 {
        self.schema
    }
}

impl SpecFile {
    /// Reads `path`; paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`SpecError::File`].
    pub fn read(path: &Path) -> Result<Self, SpecError> {
        let mut file: Self = settings_file::parse(&settings_file::text(path)?, path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut file.key, &mut file.out, &mut file.ca_file, &mut file.registry_config, &mut file.certs_dir];
        for inner in paths.into_iter().flatten().chain(&mut file.catalog.0) {
            *inner = directory.join(&inner);
        }
        directory.clone_into(&mut file.folder);
        Ok(file)
    }

    /// The prerequisites in the file.
    fn prerequisites(&self) -> Prerequisites {
        let mut after = Prerequisites::default();
        for (of, Names(names)) in &self.after {
            after.add(of.as_str(), names.iter().map(ToString::to_string));
        }
        after
    }

    /// The mirrors of the file, but for hosts that `flags` has mirrors of.
    #[must_use]
    pub fn mirrors(&self, flags: &[Mirror]) -> Mirrors {
        let in_file = self.mirrors.iter().flat_map(|(host, MirrorAddresses(addresses))| {
            addresses.iter().map(|address| Mirror { host: host.clone(), address: address.clone() })
        });
        in_file.collect::<Mirrors>().overridden_by(flags.iter().cloned().collect())
    }
}

/// What the flags of `kbundle build` and `kbundle lock` say about content.
#[derive(Clone, Debug, Default)]
pub struct SpecFlags {
    /// `--k8s`
    pub kubernetes: Option<VersionRequest>,
    /// `--arch`
    pub arch: Vec<String>,
    /// `--cni`
    pub cni: Option<String>,
    /// `--load-balancer`
    pub load_balancer: Option<String>,
    /// `--addon`
    pub addons: Vec<String>,
    /// `--add-image`
    pub images: Vec<ImageRequest>,
    /// `--mirror`
    pub mirrors: Vec<Mirror>,
    /// `--trust-on-first-use`
    pub trust_on_first_use: bool,
}

impl SpecFlags {
    /// Joins flags and file: settings with one value from the flags if given, lists from both.
    ///
    /// # Errors
    /// [`SpecError::NoVersion`], [`SpecError::Architecture`], [`SpecError::Site`], [`SpecError::Chart`], [`SpecError::OsPackages`] or
    /// [`SpecError::Image`].
    pub fn join(self, file: &SpecFile) -> Result<(BundleSpec, Mirrors), SpecError> {
        let mirrors = file.mirrors(&self.mirrors);
        let arch = if self.arch.is_empty() { &file.arch } else { &self.arch };
        let mut platforms = arch
            .iter()
            .map(|arch| format!("linux/{arch}").parse().map_err(|_| SpecError::Architecture { text: arch.clone() }))
            .collect::<Result<BTreeSet<Platform>, _>>()?;
        if platforms.is_empty() {
            platforms.insert("linux/amd64".parse().expect("a platform"));
        }
        let manifests =
            file.manifests.iter().map(|(name, Paths(paths))| SiteManifests::read(&file.folder, name.as_str(), paths));
        let charts = file.charts.iter().map(|(release, settings)| SiteChart::read(&file.folder, release, settings));
        let images = file
            .images
            .iter()
            .cloned()
            .map(Ok)
            .chain(self.images.into_iter().map(|image| image.named_beside(&file.folder)));
        let images = images.map(|image| image?.pinned(&file.folder, &platforms)).collect::<Result<_, _>>()?;
        let first_use = self.trust_on_first_use || file.trust_on_first_use;
        let spec = BundleSpec {
            kubernetes: self.kubernetes.or(file.kubernetes).ok_or(SpecError::NoVersion)?,
            platforms,
            cni: self.cni.or_else(|| file.cni.clone()).unwrap_or_else(|| ComponentName::Calico.to_string()).into(),
            load_balancer: self
                .load_balancer
                .or_else(|| file.load_balancer.clone())
                .map(Into::into)
                .unwrap_or_default(),
            addons: file.addons.iter().cloned().chain(self.addons).collect(),
            images,
            manifests: manifests.collect::<Result<_, _>>()?,
            charts: charts.collect::<Result<_, _>>()?,
            after: file.prerequisites(),
            files: SiteFile::read_all(&file.folder, &file.files)?,
            os_packages: OsPackages::read_all(&file.folder, &file.os_packages)?,
            left_out: file.left_out_images.clone(),
            unpinned: if first_use { Unpinned::TrustOnFirstUse } else { Unpinned::Refuse },
        };
        Ok((spec, mirrors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SpecFile, SpecError> {
        Ok(settings_file::parse(text, Path::new("bundle.yaml"))?)
    }

    #[test]
    fn flags_win_over_the_file_and_lists_are_joined() {
        let file = parse(
            "schema: 1\nkubernetes: 1.25.2\narch: [arm64]\ncni: flannel\nload-balancer: none\naddons: [metallb]\nmirrors: {dl.k8s.io: 'http://a'}\n",
        )
        .unwrap();
        let flags = SpecFlags {
            cni: Some("bridge".to_owned()),
            addons: vec!["ingress-nginx".to_owned()],
            mirrors: vec!["dl.k8s.io=http://b".parse().unwrap()],
            ..SpecFlags::default()
        };
        let (spec, mirrors) = flags.join(&file).unwrap();
        assert_eq!(spec.cni, Cni::Bridge);
        assert_eq!(spec.load_balancer, LoadBalancer::None);
        assert_eq!(spec.addons, ["metallb", "ingress-nginx"]);
        assert_eq!(spec.platforms, BTreeSet::from(["linux/arm64".parse().unwrap()]));
        assert_eq!(spec.unpinned, Unpinned::Refuse);
        assert_eq!(mirrors.rewrite("https://dl.k8s.io/x"), "http://b/x");
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        for (text, expected) in [
            ("schema: 1\nkubernets: 1.25.2\n", "unknown field `kubernets`"),
            ("schema: 1\nkubernetes: 1.30\n", "a minor version needs quotes"),
            ("schema: 1\ncatalog: {a: b}\n", "expected a text or a list of texts"),
            ("schema: 1\nkubernetes: one\n", "`one` is not a Kubernetes version"),
            ("schema: 1\nmirrors: {'https://dl.k8s.io': 'https://a'}\n", "`https://dl.k8s.io` is not a host"),
            ("schema: 1\nmirrors: {dl.k8s.io: a}\n", "`a` is not a mirror"),
            ("schema: 1\nlevel: 99\n", "invalid value: integer `99`, expected a level from 1 to 22"),
            ("schema: 1\nlevel: nine\n", "expected a level from 1 to 22"),
            ("schema: 1\nlevel: 0\n", "expected a level from 1 to 22"),
            ("schema: 1\nimages: ['Pause:3.8']\n", "`Pause:3.8` is not an image"),
            ("schema: 1\nmirrors: {dl.k8s.io: [a]}\n", "`a` is not a mirror"),
        ] {
            let error = parse(text).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(expected) && source.contains("line 2"), "{source}");
        }
        assert!(matches!(parse("schema: 7\n"), Err(SpecError::File(SettingsFileError::Schema { found: 7, .. }))));
    }
}
