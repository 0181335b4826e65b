//! The time stamp that a command requires before it uses a bundle.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use fs_err as fs;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::BundleHead;
use kbundle_format::limits::MAX_TIMESTAMP_BYTES;
use kbundle_format::timestamp::{Authorities, SUFFIX, Timestamp, TimestampToken};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arguments::BundleArgs;
use crate::sidecar::{Sidecar, SidecarKind};

/// Files with time stamps, beside bundles.
pub const TIMESTAMP: SidecarKind = SidecarKind {
    name: "time stamp",
    short_name: "time stamp",
    suffix: SUFFIX,
    option: "--timestamp",
    max_bytes: MAX_TIMESTAMP_BYTES,
};

/// Whether a bundle has to have a time stamp.
#[derive(Clone, Debug, Default, Args)]
pub struct RequiredTimestampArgs {
    /// Refuse the bundle unless an authority of this file stamped its list with a time
    ///
    /// Certificates in PEM: those of authorities for time stamps (RFC 3161), or of whoever issued their certificates.
    #[arg(long, value_name = "FILE")]
    pub timestamp_authority: Option<PathBuf>,
    /// The time stamp [default: BUNDLE.tsr beside the bundle]
    #[arg(long, value_name = "FILE", requires = "timestamp_authority")]
    pub timestamp: Option<PathBuf>,
}

/// A required time stamp.
pub struct RequiredTimestamp {
    authorities: Authorities,
    token: Sidecar,
}

/// A time stamp that counts, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedTimestamp {
    /// The file with it.
    pub file: String,
    /// What it says.
    #[serde(flatten)]
    pub timestamp: Timestamp,
}

impl RequiredTimestampArgs {
    /// Reads the authorities, and finds the place of the time stamp of `bundle`; `None` if none is required.
    ///
    /// # Errors
    /// For a file without certificates, or a bundle on standard input without `--timestamp`.
    pub fn read(&self, bundle: &BundleArgs) -> anyhow::Result<Option<RequiredTimestamp>> {
        let Some(path) = &self.timestamp_authority else { return Ok(None) };
        let token = TIMESTAMP.find(self.timestamp.as_deref(), bundle)?;
        Ok(Some(RequiredTimestamp { authorities: authorities(path)?, token }))
    }
}

/// The certificates in the file at `path`.
///
/// # Errors
/// When it cannot be read, or has none.
pub fn authorities(path: &Path) -> anyhow::Result<Authorities> {
    Authorities::read(&fs::read(path).explained()?).ok_or_else(|| {
        failure::usage(
            format!("{} holds no certificate in PEM, or a damaged one", path.display()),
            "give the certificates that the authority for time stamps publishes; `openssl x509 -inform DER -in FILE` makes PEM of DER",
        )
    })
}

impl RequiredTimestamp {
    /// Checks that the list in this head has a valid time stamp.
    ///
    /// # Errors
    /// When there is no time stamp, or it is not valid.
    pub fn check(&self, head: &BundleHead) -> anyhow::Result<VerifiedTimestamp> {
        let (path, bytes) = self.token.read()?;
        let file = path.display().to_string();
        let token = TimestampToken::read(&file, &bytes).explained()?;
        let timestamp = token.verify(&head.list_bytes, &self.authorities).explained()?;
        Ok(VerifiedTimestamp { file, timestamp })
    }
}

impl fmt::Display for VerifiedTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.timestamp.time, self.timestamp.authority)
    }
}
