//! `kinstall reset`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::{explain_interrupts, require_root, take_lock};
use crate::cleanup;
use crate::cli::{OutputFormat, ResetArguments};
use crate::failure::Advise;
use crate::host::{Change, Command, Host};
use crate::plan::STEPS;
use crate::report::Reporter;

pub fn reset(arguments: &ResetArguments) -> anyhow::Result<ExitCode> {
    require_root()?;
    let reporter = Reporter::new(OutputFormat::Text);
    let host = Host::local()?;
    if !host.ledger().directory().exists() {
        reporter.line("nothing to do: kinstall has not changed this host");
        return Ok(ExitCode::SUCCESS);
    }
    confirm(arguments, &host)?;
    let lock = take_lock()?;
    explain_interrupts("what was undone stays so; run `kinstall reset` again to go on")?;
    undo_all(Host::local()?, &reporter).hint("what was undone stays so; run `kinstall reset` again to go on")?;
    drop(lock);
    reporter.line("this host is what it was before kinstall");
    Ok(ExitCode::SUCCESS)
}

/// Asks on a terminal; anywhere else only `--yes` will do.
fn confirm(arguments: &ResetArguments, host: &Host) -> anyhow::Result<()> {
    if arguments.yes {
        return Ok(());
    }
    let refused = |what: &str| Err(anyhow!("{what}; nothing was changed")).refused();
    if !io::stdin().is_terminal() {
        return refused("a reset removes the cluster and its data, and there is no terminal to ask on")
            .hint("add `--yes`");
    }
    let name = host.read_text("/proc/sys/kernel/hostname")?.unwrap_or_default();
    write!(io::stderr(), "This removes the cluster from {} and all data in it. Type yes to go on: ", name.trim())?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { refused("not confirmed") }
}

/// Undoes steps, what runs left, the ledger; then forgets. Each part looks at what is there, so that a repeat goes on.
fn undo_all(mut host: Host, reporter: &Reporter) -> anyhow::Result<()> {
    let begun = |id: &str, host: &Host| host.ledger().changes().contains(&Change::StepStarted { step: id.to_owned() });
    for (_, step) in STEPS.iter().rev().filter(|(_, step)| begun(step.id(), &host)).collect::<Vec<_>>() {
        reporter.line(&format!("undoing {}", step.id()));
        step.undo(&mut host).with_context(|| format!("while undoing step `{}`", step.id()))?;
    }
    cleanup::clean(&host).context("while removing what ran here")?;
    reporter.line("putting files, settings and services back");
    host.sweep_incomplete().context("while removing what a run that was cut off left")?;
    for change in host.ledger().changes().iter().rev() {
        host.undo(change).context("while putting this host back to what it was")?;
    }
    // Units whose files are gone now would be shown as failed for ever.
    host.run(&Command::new("systemctl", ["daemon-reload"]))?;
    let units = host.ledger().changes().iter().filter_map(|change| match change {
        Change::Unit { name, .. } => Some(name),
        _ => None,
    });
    for unit in units {
        // Where systemd does not know it any more, there is nothing to forget.
        host.try_run(&Command::new("systemctl", ["reset-failed", unit]))?;
    }
    host.forget().context("while removing the record of changes")
}
