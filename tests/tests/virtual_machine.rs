//! One host with a kernel of its own, cgroup v2 and modules that can be loaded: `./ci/test nightly`.
//!
//! Its processor is software, so that everything takes 10 to 30 times as long. What others give up on in the meantime is gone on with,
//! as kinstall says, and never a dead end.

#![allow(clippy::print_stdout, reason = "how long each part took, and what kinstall said, is for people to read")]

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use lab::{Remote, VirtualMachine};
use serde_json::Value;

use lab::cluster::{Cluster, assert_a_second_run_changes_nothing};
use lab::connected::{NEWEST, STICK, carried};
use lab::files::Snapshot;

/// How often an installation may give up on what is merely slow, and be gone on with by the same command.
const RESUMES: usize = 5;
/// What kinstall says where the same command goes on.
const CAN_BE_RESUMED: &str = "run the same command again to resume";
/// Modules that kinstall loads.
const MODULES: [&str; 3] = ["br_netfilter", "nf_conntrack", "overlay"];

#[test]
#[ignore = "half an hour: ./ci/test nightly"]
fn a_host_with_its_own_kernel_serves_survives_a_reboot_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    let carried = carried(NEWEST, "bridge");
    let clock = Clock::new();
    let machine = VirtualMachine::boot("virtual")?;
    clock.tell("boot");
    is_a_machine_of_its_own(&machine)?;
    carried.carry_into(&machine)?;
    is_as_recorded(&machine)?;
    let before = Snapshot::of(&machine)?;
    let modules_before = loaded_modules(&machine)?;
    ensure!(MODULES.iter().all(|name| !modules_before.contains(*name)), "loaded before: {modules_before:?}");
    clock.tell("the bundle carried, and a look at the host");

    let resumed = install_patiently(&machine)?;
    clock.tell(&format!("kinstall run, resumed {resumed} times"));
    let modules = loaded_modules(&machine)?;
    ensure!(MODULES.iter().all(|name| modules.contains(*name)), "loaded after the installation: {modules:?}");

    let cluster = Cluster::new(&machine);
    cluster.assert_nodes_ready(1)?;
    cluster.assert_kubelets_are(NEWEST)?;
    uses_cgroup_v2(&machine)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    clock.tell("Ready, pods and names answer");
    assert_a_second_run_changes_nothing(&machine)?;
    clock.tell("a second run");

    machine.reboot()?;
    clock.tell("power off and on");
    let modules = loaded_modules(&machine)?;
    ensure!(MODULES.iter().all(|name| modules.contains(*name)), "loaded after a boot: {modules:?}");
    cluster.assert_nodes_ready(1)?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    cluster.assert_nothing_was_pulled()?;
    clock.tell("Ready, pods and names answer again");

    machine.sh(&format!("{STICK}/kinstall reset --yes"))?;
    clock.tell("kinstall reset");
    before.assert_same(&Snapshot::of(&machine)?, "after a reset");
    clock.tell("the comparison with before");
    are_unloaded_but_for_those_in_use(&machine)?;
    machine.reboot()?;
    let modules = loaded_modules(&machine)?;
    ensure!(MODULES.iter().all(|name| !modules.contains(*name)), "loaded after a reset and a boot: {modules:?}");
    clock.tell("a boot after the reset");
    machine.down()
}

/// What hosts in containers cannot show.
fn is_a_machine_of_its_own(machine: &VirtualMachine) -> anyhow::Result<()> {
    ensure!(machine.sh("stat -fc %T /sys/fs/cgroup")? == "cgroup2fs", "cgroup v2 alone is not mounted");
    ensure!(machine.sh("systemctl is-system-running --wait")? == "running");
    let outside = machine.exec(&["curl", "-sS", "--max-time", "5", "http://10.0.2.2:22"])?;
    ensure!(!outside.status.success(), "the machine reaches this one");
    Ok(())
}

/// Unit tests of preflight decide on what such a host was once seen to be: `facts` of `kinstall preflight --output json`.
fn is_as_recorded(host: &Remote) -> anyhow::Result<()> {
    let recorded = include_str!("../../installer/src/fixture/debian-12-cgroup-v2.json");
    let recorded: Value = serde_json::from_str(recorded)?;
    let said: Value = serde_json::from_str(&host.sh(&format!("{STICK}/kinstall preflight --output json"))?)?;
    for fact in [
        "/cgroups",
        "/kernel/features",
        "/kernel/hasModules",
        "/leftovers",
        "/programs",
        "/selinux",
        "/units",
        "/canLowerOomScore",
        "/conntrackMaxWritable",
    ] {
        let (found, known) = (said["facts"].pointer(fact), recorded.pointer(fact));
        ensure!(
            known.is_some() && found == known,
            "{fact} was recorded as {known:?}, and is {found:?}: record it again"
        );
    }
    Ok(())
}

/// Installs, and goes on where kinstall says that it can be gone on with; how often that was.
fn install_patiently(host: &Remote) -> anyhow::Result<usize> {
    for resumed in 0..=RESUMES {
        let script = format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub 2>&1");
        let output = host.exec(&["sh", "-c", &script])?;
        println!("{}", output.stdout);
        if output.status.success() {
            return Ok(resumed);
        }
        ensure!(output.stdout.contains(CAN_BE_RESUMED), "kinstall does not say how to go on:\n{}", output.stdout);
    }
    anyhow::bail!("the installation was resumed {RESUMES} times and is not complete")
}

/// The pods' processes are in groups of the unified hierarchy, which systemd made.
fn uses_cgroup_v2(host: &Remote) -> anyhow::Result<()> {
    let group = host.sh("cat /proc/$(pgrep -o -x kube-apiserver)/cgroup")?;
    ensure!(group.starts_with("0::/kubepods.slice/"), "the API server is in {group}");
    let limited = host.sh("find /sys/fs/cgroup/kubepods.slice -name memory.max | head -n 1")?;
    ensure!(!limited.is_empty(), "no group of a pod has a memory controller");
    Ok(())
}

/// The kernel loads modules of its own for rules of packet filters. They stay without the rules, and so does what they need.
fn are_unloaded_but_for_those_in_use(host: &Remote) -> anyhow::Result<()> {
    let table = host.sh("cat /proc/modules")?;
    for name in MODULES {
        let Some(line) = table.lines().find(|line| line.split(' ').next() == Some(name)) else { continue };
        let users = line.split(' ').nth(3).context("a module without its users")?;
        ensure!(users != "-", "{name} is loaded after a reset, and no module uses it");
    }
    Ok(())
}

fn loaded_modules(host: &Remote) -> anyhow::Result<BTreeSet<String>> {
    let table = host.sh("cat /proc/modules")?;
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    table.lines().map(|line| name(line).context("a module without a name")).collect()
}

/// Says how long each part took; nothing depends on it.
struct Clock(std::cell::Cell<Instant>);

impl Clock {
    fn new() -> Self {
        Self(std::cell::Cell::new(Instant::now()))
    }

    fn tell(&self, part: &str) {
        let started = self.0.replace(Instant::now());
        println!("{:5.0} s  {part}", started.elapsed().as_secs_f64());
    }
}
