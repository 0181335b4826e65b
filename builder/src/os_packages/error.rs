//! Why packages of a distribution cannot be taken.

use std::io;
use std::path::PathBuf;

use kbundle_format::os_package::DistributionName;

/// Why `os-packages` of bundle.yaml cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OsPackageSettingsError {
    /// A file could not be read.
    #[error("cannot read {}, which os-packages names", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file of keys has none.
    #[error("{} has no OpenPGP key: {reason}", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read as keys.
        reason: String,
    },
    /// A value that is not possible.
    #[error("os-packages for {distribution}: {reason}")]
    Settings {
        /// The release of the distribution.
        distribution: DistributionName,
        /// What is wrong.
        reason: String,
    },
}

/// Why packages cannot be taken from an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OsPackageError {
    /// The document of a suite has no signature by a key in the keyring.
    #[error("{url} has no signature by a key of {}: {reason}", keyring.display())]
    Signature {
        /// The document.
        url: String,
        /// The file of keys.
        keyring: PathBuf,
        /// Why each signature does not count.
        reason: String,
    },
    /// The document of a suite does not have the right shape.
    #[error("{url} is not a release file of Debian's form: {reason}")]
    Release {
        /// The document.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The document is of another suite.
    #[error("{url} is for the suite {found} instead of {wanted}")]
    Suite {
        /// The document.
        url: String,
        /// The wanted suite.
        wanted: String,
        /// The suite in the document.
        found: String,
    },
    /// The document has expired.
    #[error("{url} was valid until {until}")]
    Expired {
        /// The document.
        url: String,
        /// The date in the document.
        until: String,
    },
    /// A suite without an index for a component and architecture.
    #[error("{url} lists no packages of the component {component} for {architecture}")]
    NoIndex {
        /// The document of the suite.
        url: String,
        /// The component.
        component: String,
        /// Debian's name of the architecture.
        architecture: String,
    },
    /// An index that cannot be read.
    #[error("{url} is not an index of packages: {reason}")]
    Index {
        /// The index.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A package that no index has.
    #[error("no suite has the package {package} for {architecture}")]
    NoPackage {
        /// The package that was asked for.
        package: String,
        /// Debian's name of the architecture.
        architecture: String,
    },
    /// A dependency that nothing satisfies.
    #[error("{package} needs {relation}, which nothing in the suites and in the base satisfies")]
    Unsatisfied {
        /// The package.
        package: String,
        /// What it depends on.
        relation: String,
    },
    /// Two packages that cannot be installed together.
    #[error("{package} conflicts with {other}: {relation}")]
    Conflict {
        /// The package that says so.
        package: String,
        /// The other one.
        other: String,
        /// Its relation.
        relation: String,
    },
    /// A package whose relations cannot be read, or whose file cannot lie in a bundle.
    #[error("cannot take {package}: {reason}")]
    Package {
        /// The package.
        package: String,
        /// The reason.
        reason: String,
    },
}
