//! One installation of stub hosts, measured from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fs_err as fs;
use kbundle_format::Role;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::cluster::{Network, address, description, survey, write_bundle};

/// A folder in which kinstall finds hosts that are stubs.
pub struct Stage {
    directory: tempfile::TempDir,
    program: PathBuf,
    hosts: usize,
}

/// The resources that an installation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    hosts: f64,
    wall_seconds: f64,
    /// CPU time of kinstall itself, all its threads: what it and the stubs took by the kernel's count of children that were waited
    /// for, less what the stubs say that they took. What the kernel does after a stub's last word counts as kinstall's.
    pub own_seconds: f64,
    stub_seconds: f64,
    /// The most memory that kinstall held at once (`VmHWM`).
    pub peak_kib: u64,
    processes: f64,
    told_bytes: f64,
    bundle_bytes: f64,
    program_bytes: f64,
}

impl Stage {
    /// Up to three control planes with etcd, and workers.
    pub fn set_up(program: &Path, hosts: usize, network: Network) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("bin"))?;
        fs::create_dir_all(path("hosts"))?;
        fs::os::unix::fs::symlink(std::env::current_exe()?, path("bin/ssh"))?;
        let servers = if hosts < 5 { 1 } else { 3 };
        let roles = |index| match index < servers {
            true if hosts == 1 => Role::ALL.to_vec(),
            true => vec![Role::ControlPlane, Role::Etcd],
            false => vec![Role::Worker],
        };
        let all: Vec<_> = (0..hosts).map(|index| (format!("h{index:03}"), roles(index))).collect();
        fs::write(path("cluster.yaml"), format!("network: {{pod-cidr: 10.244.0.0/15}}\n{}", description(&all)))?;
        for number in 1..=hosts {
            fs::write(path(&format!("hosts/{}.survey", address(number))), survey(number).to_string())?;
        }
        write_bundle(directory.path(), network);
        Ok(Self { directory, program: program.to_owned(), hosts })
    }

    /// Installs this many times, each time as if for the first time; returns the mean.
    pub fn mean_of(&self, times: u32) -> anyhow::Result<Cost> {
        let mut sum = Cost::default();
        for _ in 0..times {
            sum.add(&self.install()?);
        }
        Ok(sum.divided_by(f64::from(times)))
    }

    fn install(&self) -> anyhow::Result<Cost> {
        let path = |name: &str| self.directory.path().join(name);
        let search = format!("{}:{}", path("bin").display(), std::env::var("PATH")?);
        let (started, before) = (Instant::now(), children_seconds()?);
        let child = Command::new(&self.program)
            .args(["run", "cluster.tar.zst", "--key", "signing.pub", "--config", "cluster.yaml"])
            .current_dir(self.directory.path())
            .env("PATH", search)
            .env("HOSTS", path("hosts"))
            .env("XDG_STATE_HOME", path("state"))
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(fs::File::create(path("stdout"))?.into_file())
            .stderr(fs::File::create(path("stderr"))?.into_file())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let peak_kib = watch(child)?;
        let wall_seconds = started.elapsed().as_secs_f64();
        let cost = Cost { wall_seconds, peak_kib, own_seconds: children_seconds()? - before, ..Cost::default() };
        let cost = Cost { hosts: f64::from(u32::try_from(self.hosts)?), ..cost };
        self.count(cost).with_context(|| fs::read_to_string(path("stderr")).unwrap_or_default())
    }

    /// Adds what the stubs recorded, and checks that every host got to the end.
    fn count(&self, mut cost: Cost) -> anyhow::Result<Cost> {
        for number in 1..=self.hosts {
            let path = self.directory.path().join(format!("hosts/{}.got", address(number)));
            let got = fs::read_to_string(&path)?;
            for line in got.lines() {
                let (what, count) = line.split_once(' ').context("a stub noted something else")?;
                let count: f64 = count.parse()?;
                match what {
                    "told" => (cost.told_bytes, cost.processes) = (cost.told_bytes + count, cost.processes + 1.0),
                    "nanoseconds" => cost.stub_seconds += count / 1e9,
                    "bundle" => cost.bundle_bytes += count,
                    "kinstall" => cost.program_bytes += count,
                    other => bail!("a stub noted {other}"),
                }
            }
            fs::remove_file(path)?;
        }
        cost.own_seconds -= cost.stub_seconds;
        let said = fs::read_to_string(self.directory.path().join("stderr"))?;
        anyhow::ensure!(said.contains("finished: "), "kinstall did not finish");
        Ok(cost)
    }
}

/// Waits for the end; the most memory that the process held.
fn watch(mut child: Child) -> anyhow::Result<u64> {
    let mut peak_kib = 0;
    loop {
        // The mark only rises, and is gone with the process: the last reading misses at most what the last 5 ms added.
        peak_kib = high_water_mark_kib(child.id()).unwrap_or(peak_kib);
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "kinstall ended with {status}");
            return Ok(peak_kib);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// CPU time of all children that were waited for, and of theirs.
fn children_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds)?).as_secs_f64())
}

fn high_water_mark_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

impl Cost {
    /// The heads of the columns of [`row`](Self::row).
    pub const HEADS: &str = "\
| hosts | wall, s | CPU of kinstall, s | of the stubs, s | peak memory, MiB | requests | told, KiB | bundle, MiB | kinstall, MiB | CPU a host, ms |\n\
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

    pub fn row(&self, hosts: usize) -> String {
        const MIB: f64 = 1_048_576.0;
        format!(
            "| {hosts} | {:.2} | {:.3} | {:.2} | {} | {:.0} | {:.0} | {:.1} | {:.0} | {:.1} |",
            self.wall_seconds,
            self.own_seconds,
            self.stub_seconds,
            self.peak_kib.div_ceil(1024),
            self.processes,
            self.told_bytes / 1024.0,
            self.bundle_bytes / MIB,
            self.program_bytes / MIB,
            self.own_seconds * 1000.0 / self.hosts,
        )
    }

    /// The CPU time for one more host, compared with a smaller number of hosts.
    pub fn own_seconds_a_host_more(&self, fewer: &Self) -> f64 {
        (self.own_seconds - fewer.own_seconds) / (self.hosts - fewer.hosts)
    }

    /// The bytes that are sent for one more host.
    pub fn told_bytes_a_host_more(&self, fewer: &Self) -> f64 {
        (self.told_bytes - fewer.told_bytes) / (self.hosts - fewer.hosts)
    }

    fn add(&mut self, other: &Self) {
        self.peak_kib = self.peak_kib.max(other.peak_kib);
        for (sum, more) in self.sums().into_iter().zip(other.clone().sums()) {
            *sum += *more;
        }
    }

    fn divided_by(mut self, times: f64) -> Self {
        for sum in self.sums() {
            *sum /= times;
        }
        self
    }

    fn sums(&mut self) -> [&mut f64; 8] {
        let Self {
            hosts,
            wall_seconds,
            own_seconds,
            stub_seconds,
            processes,
            told_bytes,
            bundle_bytes,
            program_bytes,
            ..
        } = self;
        [hosts, wall_seconds, own_seconds, stub_seconds, processes, told_bytes, bundle_bytes, program_bytes]
    }
}
