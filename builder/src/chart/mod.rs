//! Helm charts of the site: where they come from, and what is rendered of them to find their images.
//!
//! `bundle.yaml` → [`SiteChart`] → the archive, from a file, an HTTP repository or a registry (`fetch`) → `helm template` → images.
//!
//! | module | what it knows |
//! |---|---|
//! | `package`, `ignore` | the archive of a folder, and what an archive says of itself |
//! | `index` | which archive an HTTP repository has of a version |
//! | `helm` | running helm |

mod error;
mod helm;
mod ignore;
mod index;
mod package;

use std::io;
use std::path::{Path, PathBuf};

use kbundle_format::{Digest, ImageRef};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::one_or_many::{OneOrMany, Paths};
use crate::site::{LocalFile, SiteName, read_regular};

pub use error::{ChartError, ChartSettingsError};
pub(crate) use helm::{Helm, Rendering};
pub(crate) use index::Index;
pub(crate) use package::ChartIdentity;

use package::package;

/// What the address of a chart in a registry begins with.
pub(crate) const REGISTRY_SCHEME: &str = "oci://";
/// Helm refuses longer names of releases: names of objects are made of them (`chartutil.ValidateReleaseName`).
const MAX_RELEASE_BYTES: usize = 53;
/// Where a release goes that names no namespace, as with helm.
const DEFAULT_NAMESPACE: &str = "default";

/// A chart as `bundle.yaml` has it, under the name of its release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChartSettings {
    /// A folder or `.tgz` beside this file, `oci://REGISTRY/REPOSITORY`, or the chart's name in `repository`.
    pub chart: String,
    /// The address of an HTTP repository, which has an `index.yaml`.
    pub repository: Option<String>,
    /// The chart's version. A chart of a repository or registry needs it.
    pub version: Option<String>,
    /// The digest of the chart's archive, `sha256:…`, for a chart of a repository or registry.
    pub digest: Option<Digest>,
    /// The namespace of the release, made where it is missing. Default: `default`.
    pub namespace: Option<SiteName>,
    /// Files of values; later ones win.
    #[serde(default)]
    #[schemars(with = "OneOrMany")]
    pub values: Paths,
}

/// A chart to carry, and the release that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteChart {
    /// The release's name, which cluster.yaml lists.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// The chart's version.
    pub version: String,
    /// Where the chart comes from.
    pub origin: ChartOrigin,
    /// What its archive has to be.
    pub digest: Option<Digest>,
    /// Files of values, later ones win.
    pub values: Vec<LocalFile>,
}

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartOrigin {
    /// A folder or an archive of the site.
    Local(LocalFile),
    /// An HTTP repository.
    Repository {
        /// Its address, without a slash at its end.
        address: String,
        /// The chart's name there.
        name: String,
    },
    /// A registry, where the tag is the version.
    Registry(ImageRef),
}

impl SiteChart {
    /// Reads the settings of a chart, whose paths are relative to `base`, and the files that they name.
    ///
    /// # Errors
    /// [`ChartSettingsError`].
    pub fn read(base: &Path, release: &SiteName, settings: &ChartSettings) -> Result<Self, ChartSettingsError> {
        let release = release.as_str().to_owned();
        let wrong = |reason: String| ChartSettingsError::Settings { release: release.clone(), reason };
        if release.len() > MAX_RELEASE_BYTES {
            return Err(wrong(format!("helm takes names of at most {MAX_RELEASE_BYTES} letters")));
        }
        let version = || settings.version.clone().ok_or_else(|| wrong("it needs a `version`".to_owned()));
        let (origin, version) = match (&settings.repository, settings.chart.strip_prefix(REGISTRY_SCHEME)) {
            (Some(_), Some(_)) => return Err(wrong("it has a `repository` and an `oci://` address".to_owned())),
            (Some(address), None) => {
                if !address.starts_with("https://") && !address.starts_with("http://") {
                    return Err(wrong(format!("`{address}` is not an https:// address of a repository")));
                }
                let address = address.trim_end_matches('/').to_owned();
                (ChartOrigin::Repository { address, name: settings.chart.clone() }, version()?)
            }
            (None, Some(repository)) => {
                let version = version()?;
                let reference = registry_reference(repository, &version)
                    .ok_or_else(|| wrong(format!("`{}` is not the address of a registry", settings.chart)))?;
                (ChartOrigin::Registry(reference), version)
            }
            (None, None) => local(base, settings, &wrong)?,
        };
        let values = settings.values.0.iter().map(|path| read_file(base, path)).collect::<Result<_, _>>()?;
        let namespace = settings.namespace.as_ref().map_or(DEFAULT_NAMESPACE, SiteName::as_str).to_owned();
        Ok(Self { release, namespace, version, origin, digest: settings.digest, values })
    }

    /// Where the chart and its values lie in the bundle.
    pub(crate) fn folder(&self) -> String {
        format!("charts/{}/{}", self.namespace, self.release)
    }
}

/// The name that a registry has a version of a chart by: a tag has no `+`, and helm writes `_` for it.
pub(crate) fn registry_reference(repository: &str, version: &str) -> Option<ImageRef> {
    format!("{repository}:{}", version.replace('+', "_")).parse().ok()
}

fn read_file(base: &Path, path: &Path) -> Result<LocalFile, ChartSettingsError> {
    LocalFile::read(base, path).map_err(|source| ChartSettingsError::Read { path: base.join(path), source })
}

/// What is carried for a path of bundle.yaml: a regular file as it is, the folder of a chart as an archive.
pub(crate) fn local_content(path: &Path) -> io::Result<Vec<u8>> {
    if path.is_dir() { package(path) } else { read_regular(path) }
}

/// A chart of the site's own, and the version that it says it has.
fn local(
    base: &Path,
    settings: &ChartSettings,
    wrong: &dyn Fn(String) -> ChartSettingsError,
) -> Result<(ChartOrigin, String), ChartSettingsError> {
    let path = PathBuf::from(&settings.chart);
    let whole = base.join(&path);
    let read = |source| ChartSettingsError::Read { path: whole.clone(), source };
    let content = local_content(&whole).map_err(read)?;
    let identity = ChartIdentity::of(&content).map_err(read)?;
    if let Some(wanted) = settings.version.as_ref().filter(|wanted| **wanted != identity.version) {
        return Err(wrong(format!("{} has version {} instead of {wanted}", whole.display(), identity.version)));
    }
    Ok((ChartOrigin::Local(LocalFile::of(&path, &content)), identity.version))
}

#[cfg(test)]
mod tests;
