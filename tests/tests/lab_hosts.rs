//! The lab keeps its word: hosts are what a bare server is, know each other, reach nothing else, and
//! leave nothing behind.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;
use lab::cluster::eventually;
use lab::{Host, Lab, Mirror, cache};

/// Everything that a bundle brings: a host that has any of it already would prove nothing.
const BROUGHT_BY_A_BUNDLE: &str = r"find / -xdev \( -name 'containerd*' -o -name 'runc' -o -name 'ctr' -o -name 'crictl' -o -name 'etcd*'
    -o -name 'kube*' -o -name 'docker*' -o -path '*/cni/*' -o -path '/etc/cni*' -o -path '/opt/*' \) -print; grep -E '^(etcd|kube)' /etc/passwd || true";

#[test]
fn hosts_are_bare_servers_without_a_way_out_and_leave_nothing() -> Result<()> {
    let name = "hosts-test";
    let settings_before = machine_settings();
    let other_labs = Lab::names()?;
    let lab = Lab::boot(name, 2)?;
    let [first, second] = lab.hosts() else { panic!("asked for two hosts") };

    for host in lab.hosts() {
        is_a_bare_server(host)?;
        has_no_way_out(host)?;
    }
    assert_ne!(first.sh("cat /etc/machine-id")?, second.sh("cat /etc/machine-id")?);
    assert_ne!(first.sh("cat /etc/ssh/ssh_host_ed25519_key.pub")?, second.sh("cat /etc/ssh/ssh_host_ed25519_key.pub")?);
    first.sh("ping -c 1 -W 5 host-2")?;
    second.sh(&format!("ping -c 1 -W 5 {}", first.address()))?;

    a_pulled_cable_cuts_a_host_off(first, second)?;
    keeps_files_over_poweroff_and_power_cut(first)?;
    saves_logs_of_a_running_and_a_stopped_host(&lab, second)?;

    let marker = leave_processes_in_namespaces_of_their_own(first)?;
    lab.down()?;
    leaves_nothing(name, &marker)?;
    if other_labs.is_empty() && Lab::names()?.is_empty() {
        assert_eq!(machine_settings(), settings_before, "the machine's settings are restored");
    }
    Ok(())
}

#[test]
fn two_labs_run_side_by_side() -> Result<()> {
    let one = Lab::boot("side-one", 1)?;
    let two = Lab::boot("side-two", 1)?;
    one.hosts()[0].sh("echo one > /root/whose")?;
    two.hosts()[0].sh("echo two > /root/whose")?;
    assert_eq!(one.hosts()[0].address(), two.hosts()[0].address(), "each lab has a network of its own");
    assert_eq!(one.hosts()[0].sh("cat /root/whose")?, "one");
    assert_eq!(two.hosts()[0].sh("cat /root/whose")?, "two");

    let refused = Lab::boot("side-one", 1).unwrap_err();
    assert!(format!("{refused:#}").contains("is there already"), "{refused:#}");
    assert_eq!(one.hosts()[0].sh("cat /root/whose")?, "one", "the refusal did not touch the running lab");
    one.down()?;
    assert_eq!(two.hosts()[0].sh("cat /root/whose")?, "two", "taking one down leaves the other");
    two.down()
}

#[test]
fn a_lab_of_a_killed_process_is_replaced_and_a_kept_one_is_not() -> Result<()> {
    let name = "killed-test";
    let up = || {
        let mut up = Command::new(env!("CARGO_BIN_EXE_lab"));
        up.args(["up", "1", "--name", name]);
        up
    };
    let mut killed = up().spawn()?;
    let state = Path::new("/run/kbundle-lab").join(name).join("lab.json");
    eventually("a state file of the lab to kill", || fs::metadata(&state).map_err(Into::into))?;
    killed.kill()?;
    killed.wait()?;

    assert!(up().status()?.success(), "the second `lab up` replaces what the first left");
    let refused = Lab::boot(name, 1).unwrap_err();
    assert!(format!("{refused:#}").contains("is there already"), "{refused:#}");
    let kept = Lab::open(name)?;
    assert_eq!(kept.hosts()[0].sh("hostname")?, "host-1", "the refusal did not touch the lab");
    kept.down()
}

#[test]
fn arguments_reach_a_host_as_they_are() -> Result<()> {
    let lab = Lab::boot("argv-test", 1)?;
    let words = ["", "two words", "it's", "$HOME", "*", "a\nb"];
    let output = lab.hosts()[0].exec(&[&["printf", "[%s]"], &words[..]].concat())?;
    assert_eq!(output.stdout, words.map(|word| format!("[{word}]")).concat());
    assert_eq!(lab.hosts()[0].exec(&["sh", "-c", "exit 7"])?.status.code(), Some(7));
    lab.down()
}

fn is_a_bare_server(host: &Host) -> Result<()> {
    assert_eq!(host.sh("systemctl is-system-running --wait")?, "running");
    assert_eq!(host.sh("cat /proc/1/comm; hostname")?, format!("systemd\n{}", host.name()));
    assert_eq!(host.sh(&BROUGHT_BY_A_BUNDLE.replace('\n', " "))?, "", "files or users that only a bundle may bring");
    assert_eq!(host.sh("cat /proc/sys/net/ipv4/ip_forward")?, "0", "a fresh server does not forward");
    // What runc and the kubelet need of a machine.
    host.sh("mkdir /sys/fs/cgroup/memory/probe && rmdir /sys/fs/cgroup/memory/probe")?;
    host.sh("test -c /dev/kmsg; exec 3< /dev/kmsg")?;
    assert_eq!(host.sh("findmnt -no PROPAGATION /")?, "shared");
    Ok(())
}

