//! `kinstall remove`.

use std::process::ExitCode;

use super::fleet::{confirm, end_connections_when_interrupted, means, read_cluster};
use crate::cli::{OutputFormat, RemoveArguments};
use crate::fleet::{self, Leaver};

/// Takes a host out of its cluster.
pub fn remove(arguments: &RemoveArguments) -> anyhow::Result<ExitCode> {
    let spec = read_cluster(&arguments.cluster)?;
    confirm(arguments.yes, &format!("takes {} out of the cluster, with all data on it", arguments.host))?;
    let means = means(&arguments.cluster.hosts, OutputFormat::Text, &spec)?;
    let leaver = if arguments.dead { Leaver::Dead } else { Leaver::Alive };
    fleet::remove(&spec, &arguments.host, leaver, &means, end_connections_when_interrupted)?;
    Ok(ExitCode::SUCCESS)
}
