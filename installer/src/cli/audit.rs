//! `audit`.

use std::path::PathBuf;

use clap::Args;
use kbundle_commands::recording::RecordArgs;

use super::{ClusterArguments, OptionalBundleArguments};

pub(super) const EXAMPLES: &str = "\
Examples:
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub --deep --all --output json
  kinstall audit --key signing.pub
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub --config cluster.yaml
  kinstall audit --key signing.pub --config cluster.yaml --all --report november.html
  kinstall audit --key signing.pub --config cluster.yaml --record november.json --sign-key auditor.key
  kinstall audit --key signing.pub --config cluster.yaml --since november.json --record-key auditor.pub";

/// Compare this host, or the hosts of cluster.yaml, with the bundle that they were set up from
///
/// Verifies the bundle, then compares the files on the host and what runs: binaries, configuration, units and their drop-ins, processes,
/// static pods, images, containers, certificates, kernel settings, and who is cluster-admin. Each finding is as approved, drifted (with
/// what was expected and what was found) or unknown (with the reason). Changes nothing. Needs root.
///
/// Hosts that were set up over SSH keep their part of the bundle, so an audit there needs no bundle argument. With `--config`, every host
/// compares itself with its part of the bundle and with cluster.yaml, and the hosts are compared with each other. A host that does not
/// answer is unknown.
///
/// Exits with 0 if everything is as approved, with 4 if anything has drifted, and with 1 if nothing has drifted but something is unknown.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The bundle that the hosts were set up from.
    #[command(flatten)]
    pub bundle: OptionalBundleArguments,
    /// Also compare the content of images in containerd with its digests, and unpacked files with their layers
    ///
    /// Takes as long as reading all images twice.
    #[arg(long)]
    pub deep: bool,
    /// The record to write.
    #[command(flatten)]
    pub record: RecordArgs,
    /// Also show what changed since the audit of this record
    ///
    /// The exit code depends on the state now, not on what changed.
    #[arg(long, value_name = "RECORD", requires = "record_key")]
    pub since: Option<PathBuf>,
    /// The public key that signed the record of --since
    #[arg(long, value_name = "FILE", requires = "since")]
    pub record_key: Option<PathBuf>,
    /// Also write the audit as one HTML page to this file
    ///
    /// Hosts, what is not as approved, and what hosts differ in, as tables that sort and search; with `--all`, also what is as approved. It is
    /// written whatever the audit finds, and asks for nothing from elsewhere.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Also list what is as approved; --output json always does
    #[arg(long)]
    pub all: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}
