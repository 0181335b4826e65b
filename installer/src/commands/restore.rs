//! `kinstall restore`: a cluster from a backup, on a new host.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_cli::OutputFormat;

use super::bundle;
use super::config::read_file;
use super::run::{Assignment, here};
use crate::backup::keys;
use crate::cli::{HostsArguments, RestoreArguments, RunArguments};
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
    let spec = restoration.spec()?;
    if !spec.hosts.is_empty() {
        return Err(anyhow!(
            "the backup is of a cluster of several hosts, which kinstall does not restore yet; nothing was changed"
        ))
        .refused()
        .hint("`kinstall manual how-to/backup` says how to take etcd's snapshot and the keys out of it by hand");
    }
    let spec = config.unwrap_or(spec);
    let assignment = Assignment::restoring(spec, restoration);
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
        hosts: HostsArguments { parallel: NonZeroUsize::MIN, sudo_password_fd: None },
    };
    here::run(&run, output, &trust, &assignment)
}
