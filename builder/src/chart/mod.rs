//! Helm charts of the site: where they come from, and how they are rendered to find their images.
//!
//! `bundle.yaml` → [`SiteChart`] → the archive, from a file, an HTTP repository or a registry (`fetch`) → `helm template` → images.
//!
//! | module | what it knows |
//! |---|---|
//! | `package`, `ignore` | the archive of a folder, and the name and version in an archive |
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

/// The prefix of the address of a chart in a registry.
pub(crate) const REGISTRY_SCHEME: &str = "oci://";
/// Helm refuses longer names of releases, since objects' names are made from them (`chartutil.ValidateReleaseName`).
const MAX_RELEASE_BYTES: usize = 53;
/// The namespace of a release that names none, as in helm.
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

/// A chart to carry, and the release to make of it.
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
    /// The required digest of its archive.
    pub digest: Option<Digest>,
    /// Files of values; later ones override earlier ones.
    pub values: Vec<LocalFile>,
}

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartOrigin {
    /// A folder or an archive from the site's own files.
    Local(LocalFile),
    /// An HTTP repository.
    Repository {
        /// Its address, without a slash at its end.
        address: String,
        /// The chart's name there.
        name: String,
    },
    /// A registry; the tag is the version.
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

    /// The folder of the chart and its values in the bundle.
    pub(crate) fn folder(&self) -> String {
        format!("charts/{}/{}", self.namespace, self.release)
    }
}

/// The name of a version of a chart in a registry: a tag cannot contain `+`, and helm writes `_` instead.
pub(crate) fn registry_reference(repository: &str, version: &str) -> Option<ImageRef> {
    format!("{repository}:{}", version.replace('+', "_")).parse().ok()
}

fn read_file(base: &Path, path: &Path) -> Result<LocalFile, ChartSettingsError> {
    LocalFile::read(base, path).map_err(|source| ChartSettingsError::Read { path: base.join(path), source })
}

/// The content to carry for a path in bundle.yaml: a regular file as it is, the folder of a chart as an archive.
pub(crate) fn local_content(path: &Path) -> io::Result<Vec<u8>> {
    if path.is_dir() { package(path) } else { read_regular(path) }
}

/// A chart from the site's own files, with the version in its Chart.yaml.
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