/// Not the outside, not this machine, and not the mirror on its loopback.
fn has_no_way_out(host: &Host) -> Result<()> {
    let mirror = Mirror::start()?;
    let served = mirror.http_url("dl.k8s.io");
    let own_addresses = output("hostname", &["-I"]);
    let outside = ["http://198.51.100.1", "http://upstream.example", served.as_str()].map(str::to_owned);
    let this_machine = own_addresses
        .split_whitespace()
        .filter(|address| !address.contains(':'))
        .map(|address| format!("http://{address}:22"));
    for url in outside.into_iter().chain(this_machine) {
        let answer = host.exec(&["curl", "-sS", "--max-time", "5", &url])?;
        // 6: the name is unknown, 7: no connection. 28 would be a time-out, which makes installs slow.
        assert!(matches!(answer.status.code(), Some(6 | 7)), "curl {url} on {}: {answer:?}", host.name());
    }
    mirror.stop()
}

fn keeps_files_over_poweroff_and_power_cut(host: &Host) -> Result<()> {
    let local = tempfile::tempdir()?;
    fs::write(local.path().join("sent"), "content")?;
    host.copy_in(&local.path().join("sent"), "/root/kept")?;
    let machine_id = host.sh("cat /etc/machine-id")?;
    host.reboot()?;
    host.power_cut()?;
    assert!(!host.is_running());
    host.boot()?;
    host.copy_out("/root/kept", &local.path().join("back"))?;
    assert_eq!(fs::read_to_string(local.path().join("back"))?, "content");
    assert_eq!(host.sh("cat /etc/machine-id")?, machine_id);
    Ok(())
}

fn a_pulled_cable_cuts_a_host_off(host: &Host, other: &Host) -> Result<()> {
    let reaches = || Ok::<_, anyhow::Error>(host.exec(&["ping", "-c", "1", "-W", "1", "host-2"])?.status.success());
    other.unplug()?;
    assert!(!reaches()?, "an unplugged host answers");
    other.plug()?;
    assert!(reaches()?, "a host that was plugged in again does not answer");
    Ok(())
}

fn saves_logs_of_a_running_and_a_stopped_host(lab: &Lab, stopped: &Host) -> Result<()> {
    stopped.poweroff()?;
    let dir = lab.save_logs()?;
    for host in lab.hosts() {
        let journal = fs::read_to_string(dir.join(host.name()).join("journal.log"))?;
        assert!(journal.contains("systemd"), "no journal of {}: {journal}", host.name());
    }
    Ok(())
}

/// As containers do: processes outside the host's own network, mount and process namespaces.
/// Returns a word that is on their command lines and nowhere else.
fn leave_processes_in_namespaces_of_their_own(host: &Host) -> Result<String> {
    let marker = format!("98{}", std::process::id());
    host.sh(&format!(
        "systemd-run --quiet unshare --net --mount --pid --fork sleep {marker}; ip netns add pod; sleep 0.3"
    ))?;
    assert!(processes_with(&marker)? > 0, "the process can be seen from outside while the host runs");
    Ok(marker)
}

fn leaves_nothing(lab: &str, marker: &str) -> Result<()> {
    let name = format!("kblab-{lab}");
    assert_eq!(processes_with(marker)? + processes_with(&name)?, 0, "processes");
    assert!(!fs::read_to_string("/proc/self/mountinfo")?.contains(&name), "mounts");
    assert!(!output("ip", &["netns", "list"]).contains(&name), "network namespaces");
    assert!(!output("ip", &["-o", "link"]).contains("port"), "ends of the hosts' cables");
    assert_eq!(
        output("find", &["/sys/fs/cgroup", "-maxdepth", "2", "-name", &format!("{name}*")]),
        "",
        "control groups"
    );
    assert_eq!(output("find", &["/run/systemd/nspawn", "-name", &format!("{name}*")]), "", "nspawn's own files");
    assert!(!cache().join("labs").join(lab).exists(), "root file systems");
    assert!(!cache().join("labs").join(format!("{lab}.disk")).exists(), "the hosts' disk");
    assert!(!output("losetup", &["--list"]).contains(&format!("{lab}.disk")), "loop devices");
    assert!(!Path::new("/run/kbundle-lab").join(lab).exists(), "state");
    Ok(())
}

fn processes_with(word: &str) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        // A process may end between being listed and being looked at.
        let Ok(command) = fs::read(entry?.path().join("cmdline")) else { continue };
        count += usize::from(String::from_utf8_lossy(&command).contains(word));
    }
    Ok(count)
}

fn machine_settings() -> String {
    [
        "vm/overcommit_memory",
        "kernel/panic",
        "kernel/panic_on_oops",
        "net/netfilter/nf_conntrack_max",
        "fs/inotify/max_user_instances",
    ]
    .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).expect("readable"))
    .concat()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("program runs");
    String::from_utf8(output.stdout).expect("text")
}
