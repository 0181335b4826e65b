//! `audit`.

use clap::Args;

use super::{ClusterArguments, OptionalBundleArguments};

pub(super) const EXAMPLES: &str = "\
Examples:
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub --deep --all --output json
  kinstall audit --key signing.pub
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub --config cluster.yaml";

/// Compare this host, or the hosts of cluster.yaml, with the bundle that they were set up from
///
/// Verifies the bundle and then compares what lies on the host and what runs: binaries, configuration, units and their drop-ins, processes,
/// static pods, images, containers, certificates, kernel settings, and who may do everything in the cluster. Each finding is as approved,
/// drifted (with what was expected and what was found) or unknown (with the reason). Changes nothing. Needs root.
///
/// Hosts that were set up over SSH keep their part of the bundle, so that none has to be given there. With `--config`, every host verifies and
/// compares itself with its part, also its settings with the file, and hosts are compared with each other. A host that does not answer is unknown.
///
/// Exits with 0 when everything is as approved, with 4 when anything has drifted, and with 1 when nothing has drifted and anything is unknown.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The bundle that the hosts were set up from.
    #[command(flatten)]
    pub bundle: OptionalBundleArguments,
    /// Also read the content of images in containerd again and compare it with its digests, and unpacked files with their layers
    ///
    /// Takes as long as reading all images twice.
    #[arg(long)]
    pub deep: bool,
    /// Also list what is as approved; with --output json it always is
    #[arg(long)]
    pub all: bool,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}
