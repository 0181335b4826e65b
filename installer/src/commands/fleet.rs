//! Shared by the commands for several hosts.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::anyhow;

use super::{explain_interrupts, read_spec};
use crate::cli::{ClusterArguments, HostsArguments, OutputFormat};
use crate::config::ClusterSpec;
use crate::failure::Advise;
use crate::fleet::{Fleet, FleetOptions, needs_password, password};

/// The cluster that the command line names, which has hosts.
pub fn read_cluster(arguments: &ClusterArguments) -> anyhow::Result<ClusterSpec> {
    let spec = read_spec(arguments.config.as_deref(), arguments.inventory.as_deref())?;
    if spec.hosts.is_empty() {
        return Err(anyhow!("no hosts are described, and without them the cluster is this host alone"))
            .usage()
            .hint("give the description that the cluster was set up from: `--config cluster.yaml`");
    }
    Ok(spec)
}

/// Options for the work on the hosts of `spec`; asks for a password if one is needed.
pub fn options(arguments: &HostsArguments, output: OutputFormat, spec: &ClusterSpec) -> anyhow::Result<FleetOptions> {
    let password = if needs_password(spec) { Some(password::obtain(arguments.sudo_password_fd)?) } else { None };
    Ok(FleetOptions { parallel: arguments.parallel.get(), output, password })
}

/// From here on an interrupt ends the connections to the hosts.
pub fn end_connections_when_interrupted(fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let masters = fleet.masters();
    let words = "hosts may finish the step that they are at; run the same command again to resume";
    explain_interrupts(words, move || {
        password::restore_terminal();
        // A connection that cannot be closed now ends by itself.
        drop(masters.upgrade().map(|masters| masters.close()));
    })
}

/// Asks on a terminal whether to do what cannot be undone; elsewhere only `--yes` allows it.
pub fn confirm(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| Err(anyhow!("{why}; nothing was changed")).refused();
    if !io::stdin().is_terminal() {
        return refused(&format!("this {what}, and there is no terminal to ask on")).hint("add `--yes`");
    }
    write!(io::stderr(), "This {what}. Type yes to continue: ")?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { refused("not confirmed") }
}

/// The cluster that the command line names; `None` if the command is for this host.
pub fn cluster(arguments: &ClusterArguments) -> anyhow::Result<Option<(ClusterSpec, FleetOptions)>> {
    if arguments.config.is_none() && arguments.inventory.is_none() {
        return Ok(None);
    }
    let spec = super::read_spec(arguments.config.as_deref(), arguments.inventory.as_deref())?;
    if spec.hosts.is_empty() {
        return Ok(None);
    }
    // Events of hosts are shown to people; programs get one document at the end.
    let options = options(&arguments.hosts, OutputFormat::Text, &spec)?;
    Ok(Some((spec, options)))
}
