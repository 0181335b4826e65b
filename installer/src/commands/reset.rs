//! `kinstall reset`.

use std::process::ExitCode;

use anyhow::anyhow;

use super::{explain_interrupts, fleet, require_root, take_lock};
use crate::cli::{OutputFormat, ResetArguments};
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::report::{Event, Observer as _, Reporter};
use crate::reset::undo_all;
use crate::step_progress::StepProgress;

pub fn reset(arguments: &ResetArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    if arguments.all {
        return reset_all(arguments, output);
    }
    if arguments.cluster.config.is_some() || arguments.cluster.inventory.is_some() {
        return Err(anyhow!("hosts were named, and without `--all` this host alone is reset")).usage();
    }
    require_root()?;
    let reporter = Reporter::new(output);
    let host = Host::local()?;
    if !host.exists(ledger::DIRECTORY) {
        reporter.event(&Event::NothingToReset);
        return Ok(ExitCode::SUCCESS);
    }
    let name = host.read_text("/proc/sys/kernel/hostname")?.unwrap_or_default();
    fleet::confirm(arguments.yes, &format!("removes the cluster from {} and all data in it", name.trim()))?;
    let lock = take_lock()?;
    explain_interrupts("what was undone stays undone; run `kinstall reset` again to resume", || ())?;
    let lines = Lines(&reporter);
    let progress: &dyn StepProgress = match output {
        OutputFormat::Text => &lines,
        OutputFormat::Json => &reporter,
    };
    undo_all(Host::local()?, progress).hint("what was undone stays undone; run `kinstall reset` again to resume")?;
    drop(lock);
    reporter.event(&Event::HostReset);
    Ok(ExitCode::SUCCESS)
}

/// Resets every host of the cluster that the command line names.
fn reset_all(arguments: &ResetArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let spec = fleet::read_cluster(&arguments.cluster)?;
    let hosts = spec.hosts.len();
    fleet::confirm(arguments.yes, &format!("removes the cluster {} from {hosts} hosts and all data in it", spec.name))?;
    let options = fleet::options(&arguments.cluster.hosts, output, &spec)?;
    crate::fleet::reset_all(&spec, &options, fleet::end_connections_when_interrupted)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints progress in lines for people.
struct Lines<'a>(&'a Reporter);

impl StepProgress for Lines<'_> {
    fn detail(&self, text: &str) {
        self.0.line(text);
    }
}
