//! `kbundle check`

use std::path::PathBuf;

use clap::Args;
use kbundle_commands::arguments::{BundleArgs, TrustArgs};

/// Check whether a bundle has what a cluster needs
///
/// Compares the signed list with cluster.yaml: architectures of the hosts (`hosts[].arch`), programs, images of Kubernetes, pod network,
/// load balancer, add-ons, charts, and settings that the bundle's Kubernetes does not accept. Lists everything that is missing, with the
/// flag of `kbundle build` and the key of bundle.yaml that add it. Reads only the list. Exit code: 0 if nothing is missing, 3 otherwise.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle check k8s-1.25.2-amd64.tar.zst --cluster cluster.yaml --key signing.pub"
)]
pub struct CheckArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// The cluster, as kinstall reads it
    #[arg(long, value_name = "CLUSTER.YAML")]
    pub cluster: PathBuf,
    #[command(flatten)]
    pub trust: TrustArgs,
}
