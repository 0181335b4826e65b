//! `kinstall run`.

use std::path::PathBuf;

use clap::Args;

use super::{BundleArguments, HostsArguments};
use crate::addon_data::AddonData;
use crate::preflight::CheckId;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RunArguments {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArguments,
    /// Read the cluster's description from this file (cluster.yaml); without it, every setting has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take the cluster from Kubespray's inventory, a file or a folder; what `--config` says beside it wins
    #[arg(long, value_name = "PATH")]
    pub inventory: Option<PathBuf>,
    /// Join the cluster of this join file as a worker; `-` is standard input
    ///
    /// `kinstall token create` on a control plane makes it. It is needed once: the host keeps its content.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "inventory"])]
    pub join: Option<PathBuf>,
    /// Print the plan and change nothing
    ///
    /// Verifies the bundle, runs the checks and lists the steps in order, each with its reason. Exits with 0 also when there is
    /// nothing to do.
    #[arg(long)]
    pub dry_run: bool,
    /// Make the hosts fit: open the ports of their roles in their firewalls, and what else is in the way
    ///
    /// In firewalld, ufw or plain rules of nft and iptables; only what the roles need, and to the hosts of the cluster alone where
    /// others need no access. `NetworkManager` is kept off the interfaces of pods, and files that undo kernel settings at boot are
    /// edited. `--dry-run` shows it, and `kinstall reset` takes it back. Same as `host-preparation: enabled` in cluster.yaml.
    #[arg(long)]
    pub prepare: bool,
    /// Delete the data of add-ons that cluster.yaml no longer lists, too
    ///
    /// Without it their volume claims stay, and so do namespaces and kinds of objects that others use as well; kinstall keeps a list of
    /// them in the cluster, and a later run with this option deletes them.
    #[arg(long)]
    pub prune_data: bool,
    /// Continue although this preflight check rejects; repeatable
    #[arg(long = "ignore", value_name = "CHECK")]
    pub ignored: Vec<CheckId>,
    /// Fail when any step changes something
    ///
    /// For tests and for monitoring a cluster: the steps still run, and the error names them.
    #[arg(long)]
    pub assert_no_op: bool,
    /// How hosts are worked on.
    #[command(flatten)]
    pub hosts: HostsArguments,
}

impl RunArguments {
    /// What happens to the data of add-ons that go.
    #[must_use]
    pub fn addon_data(&self) -> AddonData {
        if self.prune_data { AddonData::Deleted } else { AddonData::Kept }
    }
}
