//! `kinstall recover`.

use clap::Args;

use super::ClusterArguments;
use crate::config::DnsName;

pub(super) const EXAMPLES: &str = "\
Examples:
  kinstall recover --config cluster.yaml --lost cp2 --lost cp3 --dry-run
  kinstall recover --config cluster.yaml --lost cp2 --lost cp3
  kinstall recover --config cluster.yaml --survivor cp1 --lost cp2 --lost cp3 --yes
  kinstall recover --config cluster.yaml";

/// Restart etcd from one member that is left, after most members are lost
///
/// Stops the control planes that are there, keeps the data of the member that is left together with a snapshot of them, and starts etcd from that with
/// this member alone. Other members that are there join it one after another; their former data are kept beside. Refuses while a
/// majority has its data. Where etcd runs, members come back that it does not have any more. Needs no bundle. If it is interrupted, run it
/// again to finish.
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// Go on with the data of this host's member, by its name in cluster.yaml; without it, with the newest data
    #[arg(long, value_name = "HOST")]
    pub survivor: Option<DnsName>,
    /// Confirm that this host is off and stays off, by its name in cluster.yaml; repeatable
    ///
    /// Required for each control plane and member of etcd that is not reached: where lost hosts run without being reached, they may serve a
    /// cluster of their own. A host that is not gone for good joins with a later `kinstall recover`.
    #[arg(long, value_name = "HOST")]
    pub lost: Vec<DnsName>,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
