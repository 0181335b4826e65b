//! A site: bare hosts, and the management place from where kinstall makes a cluster of them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::cluster::Cluster;
use lab::connected::{Carried, NEWEST, carried, program};
use lab::files::Snapshot;
use lab::{Host, Lab};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A registry of the site that nobody has: an address for documentation (RFC 5737).
pub const MIRROR: &str = "192.0.2.80:5000";

/// One entry of `hosts:` in cluster.yaml.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name in the cluster, which is not what the host calls itself.
    pub name: &'static str,
    /// Which of the lab's hosts it is, from 1.
    pub host: usize,
    roles: &'static str,
    /// Its address in the cluster, where that is not the lab's.
    address: Option<String>,
    more: String,
}

impl Member {
    pub fn new(name: &'static str, host: usize, roles: &'static str) -> Self {
        Self { name, host, roles, address: None, more: String::new() }
    }

    /// Adds settings, e.g. `ssh: {user: admin}`.
    pub fn with(mut self, settings: &str) -> Self {
        self.more = format!(", {settings}");
        self
    }

    /// Another address in the cluster than the one that SSH goes to.
    pub fn at(mut self, address: &str) -> Self {
        self.address = Some(address.to_owned());
        self
    }
}

/// Three control planes with etcd and two workers.
pub fn five() -> Vec<Member> {
    vec![
        Member::new("cp1", 1, "control-plane, etcd"),
        Member::new("cp2", 2, "control-plane, etcd"),
        Member::new("cp3", 3, "control-plane, etcd"),
        Member::new("w1", 4, "worker").with(r"labels: {disk: ssd}"),
        Member::new("w2", 5, "worker"),
    ]
}

/// How a run of kinstall ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    /// All that it said, on both outputs.
    pub said: String,
    /// The most memory that it had at once; none where it was not looked at.
    pub peak_memory_bytes: u64,
}

impl Ran {
    pub fn succeeded(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0), "kinstall ended with {:?}:\n{}", self.code, self.said);
        Ok(self.said)
    }

    /// Demands this exit code, and that each of the words is said.
    pub fn failed(self, code: i32, words: &[&str]) -> anyhow::Result<String> {
        ensure!(self.code == Some(code), "kinstall ended with {:?} instead of {code}:\n{}", self.code, self.said);
        for word in words {
            ensure!(self.said.contains(word), "kinstall did not say `{word}`:\n{}", self.said);
        }
        Ok(self.said)
    }
}

pub struct Site {
    pub lab: Lab,
    folder: PathBuf,
    members: Vec<Member>,
    environment: Vec<(&'static str, String)>,
    /// The bundles of this site; their pod network is the one in cluster.yaml.
    pub carried: &'static Carried,
    bundle: PathBuf,
    api: String,
    addons: String,
    network: String,
}

impl Site {
    /// Boots as many hosts as the members need for a cluster with this pod network, and writes cluster.yaml.
    pub fn boot(lab: &str, cni: &str, members: Vec<Member>) -> anyhow::Result<Self> {
        let hosts = members.iter().map(|member| member.host).max().context("no members")?;
        Self::boot_hosts(lab, cni, hosts, members)
    }

    pub fn boot_hosts(lab: &str, cni: &str, hosts: usize, members: Vec<Member>) -> anyhow::Result<Self> {
        Self::boot_with(lab, carried(NEWEST, cni), hosts, members)
    }

    /// The same with these bundles, which were built, and the mirror stopped, before any host is booted.
    pub fn boot_with(lab: &str, carried: &'static Carried, hosts: usize, members: Vec<Member>) -> anyhow::Result<Self> {
        let folder = carried.file(lab);
        let lab = Lab::boot(lab, hosts)?;
        fs::create_dir_all(&folder)?;
        let (bundle, api) = (carried.file("bundle.tar.zst"), "{load-balancer: node-local}".to_owned());
        let addons = "addons: [lab-test, team-app]".to_owned();
        let network = format!("{{cni: {}}}", carried.cni);
        let environment = Vec::new();
        let site = Self { lab, folder, members: Vec::new(), environment, carried, bundle, api, addons, network };
        site.with(members)
    }

    /// The same hosts with other members in cluster.yaml.
    pub fn with(mut self, members: Vec<Member>) -> anyhow::Result<Self> {
        self.members = members;
        fs::write(self.config(), self.cluster_yaml())?;
        Ok(self)
    }

    /// Another setting `api` in cluster.yaml.
    pub fn set_api(&mut self, api: String) -> anyhow::Result<()> {
        self.api = api;
        Ok(fs::write(self.config(), self.cluster_yaml())?)
    }

    /// Other settings `addons` in cluster.yaml.
    pub fn set_addons(&mut self, addons: &str) -> anyhow::Result<()> {
        addons.clone_into(&mut self.addons);
        Ok(fs::write(self.config(), self.cluster_yaml())?)
    }

    /// Another setting `network` in cluster.yaml.
    pub fn set_network(&mut self, network: String) -> anyhow::Result<()> {
        self.network = network;
        Ok(fs::write(self.config(), self.cluster_yaml())?)
    }

    /// Another bundle to install from.
    pub fn set_bundle(&mut self, bundle: PathBuf) {
        self.bundle = bundle;
    }

