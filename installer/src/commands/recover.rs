//! `kinstall recover`.

use std::process::ExitCode;

use super::fleet::{confirm, end_connections_when_interrupted, options, read_cluster};
use crate::cli::{OutputFormat, RecoverArguments};
use crate::fleet::{RecoveryRequest, lead_recovery};
use crate::report::print_text;

const WHAT: &str = "starts etcd anew from the data of one member: what only lost members have is lost";

/// Brings etcd back after most of its members are lost.
pub fn recover(arguments: &RecoverArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let spec = read_cluster(&arguments.cluster)?;
    if !arguments.dry_run {
        confirm(arguments.yes, WHAT)?;
    }
    let options = options(&arguments.cluster.hosts, output, &spec)?;
    let (survivor, lost, dry_run) = (arguments.survivor.as_ref(), arguments.lost.as_slice(), arguments.dry_run);
    let request = RecoveryRequest { spec: &spec, survivor, lost, dry_run };
    lead_recovery(&request, &options, end_connections_when_interrupted)?;
    if output == OutputFormat::Text && !dry_run {
        print_text(&next_steps(arguments))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn next_steps(arguments: &RecoverArguments) -> String {
    let config = arguments.cluster.config.as_deref().unwrap_or("cluster.yaml".as_ref()).display();
    let remove =
        |host| format!("  kinstall remove {host} --dead --config {config}     where {host} is gone for good\n");
    let removals: String = arguments.lost.iter().map(remove).collect();
    let next = if removals.is_empty() { String::new() } else { format!(" Next:\n{removals}") };
    format!("\netcd does its work again.{next}\n")
}
