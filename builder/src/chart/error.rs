//! Why a chart cannot be carried.

use std::io;
use std::path::PathBuf;

use kbundle_cli::similar::nearest_version;
use kbundle_format::Digest;

use crate::site::SiteError;

/// Why the settings of a chart in `bundle.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartSettingsError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The settings contradict each other.
    #[error("chart {release} in bundle.yaml: {reason}")]
    Settings {
        /// The release.
        release: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why the chart that its settings name cannot be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The repository's index cannot be used.
    #[error("{url} is not an index of a chart repository")]
    Index {
        /// Its address.
        url: String,
        /// The cause.
        source: serde_yaml::Error,
    },
    /// The repository has no such chart.
    #[error("{repository} has no chart {name}")]
    NoChart {
        /// The repository.
        repository: String,
        /// The chart.
        name: String,
    },
    /// The repository has other versions of the chart.
    #[error(
        "{repository} has no version {version} of chart {name}{}",
        nearest_version(version, known.iter().map(String::as_str)).map(|near| format!("; the nearest is {near}")).unwrap_or_default()
    )]
    NoVersion {
        /// The repository.
        repository: String,
        /// The chart.
        name: String,
        /// The version that was asked for.
        version: String,
        /// The versions that exist.
        known: Vec<String>,
    },
    /// The index has no usable address of the chart.
    #[error("{repository} gives no usable address of {name} {version}")]
    NoAddress {
        /// The repository.
        repository: String,
        /// The chart.
        name: String,
        /// Its version.
        version: String,
    },
    /// The registry has something other than a chart under the name.
    #[error("{reference} is not a chart: {reason}")]
    NoChartArtifact {
        /// The reference that was asked for.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index and `bundle.yaml` name different digests.
    #[error("the repository's index gives the chart digest {found}, bundle.yaml {wanted}")]
    OtherDigest {
        /// The digest in bundle.yaml.
        wanted: Digest,
        /// The digest in the index.
        found: Digest,
    },
    /// The file is not a chart's archive, or its Chart.yaml names another chart.
    #[error("{from} is not the chart archive that was asked for")]
    Archive {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// helm could not be started.
    #[error("cannot run the helm that the catalog pins")]
    Run {
        /// The cause.
        source: io::Error,
    },
    /// helm refused the chart or its values.
    #[error("helm cannot render the chart: {said}")]
    Render {
        /// helm's message.
        said: String,
    },
    /// helm did not end in time, or wrote too much.
    #[error("helm was stopped while it rendered the chart: {reason}")]
    Stopped {
        /// The reason.
        reason: String,
    },
    /// helm's output does not consist of Kubernetes objects.
    #[error("what helm rendered of the chart cannot be read")]
    Objects {
        /// The cause.
        source: SiteError,
    },
}
