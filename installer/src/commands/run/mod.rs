//! `kinstall run`: on this host, or on the hosts of cluster.yaml.

mod assignment;
pub(super) mod here;
pub(super) mod hosts;

use std::process::ExitCode;

use anyhow::anyhow;

use super::{bundle, read_spec};
use crate::cli::{OutputFormat, RunArguments};
pub(super) use assignment::Assignment;

/// Does what the command line says.
pub fn run(arguments: &RunArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.bundle.trust)?;
    let prepared = |assignment: Assignment| if arguments.prepare { assignment.prepared() } else { assignment };
    if let Some(path) = &arguments.join {
        return here::run(arguments, output, &trust, &prepared(Assignment::joining(path)?));
    }
    if arguments.config.is_none()
        && arguments.inventory.is_none()
        && let Some(assignment) = Assignment::recorded()?
    {
        return here::run(arguments, output, &trust, &prepared(assignment));
    }
    let spec =
        prepared(Assignment::alone(read_spec(arguments.config.as_deref(), arguments.inventory.as_deref())?)).spec;
    if spec.hosts.is_empty() {
        here::run(arguments, output, &trust, &Assignment::alone(spec))
    } else {
        hosts::run(arguments, output, &trust, &spec, None)
    }
}

/// For `--assert-no-op`, when something was changed.
fn changed_something(what: &str) -> anyhow::Error {
    anyhow!("steps changed something, and `--assert-no-op` says that none should: {what}")
}
