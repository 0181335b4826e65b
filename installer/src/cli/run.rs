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
    /// Take the cluster from Kubespray's inventory, a file or a folder; settings in `--config` win
    #[arg(long, value_name = "PATH")]
    pub inventory: Option<PathBuf>,
    /// Join the cluster of this join file as a worker; `-` is standard input
    ///
    /// `kinstall token create` on a control plane writes it. It is needed once: the host keeps its content.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "inventory"])]
    pub join: Option<PathBuf>,
    /// Print the plan and change nothing
    ///
    /// Verifies the bundle, runs the preflight checks and lists the steps in order, each with its reason. Exits with 0 also if there is
    /// nothing to do.
    #[arg(long)]
    pub dry_run: bool,
    /// Prepare the hosts: open the ports of their roles in their firewalls, and change other settings that are in the way
    ///
    /// Opens only the ports that the roles need, in firewalld, ufw or plain rules of nft and iptables, and only to hosts of the cluster
    /// unless others need them. Keeps NetworkManager off the interfaces of pods, and edits files that undo kernel settings at boot.
    /// `--dry-run` shows the changes, and `kinstall reset` undoes them. Same as `host-preparation: enabled` in cluster.yaml.
    #[arg(long)]
    pub prepare: bool,
    /// Also delete the data of add-ons that cluster.yaml no longer lists
    ///
    /// Without it, their volume claims stay, and so do namespaces and custom resource definitions that others use. kinstall keeps a list of
    /// them in the cluster; a later run with this option deletes them.
    #[arg(long)]
    pub prune_data: bool,
    /// Continue although this preflight check rejects; repeatable
    #[arg(long = "ignore", value_name = "CHECK")]
    pub ignored: Vec<CheckId>,
    /// Fail when any step changes something
    ///
    /// For tests and monitoring. The steps still run, and the error names them.
    #[arg(long)]
    pub assert_no_op: bool,
    /// How hosts are worked on.
    #[command(flatten)]
    pub hosts: HostsArguments,
}

impl RunArguments {
    /// What happens to the data of add-ons that leave the cluster.
    #[must_use]
    pub fn addon_data(&self) -> AddonData {
        if self.prune_data { AddonData::Deleted } else { AddonData::Kept }
    }
}