    /// Sets a variable for every later run of kinstall.
    pub fn set_variable(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    fn cluster_yaml(&self) -> String {
        let (key, known) = (self.lab.ssh_key(), self.lab.known_hosts());
        let hosts: Vec<_> = self.members.iter().map(|member| self.host_entry(member)).collect();
        format!(
            "schema: 1\nname: plant-7\nssh: {{user: root, key: {}, known-hosts: {}}}\nhosts:\n{}\n\
             network: {}\n{}\nregistries: [{{host: docker.io, mirrors: ['http://{MIRROR}']}}]\napi: {}\n",
            key.display(),
            known.display(),
            hosts.join("\n"),
            self.network,
            self.addons,
            self.api
        )
    }

    fn host_entry(&self, member: &Member) -> String {
        let Member { name, host, roles, address, more } = member;
        let address = address.clone().unwrap_or_else(|| self.lab.hosts()[host - 1].address());
        format!("- {{name: {name}, address: '{address}', roles: [{roles}]{more}}}")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("cluster.yaml")
    }

    /// Where cluster.yaml lies, and what else the management place needs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills every kinstall on the management place, as the end of its machine would.
    pub fn kill_kinstall(&self) -> anyhow::Result<()> {
        for pid in self.lab.management_processes("kinstall")? {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        Ok(())
    }

    /// The host of this member.
    pub fn host(&self, member: &str) -> &Host {
        let member = self.members.iter().find(|one| one.name == member).expect("a member of this name");
        &self.lab.hosts()[member.host - 1]
    }

    /// The cluster as seen from this member.
    pub fn cluster(&self, member: &str) -> Cluster<'_> {
        Cluster::new(self.host(member))
    }

    // ---- kinstall on the management place ----

    /// `kinstall WORDS…`, not yet started.
    pub fn kinstall(&self, words: &[&str]) -> Command {
        let mut command = self.lab.management(&program("kinstall"));
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.args(words).envs(environment).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// `kinstall run` of the bundle on all of the cluster, not yet started.
    pub fn run_command(&self, options: &[&str]) -> Command {
        let mut command = self.kinstall(&["run"]);
        command.arg(&self.bundle).arg("--key").arg(self.carried.file("signing.pub"));
        command.arg("--config").arg(self.config()).args(options);
        command
    }

    pub fn run(&self, options: &[&str]) -> anyhow::Result<Ran> {
        finish(&mut self.run_command(options))
    }

    /// Runs until an event comes that `when` wants, then does `interfere` while kinstall goes on, and waits for its end. Whether such
    /// an event came is the second answer.
    pub fn run_until(
        &self,
        when: impl Fn(&Value) -> bool,
        interfere: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<(Ran, bool)> {
        self.watch(self.run_command(&["--output", "json"]), when, interfere)
    }

    /// The same with another command, which prints its events as JSON.
    pub fn watch(
        &self,
        mut command: Command,
        when: impl Fn(&Value) -> bool,
        interfere: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<(Ran, bool)> {
        let errors = self.folder.join("errors.log");
        let mut child = command.stdout(Stdio::piped()).stderr(fs::File::create(&errors)?.into_file()).spawn()?;
        let mut interfere = Some(interfere);
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if when(&event)
                && let Some(interfere) = interfere.take()
            {
                interfere()?;
            }
            said = said + &line + "\n";
        }
        let code = child.wait()?.code();
        Ok((Ran { code, said: said + &fs::read_to_string(errors)?, peak_memory_bytes: 0 }, interfere.is_none()))
    }

    /// Another command of kinstall on the cluster, e.g. `remove cp3`.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Ran> {
        finish(self.kinstall(words).arg("--config").arg(self.config()))
    }

    pub fn snapshots(&self) -> anyhow::Result<Vec<Snapshot>> {
        self.lab.hosts().iter().map(|host| Snapshot::of(host)).collect()
    }

    pub fn assert_clean(&self, before: &[Snapshot], when: &str) -> anyhow::Result<()> {
        for (host, before) in self.lab.hosts().iter().zip(before) {
            before.assert_same(&Snapshot::of(host)?, &format!("{when}, on {}", host.name()));
        }
        Ok(())
    }

    pub fn down(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.folder)?;
        self.lab.down()
    }
}

/// Whether this is the event that a stage of the installation begins.
pub fn stage_begins(event: &Value, stage: &str) -> bool {
    event["event"] == "stage-started" && event["stage"] == stage
}

/// Runs to the end and keeps all that is said, also in `said.log` beside cluster.yaml, where it can be followed.
pub fn finish(command: &mut Command) -> anyhow::Result<Ran> {
    let log = command.get_current_dir().context("kinstall runs in the site's folder")?.join("said.log");
    let said = fs::File::create(&log)?.into_file();
    let mut child = command.stdout(said.try_clone()?).stderr(said).spawn().context("cannot start kinstall")?;
    let mut peak_memory_bytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_memory_bytes = peak_memory(child.id()).unwrap_or(peak_memory_bytes);
        std::thread::sleep(Duration::from_millis(100));
    };
    Ok(Ran { code: status.code(), said: fs::read_to_string(log)?, peak_memory_bytes })
}

/// The most that the process has had; nothing once it has ended. Source: proc(5), `VmHWM`.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
