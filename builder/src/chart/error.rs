//! Why a chart cannot be carried.

use std::io;
use std::path::PathBuf;

use kbundle_cli::similar::nearest_version;
use kbundle_format::Digest;

use crate::site::SiteError;

/// What `bundle.yaml` says of a chart cannot be used.
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
    /// The settings do not go together.
    #[error("chart {release} in bundle.yaml: {reason}")]
    Settings {
        /// The release.
        release: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why a chart cannot be carried that its settings name.
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
        /// What was asked for.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The index gives no address that can be fetched.
    #[error("{repository} gives no usable address of {name} {version}")]
    NoAddress {
        /// The repository.
        repository: String,
        /// The chart.
        name: String,
        /// Its version.
        version: String,
    },
    /// What a registry has under the name is something else.
    #[error("{reference} is not a chart: {reason}")]
    NoChartArtifact {
        /// What was asked for.
        reference: String,
        /// What is there.
        reason: String,
    },
    /// The index and `bundle.yaml` name different digests.
    #[error("the repository's index gives the chart digest {found}, bundle.yaml {wanted}")]
    OtherDigest {
        /// What bundle.yaml says.
        wanted: Digest,
        /// What the index says.
        found: Digest,
    },
    /// The archive is none, or its Chart.yaml names something else.
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
        /// What helm said.
        said: String,
    },
    /// helm did not come to an end, or wrote too much.
    #[error("helm was stopped while it rendered the chart: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// What helm rendered are not Kubernetes objects.
    #[error("what helm rendered of the chart cannot be read")]
    Objects {
        /// The cause.
        source: SiteError,
    },
}
