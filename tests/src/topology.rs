//! A lab: hosts on one switch, made together and removed together.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::command;
use crate::paths::{RUN, host_root, repository};
use crate::state::{LabState, Lock, Ownership, known_labs};
use crate::{Host, disk, machine, network};

/// Running hosts with a switch of their own and no way out.
///
/// A test ends with [`Lab::down`]. One that fails before, by a panic or by `?`, drops the lab instead:
/// then the hosts' logs are saved in `target/lab-logs/NAME/`, and it is taken down all the same.
#[derive(Debug)]
pub struct Lab {
    state: LabState,
    hosts: Vec<Host>,
    keep: bool,
    /// None for a lab that another process left running.
    _ownership: Option<Ownership>,
}

impl Lab {
    /// Makes and boots `count` hosts and waits until all answer over SSH.
    ///
    /// # Errors
    /// When this machine cannot run hosts (the message says what it lacks), when a lab of that name
    /// was left running on purpose, or when a host does not come up; then the logs are saved and nothing is left.
    /// A lab that another process uses is waited for. One whose process was killed is removed first.
    pub fn boot(name: &str, count: usize) -> Result<Self> {
        check_machine()?;
        let state = LabState::new(name, count)?;
        let template = host_root()?;
        let ownership = Ownership::take(name)?;
        remove_abandoned(&state)?;
        {
            let _lock = Lock::take()?;
            machine::prepare()?;
            fs::create_dir_all(state.run_dir())?;
            state.write()?;
        }
        let lab = Self::from_state(state, Some(ownership));
        if let Err(error) = lab.create_hosts(&template) {
            let saved = lab.save_logs();
            lab.down()?;
            return Err(error.context(format!("lab `{name}` did not come up; logs: {}", saved?.display())));
        }
        Ok(lab)
    }

    /// The lab of that name which another process left running; dropping the answer keeps it so.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self::from_state(LabState::read(name)?, None))
    }

    /// Names of the labs on this machine.
    pub fn names() -> Result<Vec<String>> {
        known_labs()
    }

    /// Dropping a lab takes it down when this process made it.
    fn from_state(state: LabState, ownership: Option<Ownership>) -> Self {
        let hosts = (0..state.hosts).map(|index| Host::new(&state, index)).collect();
        Self { state, hosts, keep: ownership.is_none(), _ownership: ownership }
    }

    fn create_hosts(&self, template: &Path) -> Result<()> {
        make_key(&self.state.key())?;
        disk::create(&self.state.disk(), &self.state.roots_dir(), self.hosts.len())?;
        network::create_switch(&self.state.switch())?;
        for host in &self.hosts {
            host.create(template, &self.hosts)?;
            host.start()?;
        }
        self.hosts.iter().try_for_each(Host::wait_ssh)
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Gives every host an IPv6 address beside its own, in one network, and a default route to it. They last until the lab is down.
    pub fn add_ipv6(&self) -> Result<()> {
        network::add_ipv6_to_switch(&self.state.switch())?;
        self.hosts.iter().try_for_each(Host::add_ipv6)
    }

    /// All hosts, in the order of their numbers.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host with this name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .with_context(|| format!("lab `{}` has no host `{name}`", self.name()))
    }

    /// A command on a machine that reaches every host by its address, and nothing else: where an administrator works.
    #[must_use]
    pub fn management(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.state.switch()]).arg(program);
        command
    }

    /// Programs of this name that run on that machine, by their process ids here.
    pub fn management_processes(&self, program: &str) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        for pid in command::run(&format!("ip netns pids {}", self.state.switch()))?.lines() {
            // A process may end between being listed and being looked at.
            let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else { continue };
            if name.trim_end() == program {
                found.push(pid.parse()?);
            }
        }
        Ok(found)
    }

    /// The private key that root on every host lets in.
    #[must_use]
    pub fn ssh_key(&self) -> PathBuf {
        self.state.key()
    }

    /// Every host's SSH host key, as an administrator who installed the hosts has them.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.state.run_dir().join("known-hosts")
    }

    /// Saves every host's logs in `target/lab-logs/NAME/` and returns that directory.
    pub fn save_logs(&self) -> Result<PathBuf> {
        let dir = repository().join("target/lab-logs").join(self.name());
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        for host in &self.hosts {
            if host.root().exists() {
                host.collect_logs(&dir)?;
            }
        }
        Ok(dir)
    }

    /// Leaves the hosts running when this value goes.
    pub fn keep(mut self) -> Result<()> {
        self.state.kept = true;
        self.state.write()?;
        self.keep = true;
        Ok(())
    }

    /// Ends and removes all of it. Dropping does the same, but can only print what went wrong.
    pub fn down(mut self) -> Result<()> {
        self.keep = true;
        self.remove()
    }

    fn remove(&self) -> Result<()> {
        thread::scope(|scope| {
            let running: Vec<_> = self.hosts.iter().map(|host| scope.spawn(|| host.destroy())).collect();
            running.into_iter().try_for_each(|host| host.join().unwrap_or_else(|_| bail!("removing a host panicked")))
        })?;
        network::remove(&self.state.switch())?;
        let _lock = Lock::take()?;
        disk::remove(&self.state.disk(), &self.state.roots_dir())?;
        if self.state.run_dir().exists() {
            fs::remove_dir_all(self.state.run_dir())?;
        }
        if known_labs()?.is_empty() {
            machine::restore()?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    #[expect(clippy::print_stderr, reason = "the only way left to tell")]
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        match self.save_logs() {
            Ok(dir) => {
                eprintln!("lab `{}` was not taken down in order; its logs are in {}", self.name(), dir.display());
            }
            Err(error) => eprintln!("the logs of lab `{}` could not be saved: {error:#}", self.name()),
        }
        if let Err(error) = self.remove() {
            eprintln!("lab `{}` was not taken down: {error:#}", self.name());
        }
    }
}

