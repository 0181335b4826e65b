//! Regular backups: a systemd timer that runs `kinstall backup --to`, and what is known about the last backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kbundle_commands::sealing::Recipient;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Advise;
use crate::host::{Host, ledger};
use crate::template::render;

/// The timer.
pub const TIMER: &str = "kinstall-backup.timer";
const SERVICE: &str = "kinstall-backup.service";
const TIMER_PATH: &str = "/etc/systemd/system/kinstall-backup.timer";
const SERVICE_PATH: &str = "/etc/systemd/system/kinstall-backup.service";
/// The record of the last backup, below kinstall's own directory.
const LAST: &str = "last-backup.json";

/// A schedule: what is backed up, how often, and for whom.
pub struct Schedule {
    /// The folder that the backups are written to.
    pub folder: PathBuf,
    /// The time between two backups.
    pub every: Duration,
    /// How many backups stay in the folder.
    pub keep: usize,
    /// Who can open them.
    pub recipients: Vec<Recipient>,
    /// The file with a passphrase that opens them, instead of recipients.
    pub passphrase_file: Option<PathBuf>,
    /// The key that signs them.
    pub sign_key: PathBuf,
}

/// A backup in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LastBackup {
    /// The file.
    pub file: PathBuf,
    /// When it was begun, by the host's clock.
    pub created: String,
}

/// How regular backups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledBackups {
    /// Whether the last one that the timer began failed.
    pub failed: bool,
    /// The last one that was written into a folder; absent where there was none.
    pub last: Option<LastBackup>,
}

impl Schedule {
    /// Puts the timer in place and starts it.
    pub fn start(&self, host: &mut Host) -> anyhow::Result<()> {
        let service = self.service()?;
        host.write_file(SERVICE_PATH, service.as_bytes(), 0o644)?;
        host.write_file(TIMER_PATH, self.timer().as_bytes(), 0o644)?;
        Ok(host.restart_unit(TIMER)?)
    }

    fn service(&self) -> anyhow::Result<String> {
        let template = include_str!("../../../manifests/templates/kinstall-backup.service");
        let mut sealing: Vec<_> =
            self.recipients.iter().map(|recipient| format!("--recipient {}", recipient.0)).collect();
        if let Some(path) = &self.passphrase_file {
            sealing.push(format!("--passphrase-file {}", word(path)?));
        }
        sealing.push(format!("--sign-key {}", word(&self.sign_key)?));
        let (folder, keep, sealing) = (word(&self.folder)?, self.keep.to_string(), sealing.join(" "));
        Ok(render(template, &[("folder", &folder), ("keep", &keep), ("sealing", &sealing)]))
    }

    fn timer(&self) -> String {
        let template = include_str!("../../../manifests/templates/kinstall-backup.timer");
        render(template, &[("seconds", &self.every.as_secs().to_string())])
    }
}

/// An absolute path in the form that a unit of systemd takes. A path with letters that mean something there is refused.
fn word(path: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(path).context("this folder has no name")?;
    let text = absolute.to_string_lossy().into_owned();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/.-_+@:".contains(letter);
    if text.chars().all(is_plain) {
        return Ok(text);
    }
    Err(anyhow!("{} cannot be in a unit of systemd", path.display()))
        .usage()
        .hint("take a path of letters, digits and `/`, `.`, `-`, `_`, `+`, `@`, `:`")
}

/// Removes the timer; `true` if there was one. Backups stay.
pub fn stop(host: &mut Host) -> anyhow::Result<bool> {
    if !is_there(host) {
        return Ok(false);
    }
    host.stop_unit(TIMER)?;
    host.stop_unit(SERVICE)?;
    host.disable_unit(TIMER)?;
    for path in [TIMER_PATH, SERVICE_PATH] {
        host.remove_file(path)?;
    }
    Ok(true)
}

/// Whether backups are scheduled here.
#[must_use]
pub fn is_there(host: &Host) -> bool {
    host.exists(TIMER_PATH)
}

/// Records that a backup was written into a folder.
pub fn note(host: &Host, last: &LastBackup) -> anyhow::Result<()> {
    Ok(host.keep_record(LAST, &serde_json::to_vec(last)?)?)
}

/// The state of scheduled backups; `None` if none are scheduled.
pub fn look(host: &Host) -> anyhow::Result<Option<ScheduledBackups>> {
    if !is_there(host) {
        return Ok(None);
    }
    let failed = host.unit_state(SERVICE)?.is_some_and(|state| state.active == "failed");
    let path = format!("{}/{LAST}", ledger::DIRECTORY);
    let last = host.read(&path)?.map(|bytes| serde_json::from_slice(&bytes));
    let last = last.transpose().with_context(|| format!("{path} is damaged"))?;
    Ok(Some(ScheduledBackups { failed, last }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;
    use crate::host::Command;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn schedule() -> Schedule {
        Schedule {
            folder: "/srv/backups".into(),
            every: Duration::from_hours(6),
            keep: 14,
            recipients: vec![RECIPIENT.parse().unwrap()],
            passphrase_file: None,
            sign_key: "/root/backup.key".into(),
        }
    }

    /// A fake systemd whose service is in the state that the root's file `service` says.
    fn systemctl(root: &Path, command: &Command) -> Option<String> {
        let state = fs_err::read_to_string(root.join("service")).ok()?;
        let unit = command.arguments.iter().find(|word| word.ends_with(".service"))?;
        Some(format!("Id={unit}\nLoadState=loaded\nActiveState={state}\nUnitFileState=static\nNeedDaemonReload=no\n"))
    }

    #[test]
    fn a_timer_runs_the_same_command_again_and_again() {
        insta::assert_snapshot!(schedule().service().unwrap().lines().last().unwrap(), @"ExecStart=/usr/local/bin/kinstall backup --to /srv/backups --keep 14 --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --sign-key /root/backup.key");
        assert!(schedule().timer().contains("\nOnUnitActiveSec=21600s\n"));
        for wrong in ["/srv/my backups", "/srv/%h", "/srv/a\nExecStart=b", "/srv/$x", "/srv/\"x"] {
            let schedule = Schedule { folder: wrong.into(), ..schedule() };
            assert!(schedule.service().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_failure_is_seen_until_the_next_success_and_a_stopped_timer_is_gone() {
        let bench = Bench::with_programs(systemctl);
        assert_eq!(look(&bench.host()).unwrap(), None);
        schedule().start(&mut bench.host()).unwrap();
        bench.file("service", "failed");
        assert_eq!(look(&bench.host()).unwrap(), Some(ScheduledBackups { failed: true, last: None }));
        bench.file("service", "inactive");
        let last = LastBackup { file: "/srv/backups/a.backup".into(), created: "2026-11-27T12:00:00Z".into() };
        note(&bench.host(), &last).unwrap();
        assert_eq!(look(&bench.host()).unwrap(), Some(ScheduledBackups { failed: false, last: Some(last) }));
        assert!(stop(&mut bench.host()).unwrap());
        assert_eq!(look(&bench.host()).unwrap(), None);
        assert!(!stop(&mut bench.host()).unwrap());
    }
}
