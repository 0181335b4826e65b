//! `kinstall backup`: one file from which the cluster can be set up again, once or regularly.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use indicatif::HumanBytes;
use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::SigningKey;
use kbundle_format::atomic_file::AtomicFile;
use schemars::JsonSchema;
use serde::Serialize;

use super::{explain_interrupts, require_root, take_lock, wait_for_lock};
use crate::backup::collect::{self, Collected};
use crate::backup::schedule::{self, LastBackup, Schedule};
use crate::backup::{BackupList, Seal, keys, series, write};
use crate::cli::{BackupArguments, BackupCommand, MakeArguments, ScheduleArguments};
use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::join_file::Moment;
use crate::report::SCHEMA;
use crate::standing::Standing;
use crate::steps::etcd::snapshot;

/// Where the snapshot is while it goes into the backup, below kinstall's own directory.
const SNAPSHOT: &str = "etcd/backup.db";
/// How long to wait for another kinstall that changes the host before the backup fails.
const PATIENCE: Duration = Duration::from_mins(10);

/// A backup that was made. Nothing in it is secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Backup")]
pub struct Made {
    schema: u32,
    /// The file.
    file: PathBuf,
    /// Its size.
    size_bytes: u64,
    /// The cluster's name.
    cluster: String,
    /// The host that it was made on.
    host: String,
    /// When it was begun, by the host's clock.
    created: String,
    /// The Kubernetes release.
    kubernetes_version: String,
    /// The list of the bundle that a restoration needs.
    bundle: String,
    /// The key that signed it.
    signer: String,
    /// Older backups in the folder that were deleted.
    deleted: Vec<PathBuf>,
}

/// Regular backups, as they were asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BackupSchedule")]
pub struct Scheduled {
    schema: u32,
    /// The folder.
    folder: PathBuf,
    /// Seconds between two backups.
    every_seconds: u64,
    /// How many stay.
    keep: usize,
    /// The timer of systemd.
    timer: &'static str,
}

/// The end of regular backups.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BackupUnscheduled")]
pub struct Unscheduled {
    schema: u32,
    /// Whether there was a schedule.
    stopped: bool,
}

pub fn backup(arguments: &BackupArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Some(BackupCommand::Schedule(arguments)) => begin_schedule(arguments, output),
        Some(BackupCommand::Unschedule) => stop_schedule(output),
        None => make(&arguments.make, output),
    }
}

fn make(arguments: &MakeArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let seal = arguments.sealing.seal()?;
    let key = keys::sign_key(arguments.sealing.sign_key())?;
    if let Some(path) = &arguments.out {
        refuse_existing(path, arguments.force)?;
    }
    require_root()?;
    let lock = wait_for_lock(PATIENCE)?;
    let mut host = Host::local()?;
    let standing = Standing::find(&host)?;
    collect::refuse_unsuitable(&host, &standing.inputs())?;
    let created = Moment::now();
    let cluster = standing.inputs().spec.name.to_string();
    let path = match (&arguments.out, &arguments.to) {
        (Some(path), _) => path.clone(),
        (None, folder) => folder.clone().unwrap_or_default().join(series::name(&cluster, created)),
    };
    // Before there is a snapshot that could be lost.
    let file = AtomicFile::create(&path, 0o600).context("cannot write the backup").usage()?;
    explain_interrupts("the backup was not written", || ())?;
    let made = Making { standing: &standing, seal, key, created, force: arguments.force }.run(&mut host, file, &path);
    // The snapshot holds in clear what the backup encrypts.
    let removed = host.remove_record(SNAPSHOT);
    let mut made = made?;
    removed?;
    if let Some(folder) = &arguments.to {
        schedule::note(&host, &LastBackup { file: path, created: created.to_string() })?;
        made.deleted = delete_surplus(folder, &cluster, arguments.keep.get())?;
    }
    drop(lock);
    output::result(output, &tell(&made), &made)?;
    Ok(ExitCode::SUCCESS)
}

/// A backup in the making.
struct Making<'a> {
    standing: &'a Standing,
    seal: Seal,
    key: SigningKey,
    created: Moment,
    force: bool,
}