pub(crate) fn make_key(key: &Path) -> Result<()> {
    let mut ssh_keygen = Command::new("ssh-keygen");
    ssh_keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(key);
    command::output(&mut ssh_keygen)?.success().context("cannot make the lab's SSH key")?;
    Ok(())
}

/// Takes down a lab of this name that a killed process left; the caller owns the name.
#[expect(clippy::print_stderr, reason = "what is removed is told")]
fn remove_abandoned(state: &LabState) -> Result<()> {
    let name = &state.name;
    if !state.run_dir().exists() {
        return Ok(());
    }
    // Without a state file its process was killed before it made anything else.
    if !state.run_dir().join("lab.json").exists() {
        return Ok(fs::remove_dir_all(state.run_dir())?);
    }
    let left = LabState::read(name)?;
    if left.kept {
        bail!("lab `{name}` is there already; `./ci/lab down --name {name}` removes it");
    }
    eprintln!("lab `{name}` was left by a process that was killed; removing it");
    Lab::from_state(left, None).down()
}

/// Says what this machine lacks to run hosts, all at once.
fn check_machine() -> Result<()> {
    let mut lacking = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        lacking.push("root (run as root)".to_owned());
    }
    for program in ["systemd-nspawn", "ip", "ssh", "ssh-keygen", "setsid", "sysctl", "journalctl", "mkfs.ext4", "mount"]
    {
        if !std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
        {
            lacking.push(format!("{program} (tests/lab/mirror/fill installs it)"));
        }
    }
    for name in ["vm/overcommit_memory", "net/netfilter/nf_conntrack_max"] {
        if fs::OpenOptions::new().write(true).open(format!("/proc/sys/{name}")).is_err() {
            lacking.push(format!("a writable sysctl {name}"));
        }
    }
    if !lacking.is_empty() {
        bail!("this machine cannot run lab hosts; it lacks: {}", lacking.join(", "));
    }
    fs::create_dir_all(RUN)?;
    Ok(())
}
