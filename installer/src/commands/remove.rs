//! `kinstall remove`.

use std::process::ExitCode;

use super::fleet::{confirm, end_connections_when_interrupted, options, read_cluster};
use crate::cli::{OutputFormat, RemoveArguments};
use crate::fleet::{self, DepartingHost};

/// Takes a host out of its cluster.
pub fn remove(arguments: &RemoveArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let spec = read_cluster(&arguments.cluster)?;
    confirm(arguments.yes, &format!("takes {} out of the cluster, with all data on it", arguments.host))?;
    let options = options(&arguments.cluster.hosts, output, &spec)?;
    let state = if arguments.dead { DepartingHost::Dead } else { DepartingHost::Alive };
    fleet::remove(&spec, &arguments.host, state, &options, end_connections_when_interrupted)?;
    Ok(ExitCode::SUCCESS)
}