impl Making<'_> {
    fn run(self, host: &mut Host, file: AtomicFile, path: &Path) -> anyhow::Result<Made> {
        let snapshot = format!("{}/{SNAPSHOT}", ledger::DIRECTORY);
        let snapshot = snapshot::take(host, self.standing.inputs().address(), &snapshot)?;
        let Collected { list, files } = collect::collect(host, self.standing, &snapshot, self.created)?;
        let snapshot = host.open(&snapshot.path)?;
        let cannot = || format!("cannot write the backup {}", path.display());
        let file = write::write(file, &list, &files, snapshot, &self.key, &self.seal).with_context(cannot)?;
        let committed = if self.force { file.commit() } else { file.commit_new() };
        committed.with_context(cannot)?;
        let size_bytes = fs::metadata(path).with_context(cannot)?.len();
        Ok(describe(list, path.to_owned(), size_bytes, &self.key))
    }
}

/// Deletes the cluster's backups in the folder, except the newest.
fn delete_surplus(folder: &Path, cluster: &str, keep: usize) -> anyhow::Result<Vec<PathBuf>> {
    let deleting = "the backup was written, and older ones could not be deleted";
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).context(deleting)? {
        names.push(entry.context(deleting)?.file_name().to_string_lossy().into_owned());
    }
    let surplus: Vec<_> = series::surplus(&names, cluster, keep).into_iter().map(|name| folder.join(name)).collect();
    for path in &surplus {
        fs::remove_file(path).context(deleting)?;
    }
    Ok(surplus)
}

fn refuse_existing(path: &Path, force: bool) -> anyhow::Result<()> {
    if force || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(anyhow!("{} is there already, and is not replaced; nothing was made", path.display()))
        .refused()
        .hint("give another name with `--out`, or replace it with `--force`")
}

fn begin_schedule(arguments: &ScheduleArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let sealing = &arguments.sealing;
    // The timer's inputs are checked while somebody is there to read the message.
    sealing.seal()?;
    keys::sign_key(sealing.sign_key())?;
    if !arguments.to.is_dir() {
        return Err(anyhow!("{} is not a folder", arguments.to.display()))
            .usage()
            .hint(format!("make it: `mkdir -m 700 {}`", arguments.to.display()));
    }
    require_root()?;
    let lock = take_lock()?;
    let mut host = Host::local()?;
    collect::refuse_unsuitable(&host, &Standing::find(&host)?.inputs())?;
    let schedule = Schedule {
        folder: arguments.to.clone(),
        every: arguments.every.0,
        keep: arguments.keep.get(),
        recipients: sealing.recipients.clone(),
        passphrase_file: sealing.passphrase_file.clone(),
        sign_key: sealing.sign_key().to_owned(),
    };
    schedule.start(&mut host)?;
    drop(lock);
    let scheduled = Scheduled {
        schema: SCHEMA,
        folder: schedule.folder,
        every_seconds: schedule.every.as_secs(),
        keep: schedule.keep,
        timer: schedule::TIMER,
    };
    let text = format!(
        "{} backs the cluster up into {} every {} s, for the first time in a minute; `kinstall status` shows the last backup\n",
        scheduled.timer,
        scheduled.folder.display(),
        scheduled.every_seconds
    );
    output::result(output, &text, &scheduled)?;
    Ok(ExitCode::SUCCESS)
}

fn stop_schedule(output: OutputFormat) -> anyhow::Result<ExitCode> {
    require_root()?;
    let _lock = take_lock()?;
    let stopped = schedule::stop(&mut Host::local()?)?;
    let text = if stopped {
        "regular backups are stopped; those in the folder stay\n"
    } else {
        "unchanged: none were scheduled\n"
    };
    output::result(output, text, &Unscheduled { schema: SCHEMA, stopped })?;
    Ok(ExitCode::SUCCESS)
}

fn describe(list: BackupList, file: PathBuf, size_bytes: u64, key: &SigningKey) -> Made {
    Made {
        schema: SCHEMA,
        file,
        size_bytes,
        cluster: list.cluster,
        host: list.host,
        created: list.created.to_string(),
        kubernetes_version: list.kubernetes_version.to_string(),
        bundle: list.bundle.to_string(),
        signer: key.verifying_key().id().to_string(),
        deleted: Vec::new(),
    }
}

fn tell(made: &Made) -> String {
    let Made { file, size_bytes, cluster, created, kubernetes_version, bundle, signer, .. } = made;
    format!(
        "{} has {cluster} as it was at {created}: {}, Kubernetes {kubernetes_version}\n\
         a restoration needs the bundle with list {bundle} and the public half of the key {signer}\n\
         copy it to another place: on this host it is lost with the host\n",
        file.display(),
        HumanBytes(*size_bytes),
    )
}
