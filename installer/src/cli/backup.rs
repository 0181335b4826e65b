//! `kinstall backup` and `kinstall restore`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use kbundle_commands::sealing::{Recipient, seal};
use kbundle_format::sealed::Seal;

use super::token::duration;
use super::{BundleArguments, HostsArguments};
use crate::preflight::CheckId;

/// A backup of a large cluster takes minutes.
const SHORTEST: Duration = Duration::from_mins(10);
/// A longer interval is hardly a schedule.
const LONGEST: Duration = Duration::from_hours(30 * 24);

pub const EXAMPLES: &str = "\
Examples:
  kinstall backup --out plant-7.backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --sign-key backup.key
  kinstall backup --out plant-7.backup --passphrase-file /root/passphrase --sign-key backup.key";

const SCHEDULE_EXAMPLES: &str = "\
Examples:
  kinstall backup schedule --to /srv/backups --every 6h --keep 14 --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --sign-key /root/backup.key";

pub const RESTORE_EXAMPLES: &str = "\
Examples:
  kinstall restore plant-7.backup k8s-1.36.3-amd64.tar.zst --key signing.pub --backup-key backup.pub --identity identity.txt
  kinstall restore plant-7.backup k8s-1.36.3-amd64.tar.zst --key signing.pub --backup-key backup.pub --passphrase-file /root/passphrase --dry-run
  kinstall restore plant-7.backup k8s-1.36.3-amd64.tar.zst --key signing.pub --backup-key backup.pub --identity identity.txt --config cluster.yaml";

/// Write a backup of the cluster: etcd, the keys of the cluster, and its description
///
/// On a host that is a control plane and a member of etcd, as root. The file holds every key and Secret of the cluster, so it is
/// always encrypted: to age recipients, or to a passphrase. It is signed as well, since anyone can encrypt to a recipient. It holds no
/// bundle: keep the one that the cluster was set up from.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackupArguments {
    /// What else to do with backups.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// What to write.
    #[command(flatten)]
    pub make: MakeArguments,
}

/// What else to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up into a folder regularly, by a systemd timer
    ///
    /// The folder may be a mounted share: the timer waits for its mount. The newest backups of the cluster stay; older ones are deleted
    /// once a new one is complete. `kinstall status` shows the last one, and reports a failure until the next success. Another call
    /// replaces the schedule.
    #[command(after_long_help = SCHEDULE_EXAMPLES)]
    Schedule(ScheduleArguments),
    /// Stop regular backups; those that were written stay
    #[command(after_long_help = "Examples:\n  kinstall backup unschedule")]
    Unschedule,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("destination").required(true).args(["out", "to"]))]
pub struct MakeArguments {
    /// Where to write the backup
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write it into this folder, named after the cluster and the time, and delete the oldest backups there
    #[arg(long, value_name = "FOLDER", conflicts_with = "force")]
    pub to: Option<PathBuf>,
    /// With `--to`: how many backups of the cluster stay in the folder
    #[arg(long, value_name = "N", default_value = "14")]
    pub keep: NonZeroUsize,
    /// Replace existing files
    #[arg(long)]
    pub force: bool,
    /// Who can open it, and who signs it.
    #[command(flatten)]
    pub sealing: SealingArguments,
}

/// Arguments of `backup schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArguments {
    /// Write backups into this folder
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// Time between two backups: a number and `m`, `h` or `d`; at least 10m
    #[arg(long, value_name = "TIME")]
    pub every: Interval,
    /// How many backups of the cluster stay in the folder
    #[arg(long, value_name = "N", default_value = "14")]
    pub keep: NonZeroUsize,
    /// Who can open them, and who signs them.
    #[command(flatten)]
    pub sealing: SealingArguments,
}

