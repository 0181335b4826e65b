//! Starts and ends the processes of a host.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroups;
use crate::paths::repository;

/// How a host is known to the machine: names of its cgroup, network namespace and files.
pub(crate) struct Launch {
    pub(crate) root: PathBuf,
    pub(crate) machine: String,
    pub(crate) console: PathBuf,
    pub(crate) pid_file: PathBuf,
}

impl Launch {
    /// Starts systemd-nspawn as a process that outlives this one. The network namespace has the
    /// machine's name.
    pub(crate) fn start(&self) -> Result<()> {
        // After a power cut the groups of its pods are left. A kernel that boots has none, and the kubelet would go through them for minutes.
        cgroups::remove(&self.machine)?;
        let groups = cgroups::create(&self.machine)?;
        let _ = fs::remove_file(&self.pid_file);
        let console = fs::OpenOptions::new().create(true).append(true).open(&self.console)?.into_file();
        let status = Command::new("setsid")
            .arg("--fork")
            .arg(repository().join("tests/lab/hosts/launch"))
            .args([self.root.as_os_str(), self.machine.as_ref(), self.machine.as_ref(), self.pid_file.as_os_str()])
            .args(groups)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .status()
            .context("cannot start setsid")?;
        if !status.success() {
            bail!("the host was not launched ({status}); see {}", self.console.display());
        }
        wait_until(Duration::from_secs(5), || self.pid_file.exists())
            .with_context(|| format!("systemd-nspawn did not start; see {}", self.console.display()))
    }

    /// The process id of systemd-nspawn while it runs this host.
    pub(crate) fn nspawn(&self) -> Option<i32> {
        let pid: i32 = fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = format!("--machine={}", self.machine);
        command.split(|byte| *byte == 0).any(|argument| argument == ours.as_bytes()).then_some(pid)
    }

    /// The process id of the host's PID 1, seen from outside: nspawn's only child.
    pub(crate) fn init(&self) -> Option<i32> {
        let nspawn = self.nspawn()?;
        fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children"))
            .ok()?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    }

    /// As a pulled plug: kills the host's PID 1 and with it all that runs in the host.
    ///
    /// Killing systemd-nspawn instead would leave the host running without it; only before it has
    /// started the host it is itself what has to end.
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(nspawn) = self.nspawn() else { return Ok(()) };
        signal(self.init().unwrap_or(nspawn), Signal::SIGKILL)?;
        cgroups::thaw(&self.machine)?;
        self.wait_gone(Duration::from_secs(20))
    }

    /// Waits until the host has ended.
    pub(crate) fn wait_gone(&self, limit: Duration) -> Result<()> {
        wait_until(limit, || self.nspawn().is_none())
            .with_context(|| format!("machine {} is still running", self.machine))
    }
}

fn signal(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("cannot signal process {pid}")),
    }
}

/// Asks repeatedly until the answer is yes.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() >= deadline {
            bail!("waited {} s in vain", limit.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
