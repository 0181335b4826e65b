//! `kinstall restore`: a cluster from a backup, on a new host or on new hosts.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_cli::OutputFormat;

use super::bundle;
use super::config::read_file;
use super::run::{Assignment, here, hosts};
use crate::backup::keys;
use crate::cli::{RestoreArguments, RunArguments};
use crate::failure::{Advise, Explained};
use crate::restoration::Restoration;

pub fn restore(arguments: &RestoreArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.bundle.trust)?;
    let opener = arguments.bundle.bundle.opening.read()?;
    let opener = opener.expect("clap requires what opens the backup");
    let keys = keys::trusted_keys(&arguments.backup_keys)?;
    let config = arguments.config.as_deref().map(read_file).transpose()?;
    let file = fs::File::open(&arguments.backup).explained().context("cannot read the backup")?;
    let restoration = Restoration::verify(file, opener, keys)?;
    let standing = restoration.spec()?;
    if config.is_none() && !standing.hosts.is_empty() {
        return Err(anyhow!(
            "the backup is of a cluster of several hosts, and the new ones are not described; nothing was changed"
        ))
        .refused()
        .hint(
            "write a cluster.yaml with the same settings and the new hosts, and give it with `--config cluster.yaml`",
        );
    }
    let spec = config.unwrap_or(standing);
    let run = RunArguments {
        prune_data: false,
        bundle: arguments.bundle.clone(),
        config: None,
        inventory: None,
        join: None,
        dry_run: arguments.dry_run,
        prepare: false,
        ignored: arguments.ignored.clone(),
        assert_no_op: false,
        hosts: arguments.hosts.clone(),
    };
    if spec.hosts.is_empty() {
        here::run(&run, output, &trust, &Assignment::restoring(spec, restoration))
    } else {
        hosts::run(&run, output, &trust, &spec, Some(&restoration))
    }
}
