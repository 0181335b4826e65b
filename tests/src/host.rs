//! One host: a Debian machine with systemd as PID 1, reached over SSH as an administrator would.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde_json::Value;

use crate::command::{self, run};
use crate::launch::Launch;
use crate::remote::{Remote, Route};
use crate::state::LabState;
use crate::{cgroups, network};

/// From start to SSH login; takes about a second.
const BOOT_LIMIT: Duration = Duration::from_mins(1);
/// Containers that ignore SIGTERM hold a poweroff for 10 seconds, two in a row for 20.
const POWEROFF_LIMIT: Duration = Duration::from_mins(1);

/// A host of a [`crate::Lab`], running or not.
#[derive(Clone, Debug)]
pub struct Host {
    lab: LabState,
    index: usize,
    machine: String,
    remote: Remote,
}

/// All that is done on a host goes over SSH.
impl Deref for Host {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

impl Host {
    pub(crate) fn new(lab: &LabState, index: usize) -> Self {
        let name = host_name(index);
        let machine = format!("{}-{name}", lab.switch());
        let remote = Remote {
            name,
            address: network::host_address(index),
            route: Route::Namespace(lab.switch()),
            key: lab.key(),
            known_hosts: lab.run_dir().join("known-hosts"),
            slowness: 1,
        };
        Self { lab: lab.clone(), index, machine, remote }
    }

    /// The host's root file system, seen from outside.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.lab.roots_dir().join(self.name())
    }

