//! `kinstall backup`: one file from which the cluster can be set up again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::HumanBytes;
use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::SigningKey;
use kbundle_format::atomic_file::AtomicFile;
use schemars::JsonSchema;
use serde::Serialize;

use super::{explain_interrupts, require_root, wait_for_lock};
use crate::backup::collect::{self, Collected};
use crate::backup::{BackupList, Seal, keys, write};
use crate::certificates::Standing;
use crate::cli::BackupArguments;
use crate::etcd_snapshot;
use crate::failure::Advise;
use crate::host::Host;
use crate::report::SCHEMA;

/// Where the snapshot lies while it goes into the backup, below kinstall's own directory.
const SNAPSHOT: &str = "etcd/backup.db";
/// How long another kinstall may change the host before a backup is given up.
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
}

pub fn backup(arguments: &BackupArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let seal = Seal::read(&arguments.recipients, arguments.passphrase_file.as_deref())?;
    let key = keys::sign_key(&arguments.sign_key)?;
    refuse_existing(&arguments.out, arguments.force)?;
    require_root()?;
    let lock = wait_for_lock(PATIENCE)?;
    let mut host = Host::local()?;
    let standing = Standing::find(&host)?;
    collect::refuse_unsuitable(&host, &standing.inputs())?;
    // Before there is a snapshot to lose.
    let file = AtomicFile::create(&arguments.out, 0o600).context("cannot write the backup").usage()?;
    explain_interrupts("the backup was not written", || ())?;
    let made = make(&mut host, &standing, file, &Output { arguments, seal, key });
    // It holds what the backup encrypts.
    let removed = host.remove_record(SNAPSHOT);
    let made = made?;
    removed?;
    drop(lock);
    output::result(output, &tell(&made), &made)?;
    Ok(ExitCode::SUCCESS)
}

struct Output<'a> {
    arguments: &'a BackupArguments,
    seal: Seal,
    key: SigningKey,
}

fn make(host: &mut Host, standing: &Standing, file: AtomicFile, output: &Output<'_>) -> anyhow::Result<Made> {
    let path = format!("{}/{SNAPSHOT}", crate::host::ledger::DIRECTORY);
    let snapshot = etcd_snapshot::take(host, standing.inputs().address(), &path)?;
    let Collected { list, files } = collect::collect(host, standing, &snapshot)?;
    let snapshot = host.open(&snapshot.path)?;
    let Output { arguments, seal, key } = output;
    let cannot = || format!("cannot write the backup {}", arguments.out.display());
    let file = write::write(file, &list, &files, snapshot, key, seal).with_context(cannot)?;
    let committed = if arguments.force { file.commit() } else { file.commit_new() };
    committed.with_context(cannot)?;
    let size_bytes = arguments.out.metadata().with_context(cannot)?.len();
    Ok(describe(list, arguments.out.clone(), size_bytes, key))
}

fn refuse_existing(path: &Path, force: bool) -> anyhow::Result<()> {
    if force || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(anyhow!("{} is there already, and is not replaced; nothing was made", path.display()))
        .refused()
        .hint("give another name with `--out`, or replace it with `--force`")
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
