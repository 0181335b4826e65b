//! One module for each command. It takes the parsed command line and returns the exit code.

mod agent;
mod audit;
mod backup;
mod bundle;
mod certs;
mod config;
mod documents;
mod fleet;
mod images;
mod kubeconfig;
mod manual;
mod preflight;
mod recover;
mod remove;
mod reset;
mod restore;
mod rollback;
mod run;
mod secret_file;
mod status;
mod support;
mod token;
mod upgrade;
mod user;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kbundle_cli::{completion, documentation};
use kbundle_commands::{extract, inspect, join, repair, verify};
use nix::unistd::geteuid;

pub use self::documents::documents;
use crate::cli::{Cli, Command};
use crate::config::ClusterSpec;
use crate::failure::Advise;
use crate::lock::{self, Lock, LockError};

/// Does what the command line says.
pub fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    let output = cli.common.output;
    match &cli.command {
        Command::Run(arguments) => run::run(arguments, output),
        Command::Upgrade(arguments) => upgrade::upgrade(arguments, output),
        Command::Rollback(arguments) => rollback::rollback(arguments, output),
        Command::Verify(arguments) => done(verify::run(arguments, output)),
        Command::Inspect(arguments) => done(inspect::run(arguments, output)),
        Command::Extract(arguments) => done(extract::run(arguments, output)),
        Command::Join(arguments) => done(join::run(arguments, output)),
        Command::Repair(arguments) => done(repair::run(arguments, output)),
        Command::Preflight(arguments) => preflight::preflight(arguments, output),
        Command::Status(arguments) => status::status(arguments, output),
        Command::Audit(arguments) => audit::audit(arguments, output),
        Command::Reset(arguments) => reset::reset(arguments, output),
        Command::Remove(arguments) => remove::remove(arguments, output),
        Command::Token(command) => token::token(command, output),
        Command::Certs(command) => certs::certs(command, output),
        Command::Kubeconfig(arguments) => kubeconfig::kubeconfig(arguments, output),
        Command::User(command) => user::user(command, output),
        Command::Backup(arguments) => backup::backup(arguments, output),
        Command::Restore(arguments) => restore::restore(arguments, output),
        Command::Recover(arguments) => recover::recover(arguments, output),
        Command::Support(arguments) => support::support(arguments, output),
        Command::Config(command) => config::config(command, output),
        Command::Agent => agent::agent(),
        Command::Images(command) => images::images(*command, output),
        Command::Manual(arguments) => manual::manual(arguments, output),
        Command::Completion(arguments) => done(completion::completion::<Cli>(*arguments, output)),
        Command::Man(arguments) => done(documentation::man::<Cli>(arguments, output)),
    }
}

/// The exit code of a command with a single code for success.
fn done(result: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// Reads `cluster.yaml`, or Kubespray's inventory with a `cluster.yaml` beside it or none, or takes the defaults.
fn read_spec(config: Option<&Path>, inventory: Option<&Path>) -> anyhow::Result<ClusterSpec> {
    let Some(inventory) = inventory else {
        return config.map_or_else(|| Ok(ClusterSpec::default()), config::read_file);
    };
    config::read_inventory(inventory, config)
}

fn require_root() -> anyhow::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(anyhow!("only root can change this host; nothing was changed")).refused().hint("run it again with sudo")
}

fn take_lock() -> anyhow::Result<Lock> {
    wait_for_lock(Duration::ZERO)
}

/// Takes the lock when it is free within `patience`.
fn wait_for_lock(patience: Duration) -> anyhow::Result<Lock> {
    Lock::take_within(Path::new(lock::PATH), patience, |_| ControlFlow::Continue(())).map_err(|error| {
        let held = matches!(error, LockError::Held { .. });
        let result: anyhow::Result<()> = Err(error).refused();
        let result = if held { result.hint("wait until it has ended") } else { result };
        result.expect_err("made from an error")
    })
}

/// From now on an interrupt prints `words` and does `last` before it ends the program.
fn explain_interrupts(words: &'static str, last: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .context("cannot listen for interrupts")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            use std::io::Write as _;
            // If standard error is closed, nobody can be told.
            drop(writeln!(std::io::stderr(), "\ninterrupted: {words}"));
            last();
            // Ends with the signal's default action, so that the caller sees which signal ended the program.
            drop(signal_hook::low_level::emulate_default_handler(signal));
        }
    });
    Ok(())
}