/// Who can open a backup, and who signs it.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("readers").required(true).args(["recipients", "passphrase_file"]))]
pub struct SealingArguments {
    /// Encrypt to this age recipient, `age1…`; repeatable
    ///
    /// Each of them can open the backup alone, with its identity. `age-keygen` makes both.
    #[arg(long = "recipient", value_name = "RECIPIENT", conflicts_with = "passphrase_file")]
    pub recipients: Vec<Recipient>,
    /// Encrypt to the passphrase in the first line of this file, of at least 12 characters
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Sign with this private key, ECDSA P-256 or Ed25519 in PEM
    ///
    /// A key of its own for backups, not the one that signs bundles: it lies on this host. `kinstall restore` asks for its public half.
    // `required` does not mean always present: a subcommand negates it.
    #[arg(long, value_name = "FILE", required = true)]
    pub sign_key: Option<PathBuf>,
}

impl SealingArguments {
    /// Who can open a backup.
    pub fn seal(&self) -> anyhow::Result<Seal> {
        seal(&self.recipients, self.passphrase_file.as_deref())
    }

    /// The key that signs.
    #[must_use]
    pub fn sign_key(&self) -> &Path {
        self.sign_key.as_deref().expect("clap requires it where a backup is made")
    }
}

/// Set up the cluster of a backup on this host, or on the hosts of cluster.yaml
///
/// Verifies all of the backup and of the bundle first, and refuses what is damaged, signed by others or of another bundle before
/// anything is changed. Then it sets up this host, or the new hosts that `--config` describes, with the keys and the data of the backup.
/// They may have other names and addresses. Nodes that are gone, their leases and old tokens are removed. If it is interrupted, run it
/// again to finish.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("opener").required(true).args(["identities", "passphrase_file"]))]
pub struct RestoreArguments {
    /// The backup
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The bundle that the cluster was set up from. What opens it where it is sealed opens the backup, too.
    #[command(flatten)]
    pub bundle: BundleArguments,
    /// Trust backups that this public key signed; repeatable
    #[arg(long = "backup-key", value_name = "FILE", required = true)]
    pub backup_keys: Vec<PathBuf>,
    /// Read the cluster's description from this file (cluster.yaml) instead of the backup, with the new hosts or `api.address`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Verify the backup and the bundle, print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Continue although this preflight check rejects; repeatable
    #[arg(long = "ignore", value_name = "CHECK")]
    pub ignored: Vec<CheckId>,
    /// How hosts are worked on.
    #[command(flatten)]
    pub hosts: HostsArguments,
}

/// How often a backup is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text) {
            None => Err("it is a number and `m`, `h` or `d`, such as `6h`".to_owned()),
            Some(time) if time < SHORTEST => Err("it is at least ten minutes, `10m`".to_owned()),
            Some(time) if time > LONGEST => Err("it is at most thirty days, `30d`".to_owned()),
            Some(time) => Ok(Self(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn backups_are_made_at_sensible_intervals() {
        assert_eq!("6h".parse(), Ok(Interval(Duration::from_hours(6))));
        for wrong in ["", "6", "h", "9m", "31d", "-1h"] {
            assert!(wrong.parse::<Interval>().is_err(), "{wrong}");
        }
    }

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn a_backup_is_made_or_scheduled_and_always_signed() {
        const SEALING: &str = "--passphrase-file p --sign-key k";
        let Command::Backup(made) = parsed(&format!("kinstall backup --out b {SEALING}")).unwrap() else { panic!() };
        assert!(made.command.is_none());
        assert_eq!(made.make.out.as_deref(), Some("b".as_ref()));
        assert_eq!(made.make.sealing.sign_key(), "k");
        let schedule = format!("kinstall backup schedule --to f --every 6h {SEALING}");
        let Command::Backup(scheduled) = parsed(&schedule).unwrap() else { panic!() };
        assert!(scheduled.command.is_some());
        for lacking in
            ["kinstall backup --out b --passphrase-file p", "kinstall backup --out b --sign-key k", "kinstall backup"]
        {
            assert!(parsed(lacking).is_err(), "{lacking}");
        }
        assert!(parsed("kinstall backup unschedule").is_ok());
    }
}
