//! `kinstall reset`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::anyhow;

use super::{explain_interrupts, require_root, take_lock};
use crate::cli::{OutputFormat, ResetArguments};
use crate::failure::Advise;
use crate::host::Host;
use crate::report::Reporter;
use crate::reset::undo_all;
use crate::steps::Progress;

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
    explain_interrupts("what was undone stays so; run `kinstall reset` again to go on", || ())?;
    undo_all(Host::local()?, &Lines(&reporter))
        .hint("what was undone stays so; run `kinstall reset` again to go on")?;
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

/// Tells what is done in lines.
struct Lines<'a>(&'a Reporter);

impl Progress for Lines<'_> {
    fn detail(&self, text: &str) {
        self.0.line(text);
    }
}
