//! Restores a host to what it was.

use anyhow::Context as _;

use crate::cleanup;
use crate::host::{Change, Command, Host};
use crate::plan::STEPS;
use crate::step_progress::StepProgress;
use crate::steps::os_packages::installed_by_kinstall;

/// Undoes the steps, removes what runs left, undoes the ledger, and then forgets it. Each part looks at what is there, so a repeat resumes.
pub fn undo_all(mut host: Host, progress: &dyn StepProgress) -> anyhow::Result<()> {
    let begun = |id: &str, host: &Host| host.ledger().changes().contains(&Change::StepStarted { step: id.to_owned() });
    for (_, step) in STEPS.iter().rev().filter(|(_, step)| begun(step.id(), &host)).collect::<Vec<_>>() {
        progress.detail(&format!("undoing {}", step.id()));
        step.undo(&mut host).with_context(|| format!("while undoing step `{}`", step.id()))?;
    }
    let packages = installed_by_kinstall(&host)?;
    if !packages.is_empty() {
        let names: Vec<_> = packages.iter().map(String::as_str).collect();
        progress.detail(&format!("packages that kinstall has installed stay: {}", names.join(", ")));
    }
    cleanup::clean(&host).context("while removing what ran here")?;
    progress.detail("putting files, settings and services back");
    host.sweep_incomplete().context("while removing what an interrupted run left")?;
    for change in host.ledger().changes().iter().rev() {
        host.undo(change).context("while restoring this host")?;
    }
    // Otherwise units whose files are gone would be shown as failed for ever.
    host.run(&Command::new("systemctl", ["daemon-reload"]))?;
    let units = host.ledger().changes().iter().filter_map(|change| match change {
        Change::Unit { name, .. } => Some(name),
        _ => None,
    });
    for unit in units {
        // If systemd does not know the unit any more, there is nothing to do.
        host.try_run(&Command::new("systemctl", ["reset-failed", unit]))?;
    }
    host.forget().context("while removing the record of changes")
}