    /// Whether the host is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.launch().nspawn().is_some()
    }

    /// The process id that the host's systemd has on this machine, while the host runs.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.launch().init()
    }

    // ---- power ----

    /// Boots the host from its root and waits until it answers over SSH. Nothing to do when it runs.
    pub fn boot(&self) -> Result<()> {
        self.start()?;
        self.wait_ssh()
    }

    pub(crate) fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        self.launch().start()
    }

    pub(crate) fn wait_ssh(&self) -> Result<()> {
        let deadline = Instant::now() + BOOT_LIMIT;
        loop {
            let answer = self.exec(&["true"])?;
            if answer.status.success() {
                return Ok(());
            }
            if !self.is_running() || Instant::now() > deadline {
                bail!(
                    "{} does not answer over SSH ({}); its console is {}",
                    self.name(),
                    answer.stderr.trim(),
                    self.console().display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Shuts the host down in order, as `poweroff` does, and waits for its end.
    pub fn poweroff(&self) -> Result<()> {
        // The connection may end before the answer; what counts is that the host goes.
        self.exec(&["systemctl", "poweroff"])?;
        self.launch().wait_gone(POWEROFF_LIMIT)
    }

    /// Ends everything on the host at once, as a pulled plug would. What the kernel had not yet
    /// written is not lost, as this machine's kernel goes on.
    pub fn power_cut(&self) -> Result<()> {
        self.launch().kill()
    }

    /// Poweroff and boot.
    pub fn reboot(&self) -> Result<()> {
        self.poweroff()?;
        self.boot()
    }

    // ---- network ----

    /// The host's IPv6 address, once [`crate::Lab::add_ipv6`] was called.
    #[must_use]
    pub fn ipv6_address(&self) -> String {
        network::host_address_ipv6(self.index)
    }

    pub(crate) fn add_ipv6(&self) -> Result<()> {
        network::add_ipv6_to_host(&self.machine, self.index)
    }

    /// Pulls the host's cable: nothing reaches it, and it reaches nothing.
    pub fn unplug(&self) -> Result<()> {
        network::set_plugged(&self.lab.switch(), self.index, false)
    }

    /// Puts the cable back.
    pub fn plug(&self) -> Result<()> {
        network::set_plugged(&self.lab.switch(), self.index, true)
    }

    // ---- measuring and logs ----

    /// Bytes that have come to the host over its cable, headers and all, since the lab was made.
    pub fn received_bytes(&self) -> Result<u64> {
        let links: Value = serde_json::from_str(&run(&format!("ip -s -j -n {} link show eth0", self.machine))?)?;
        links[0]["stats64"]["rx"]["bytes"].as_u64().with_context(|| format!("no count of bytes in {links}"))
    }

    /// The most memory in bytes, page cache included, that the host has used since it was started.
    pub fn peak_memory_bytes(&self) -> Result<u64> {
        let file = format!("/sys/fs/cgroup/memory/{}/memory.max_usage_in_bytes", self.machine);
        fs::read_to_string(&file)?.trim().parse().with_context(|| format!("{file} is not a number"))
    }

    /// Saves console, journal, containerd's and the kubelet's part of it, and the pods' logs in `dir`.
    /// Works on a running host and on one that is down.
    pub fn collect_logs(&self, dir: &Path) -> Result<()> {
        let dir = dir.join(self.name());
        fs::create_dir_all(&dir)?;
        fs::copy(self.console(), dir.join("console.log"))?;
        let journal = self.root().join("var/log/journal");
        for unit in [None, Some("containerd"), Some("kubelet"), Some("etcd")] {
            let mut journalctl = Command::new("journalctl");
            journalctl.arg("-D").arg(&journal).args(["--no-pager", "-o", "short-precise"]);
            journalctl.args(unit.map(|unit| format!("--unit={unit}")));
            let text = command::output(&mut journalctl)?;
            fs::write(dir.join(format!("{}.log", unit.unwrap_or("journal"))), text.stdout + &text.stderr)?;
        }
        let pods = self.root().join("var/log/pods");
        if pods.exists() {
            run(&format!("cp -rL {} {}", pods.display(), dir.join("pods").display()))?;
        }
        Ok(())
    }

    // ---- making and removing ----

    /// Makes root file system and network of a new host, without booting it.
    pub(crate) fn create(&self, template: &Path, hosts: &[Host]) -> Result<()> {
        network::create_host(&self.lab.switch(), &self.machine, self.index)?;
        let root = self.root();
        run(&format!("cp -a --reflink=auto {} {}", template.display(), root.display()))?;
        fs::write(root.join("etc/hostname"), format!("{}\n", self.name()))?;
        fs::write(root.join("etc/hosts"), hosts_file(hosts))?;
        let ssh = root.join("root/.ssh");
        fs::create_dir_all(&ssh)?;
        run(&format!("chmod 700 {}", ssh.display()))?;
        fs::copy(self.lab.key().with_extension("pub"), ssh.join("authorized_keys"))?;
        Ok(())
    }

    /// Ends the host and removes all of it but its files; goes on where something is gone already.
    pub(crate) fn destroy(&self) -> Result<()> {
        self.power_cut()?;
        cgroups::remove(&self.machine)?;
        network::remove(&self.machine)?;
        let propagate = Path::new("/run/systemd/nspawn/propagate").join(&self.machine);
        if propagate.exists() {
            fs::remove_dir_all(propagate)?;
        }
        Ok(())
    }

    fn console(&self) -> PathBuf {
        self.lab.run_dir().join(format!("{}.console", self.name()))
    }

    fn launch(&self) -> Launch {
        Launch {
            root: self.root(),
            machine: self.machine.clone(),
            console: self.console(),
            pid_file: self.lab.run_dir().join(format!("{}.pid", self.name())),
        }
    }
}

fn host_name(index: usize) -> String {
    format!("host-{}", index + 1)
}

/// The site's own name service: all hosts know each other's names.
fn hosts_file(hosts: &[Host]) -> String {
    let known = hosts.iter().map(|host| format!("{} {}", host.address(), host.name()));
    let own = ["127.0.0.1 localhost".to_owned(), "::1 localhost ip6-localhost ip6-loopback".to_owned()];
    own.into_iter().chain(known).fold(String::new(), |text, line| text + &line + "\n")
}
