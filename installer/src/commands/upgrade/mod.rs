//! `kinstall upgrade`: of this host's cluster, or of the hosts of cluster.yaml.

mod here;
mod hosts;

use std::process::ExitCode;

use super::bundle;
use super::fleet::read_cluster;
use crate::cli::{OutputFormat, UpgradeArguments};

/// Does what the command line says.
pub fn upgrade(arguments: &UpgradeArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.bundle.trust)?;
    if arguments.cluster.config.is_none() && arguments.cluster.inventory.is_none() {
        return here::upgrade(arguments, output, &trust);
    }
    hosts::upgrade(arguments, output, &trust, &read_cluster(&arguments.cluster)?)
}
