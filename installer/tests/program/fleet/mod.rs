//! `kinstall run` with several hosts, for which a stub of `ssh` stands in: failures on the way to them, which hosts continue, and what each
//! is sent. The work on hosts is tested on real ones.

mod audit;
mod certificates;
mod changes;
mod cluster;
mod front;
mod kubespray;
mod leaving;
mod recover;
mod restore;
mod rollback;
mod scale;
mod status;
pub mod stubs;
mod upgrade;

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::head::SignatureCheck;
use kbundle_format::stream::Carriage;
use kbundle_format::{BundleStream, Role};
use serde_json::{Value, json};

use stubs::{Said, Stubs, answer, changed_survey, event, failed};

pub const SERVER: &[Role] = &[Role::ControlPlane, Role::Etcd];
pub const WORKER: &[Role] = &[Role::Worker];

/// A control plane and two workers.
fn three() -> Stubs {
    Stubs::new(&[SERVER, WORKER, WORKER])
}

/// The result when `ssh` prints this about the second host and ends with 255.
fn ssh_says(words: &str) -> String {
    let stubs = three();
    stubs.set(2, "says", words);
    stubs.set(2, "code", "255");
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(stubs.requests(3), "survey connect listen receive prepare worker network finish", "others go on");
    said.end()
}

#[test]
fn an_installation_goes_through_all_stages_and_logs_no_secret() {
    let stubs = three();
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(stubs.requests(1), @"survey connect listen receive prepare etcd control-plane join worker pods network finish");
    assert_snapshot!(stubs.requests(2), @"survey connect listen receive prepare worker network finish");
    let sent: Value = serde_json::from_slice(&fs::read(stubs.host(2, "apply-worker")).unwrap()).unwrap();
    assert_eq!(sent["work"]["material"]["join"]["token"], "top.secret");
    assert_eq!(sent["work"]["spec"]["hosts"].as_array().unwrap().len(), 2, "a worker knows nothing of other workers");
    for log in fs::read_dir(stubs.path("state/kinstall/logs/kubernetes")).unwrap() {
        for file in fs::read_dir(log.unwrap().path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.contains("answered: ApplyPhase") && !text.contains("top.secret"), "{text}");
        }
    }
    assert!(!said.stderr.contains("top.secret") && !said.stdout.contains("top.secret"));
}

#[test]
fn a_host_gets_the_entries_of_its_roles_and_nothing_else() {
    let stubs = Stubs::new(&[&[Role::ControlPlane], &[Role::Etcd], WORKER]);
    stubs.run(&[]);
    let whole = fs::metadata(stubs.path("cluster.tar.zst")).unwrap().len();
    for (number, role) in [(1, Role::ControlPlane), (2, Role::Etcd), (3, Role::Worker)] {
        let bundle = fs::File::open(stubs.host(number, "bundle")).unwrap();
        let bytes = bundle.metadata().unwrap().len();
        let stream = BundleStream::open(bundle, SignatureCheck::Skipped).unwrap().carriage(Carriage::Partial);
        let list = stream.list().clone();
        let left_out = stream.verify_rest(|_| ()).unwrap().left_out;
        assert!(left_out.iter().all(|entry| !entry.roles.contains(&role)), "{role:?}");
        let needed = list.entries.iter().filter(|entry| entry.roles.contains(&role));
        assert_eq!(needed.clone().count() + left_out.len(), list.entries.len(), "{role:?}");
        // Random bytes do not compress: the rest is the list, and the overhead of every frame.
        let content: u64 = needed.map(|entry| entry.size).sum();
        assert!(bytes < content + 16_384 && bytes < whole, "{role:?} got {bytes} bytes for {content}");
    }
}

#[test]
fn a_host_that_holds_its_part_is_sent_nothing() {
    let stubs = three();
    changed_survey(&stubs, 2, |survey| survey["holdsBundle"] = json!(true));
    assert_eq!(stubs.run(&[]).code, Some(0));
    assert!(!stubs.host(2, "bundle").exists() && stubs.host(3, "bundle").exists());
}

#[test]
fn a_changed_host_key_is_reported_with_a_hint() {
    assert_snapshot!(ssh_says(
        "@@@@@@@@@@@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@@@@@@@@@@@@@\n\
         Host key for 192.0.2.3 has changed and you have requested strict checking.\nHost key verification failed.\n"
    ), @"
    h2 failed in stage `connect`: cannot connect to 192.0.2.3: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Host key for 192.0.2.3 has changed and you have requested strict checking.; Host key verification failed.
      hint: the host has another key than the known one; find out whether it was reinstalled, and only then remove the old key with `ssh-keygen -R`
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_refused_connection_and_a_rejected_key_are_reported_with_a_hint() {
    assert_snapshot!(ssh_says("ssh: connect to host 192.0.2.3 port 22: Connection refused\n"), @"
    h2 failed in stage `connect`: cannot connect to 192.0.2.3: ssh: connect to host 192.0.2.3 port 22: Connection refused
      hint: check that sshd runs on the host, and `port` under `ssh` in cluster.yaml
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert_snapshot!(ssh_says("admin@192.0.2.3: Permission denied (publickey).\n"), @"
    h2 failed in stage `connect`: cannot connect to 192.0.2.3: admin@192.0.2.3: Permission denied (publickey).
      hint: the host accepts none of the keys that `ssh` has: check `user` and `key` under `ssh` in cluster.yaml, or load the key with `ssh-add`
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

/// A program that cannot be run is not the same as a key that the host refuses, although both give the same message.
#[test]
fn a_mount_without_exec_is_named_with_what_to_do() {
    let stubs = three();
    let mounts = "/dev/sda1 / ext4 rw 0 0\n/dev/mapper/vg-var /var xfs rw,nosuid,nodev,noexec 0 0\n";
    stubs.set(2, "mounts", mounts);
    stubs.set(3, "mounts", "/dev/sda1 / ext4 rw 0 0\n");
    assert_snapshot!(stubs.run(&[]).end(), @"
    h2 failed in stage `connect`: 192.0.2.3 does not run /var/lib/kinstall/agent/kinstall: /var/lib/kinstall/agent lies on /var, which is mounted noexec (/dev/mapper/vg-var)
      hint: `mount -o remount,exec /var` on the host, and the same in its fstab or mount unit; or give /var/lib/kinstall a file system of its own
    h3 failed in stage `connect`: 192.0.2.4 does not run /var/lib/kinstall/agent/kinstall: sh: 1: exec: /var/lib/kinstall/kinstall: Permission denied
      hint: find out what forbids it there: SELinux, AppArmor or fapolicyd (`journalctl --since -5min`, `ausearch -ts recent`)
    error: 2 of 3 hosts failed: h2, h3; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_login_shell_that_runs_nothing_is_named_with_what_to_do() {
    let stubs = three();
    stubs.set(
        2,
        "shell",
        "Authorized uses only. Permission denied to all others.\nThis account is currently not available.\n",
    );
    assert_snapshot!(stubs.run(&[]).end(), @"
    h2 failed in stage `connect`: reading the platform failed on 192.0.2.3: Authorized uses only. Permission denied to all others.; This account is currently not available.
      hint: give the user a login shell that runs commands, such as /bin/bash (`usermod --shell /bin/bash USER` on the host), or name another user: `user` under `ssh` in cluster.yaml
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_wrong_password_is_reported_before_anything_else_is_sent() {
    let stubs = three();
    stubs.write_spec("ssh: {user: admin, sudo: password}");
    (1..=3).for_each(|number| stubs.set(number, "password", "right"));
    stubs.set(2, "password", "another");
    let said = stubs.run_with(&[], &[("KINSTALL_SUDO_PASSWORD", "right")]);
    assert_eq!(said.code, Some(1));
    assert_eq!(stubs.requests(2), "");
    assert_eq!(stubs.requests(3), "survey connect listen receive prepare worker network finish");
    assert_snapshot!(said.end(), @"
    h2 failed in stage `connect`: the user cannot become root on 192.0.2.3: Sorry, try again.; sudo: no password was provided; sudo: 1 incorrect password attempt
      hint: the password for sudo is wrong on this host
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
    for text in [&said.stdout, &said.stderr] {
        assert!(!text.contains("right"), "{text}");
    }
}

#[test]
fn another_architecture_is_refused_before_anything_is_sent() {
    let stubs = three();
    stubs.set(2, "uname", "Linux riscv64\n0\n");
    let said = stubs.run(&[]);
    assert_eq!(stubs.requests(2), "");
    let plain = said.end().replace(&kbundle_format::Platform::of_this_program().to_string(), "PLATFORM");
    assert_snapshot!(plain, @"
    h2 failed in stage `connect`: the host is Linux riscv64, and this kinstall is for PLATFORM
      hint: take the host out of cluster.yaml: there is no kinstall for it
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_cut_connection_is_tried_once_more() {
    let stubs = three();
    stubs.set(2, "cut-worker", "");
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert_eq!(stubs.requests(2), "survey connect listen receive prepare worker worker");
    assert_snapshot!(said.end(), @"
    h2 failed in stage `workers`: the connection was cut to 192.0.2.3: Connection to 192.0.2.3 closed by remote host.
      hint: the host may still be working on its current step; the next run waits for it
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_killed_ssh_counts_as_a_cut_connection() {
    let stubs = three();
    stubs.set(2, "kill-worker", "");
    let said = stubs.run(&[]);
    assert_eq!(stubs.requests(2), "survey connect listen receive prepare worker worker");
    assert!(
        said.end().contains("the connection was cut to 192.0.2.3: `ssh` was killed on this machine"),
        "{}",
        said.end()
    );
}

#[test]
fn a_cut_while_the_bundle_is_sent_is_reported() {
    let stubs = three();
    stubs.set(3, "cut-receive", "");
    assert_snapshot!(stubs.run(&[]).end(), @"
    h3 failed in stage `bundle`: the connection was cut to 192.0.2.4: Connection to 192.0.2.4 closed by remote host.
      hint: the host may still be working on its current step; the next run waits for it
    error: 1 of 3 hosts failed: h3; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_kinstall_of_another_version_is_refused() {
    let stubs = three();
    stubs.set(2, "greeting", "kinstall-agent 1\n");
    assert_snapshot!(stubs.run(&[]).end(), @"
    h2 failed in stage `connect`: the kinstall on 192.0.2.3 is another version: it says `kinstall-agent 1` instead of `kinstall-agent 2`
      hint: a kinstall was replaced while this one ran; run the same command again
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn other_output_is_refused_as_an_answer() {
    let stubs = three();
    stubs.set(2, "reply-prepare", "Last login: Sat Nov 21\n");
    stubs.set(3, "reply-prepare", "{\"answer\":\"applause\"}\n");
    assert_snapshot!(stubs.run(&[]).end(), @"
    h2 failed in stage `prepare`: the answer from 192.0.2.3 is not kinstall's: `Last login: Sat Nov 21`
    h3 failed in stage `prepare`: the answer from 192.0.2.4 is not kinstall's: `a message in another form`
    error: 2 of 3 hosts failed: h2, h3; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn the_error_of_a_step_is_reported_with_its_cause_and_hint() {
    let stubs = three();
    let report = json!({ "error": "step 2 of 3, `join`, failed", "causes": ["no space left"], "hint": "make room" });
    stubs.set(3, "reply-worker", &failed(&report));
    let said = stubs.run(&[]);
    assert_eq!(stubs.requests(2), "survey connect listen receive prepare worker network finish");
    assert_snapshot!(said.end(), @"
    h3 failed in stage `workers`: step 2 of 3, `join`, failed
      caused by: no space left
      hint: make room
    error: 1 of 3 hosts failed: h3; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn without_the_first_control_plane_the_others_stop() {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    let report = json!({ "error": "kubeadm failed", "causes": [], "hint": null });
    stubs.set(1, "reply-control-plane", &failed(&report));
    let said = stubs.run(&[]);
    assert_eq!(stubs.requests(2), "survey connect connect listen receive prepare etcd");
    assert_eq!(stubs.requests(4), "survey connect listen receive prepare");
    assert_snapshot!(said.end(), @"
    h1 failed in stage `first control plane`: kubeadm failed
    error: 1 of 4 hosts failed: h1; the others stopped, since they need the first control plane
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn a_control_plane_that_cannot_be_reached_refuses_a_new_cluster_and_leaves_nothing() {
    let stubs = Stubs::new(&[SERVER, &[Role::ControlPlane], WORKER]);
    stubs.set(2, "says", "ssh: connect to host 192.0.2.3 port 22: Connection timed out\n");
    stubs.set(2, "code", "255");
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(3));
    assert_eq!((stubs.requests(1), stubs.requests(3)), ("survey withdraw".to_owned(), "survey withdraw".to_owned()));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `connect`: cannot connect to 192.0.2.3: ssh: connect to host 192.0.2.3 port 22: Connection timed out
      hint: check that the host is on, that its address is right, and that firewalls let SSH through
    error: 1 of 3 hosts failed: h2; the others stopped, since a new cluster needs all its control planes
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn preflight_checks_all_hosts_and_leaves_nothing() {
    let stubs = three();
    let preflight = |more: &[&str]| stubs.kinstall(&[&["preflight", "--config", "cluster.yaml"], more].concat(), &[]);
    let said = preflight(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "3 hosts passed all checks\n"), "{}", said.stderr);
    assert_eq!(stubs.requests(3), "survey connect listen withdraw");
    changed_survey(&stubs, 3, |survey| survey["facts"]["cpus"] = json!(1));
    let said = preflight(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("on: h3") && stubs.requests(3).ends_with("withdraw"), "{}", said.stderr);
    assert_eq!(preflight(&["--ignore", "cpus"]).code, Some(0));
}

#[test]
fn all_findings_of_all_hosts_are_shown_before_one_refusal() {
    let stubs = three();
    changed_survey(&stubs, 1, |survey| survey["facts"]["cpus"] = json!(1));
    changed_survey(&stubs, 2, |survey| survey["facts"]["hostname"] = json!("h3"));
    changed_survey(&stubs, 3, |survey| {
        let clock = survey["clockMilliseconds"].as_u64().unwrap();
        survey["clockMilliseconds"] = json!(clock + 600_000);
    });
    let failures = json!([["192.0.2.2:6443", "connection timed out"]]);
    stubs.set(2, "reply-connect", &answer(&failures));
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(3));
    assert!(stubs.requests(1).ends_with("withdraw") && !stubs.requests(1).contains("receive"));
    let found: Vec<_> = said.stderr.lines().skip_while(|line| !line.starts_with("reject")).collect();
    let ahead = found.iter().find(|line| line.contains("most other hosts")).unwrap();
    let seconds: f64 = ahead.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((540.0..601.0).contains(&seconds), "{ahead}");
    assert_snapshot!(found.join("\n").replace(&format!("{seconds:.1}"), "600.0"), @"
    reject   cpus             1
             required: 2 processors (kubeadm's preflight: NumCPU)
             do: give the host another processor
             on: h1
    reject   distinct-hostnames on 2 hosts
             required: a host name that no other host has
             do: `hostnamectl set-hostname NAME` with a name that no other host has
             h2: `h3`, the same as h3
             h3: `h3`, the same as h2
    reject   clocks           600.0 s ahead of most other hosts
             required: clocks that agree within 2 s (certificates, etcd)
             do: set the clock (`timedatectl set-time`), and run chrony or ntp against a server of the site
             on: h3
    reject   reach            cannot connect to h1 at 192.0.2.2:6443 (connection timed out)
             required: connections to API servers, etcd and kubelets, as the host's roles need them
             do: allow these TCP ports between the hosts, in their firewalls (`kinstall run --prepare`) and in those between them
             on: h2
    error: h1, h2, h3 failed the checks cpus, distinct-hostnames, clocks, reach; nothing was changed
    hint: fix what each check reports, or ignore it with `--ignore cpus --ignore distinct-hostnames --ignore clocks --ignore reach`
    ");
}

/// A host whose rules let nobody reach what its roles need.
fn close(stubs: &Stubs, number: usize) {
    let chain = json!({
        "program": "iptables", "family": "ip", "table": "filter", "chain": "INPUT", "hook": "input", "rules": [], "policy": "drop"
    });
    changed_survey(stubs, number, |survey| survey["facts"]["packetFilter"]["chains"] = json!([chain]));
}

#[test]
fn a_closed_host_is_refused_and_opened_with_consent() {
    let stubs = three();
    close(&stubs, 1);
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("firewall") && said.stderr.contains("kinstall run --prepare"), "{}", said.stderr);
    assert_eq!(stubs.run(&["--prepare"]).code, Some(0));
    let sent: Value = serde_json::from_slice(&fs::read(stubs.host(2, "apply-prepare")).unwrap()).unwrap();
    assert_eq!(sent["work"]["spec"]["host-preparation"], "enabled");
    assert_eq!(sent["work"]["spec"]["hosts"].as_array().unwrap().len(), 3, "the rules name all nodes");
}

#[test]
fn what_stays_closed_after_hosts_were_opened_is_reported() {
    let stubs = three();
    close(&stubs, 1);
    stubs.set(2, "reply-connect", &answer(&json!([["192.0.2.2:6443", "connection timed out"]])));
    assert_snapshot!(stubs.run(&["--prepare"]).end(), @"
    h2 failed in stage `prepare`: cannot connect to h1 at 192.0.2.2:6443 (connection timed out)
      hint: the hosts' own firewalls are open for it now: allow these TCP ports in those between the hosts
    error: 1 of 3 hosts failed: h2; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert_snapshot!(stubs.requests(2), @"survey connect listen receive prepare connect listen");
}

#[test]
fn a_dry_run_shows_what_would_be_opened() {
    let stubs = three();
    close(&stubs, 1);
    let said = stubs.run(&["--prepare", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let lines = format!("{}{}", said.stdout, said.stderr);
    let line = lines.lines().find(|line| line.contains("firewall")).unwrap_or(&lines);
    assert_snapshot!(line, @"h1  firewall: open 10250/tcp, 6443/tcp in the packet filter where they are closed, and let packets of pods through");
}

#[test]
fn no_connection_and_no_folder_for_sockets_outlives_a_run() {
    let stubs = three();
    // The path of a socket has to be short.
    let sockets = tempfile::tempdir_in("/tmp").unwrap();
    let place = sockets.path().to_str().unwrap();
    for code in [Some(0), Some(3)] {
        let said = stubs.run_with(&["--dry-run"], &[("XDG_RUNTIME_DIR", place)]);
        assert_eq!(said.code, code, "{}", said.stderr);
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 0, "something is left in {place}");
        changed_survey(&stubs, 1, |survey| survey["facts"]["cpus"] = json!(1));
    }
}

#[test]
fn a_dry_run_shows_every_hosts_plan_and_leaves_nothing() {
    let stubs = three();
    let said = stubs.run(&["--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(stubs.requests(2), "survey connect listen withdraw");
    assert!(said.stdout.contains("h1  etcd: set up etcd") && said.stdout.contains("h2  join: join the cluster as h2"));
    assert!(!stubs.host(1, "bundle").exists());
}

#[test]
fn assert_no_op_names_the_step_that_changed_something() {
    let stubs = three();
    let run = |stubs: &Stubs| stubs.run(&["--assert-no-op"]);
    assert_eq!(run(&stubs).code, Some(0));
    stubs.set(3, "reply-prepare", &answer(&json!(["sysctls"])));
    let Said { code, stderr, .. } = run(&stubs);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("none should: h3: sysctls"), "{stderr}");
}

#[test]
fn programs_get_every_hosts_events() {
    let stubs = three();
    let done = json!({ "event": "step-done", "step": "swap", "title": "t", "changed": true, "seconds": 0.1,
                       "number": 1, "of": 2 });
    stubs.set(2, "reply-prepare", &(event(&done) + &answer(&json!(["swap"]))));
    let said = stubs.run(&["--output", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["schema"] == 1));
    let told = events.iter().find(|event| event["event"] == "step-done").unwrap();
    assert_eq!((&told["host"], &told["stage"], &told["step"]), (&json!("h2"), &json!("prepare"), &json!("swap")));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["changedSteps"]), (&json!("finished"), &json!(1)));
    assert_eq!((&last["changedHosts"], &last["hosts"]), (&json!(1), &json!(3)));
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).cloned().collect::<Vec<_>>();
    assert_eq!(of("stage-started")[0]["stage"], "connect");
    assert_eq!((of("bundle-sent").len(), &of("bundle-sent")[0]["stage"]), (3, &json!("bundle")));
    assert!(of("preflight").iter().all(|event| event["host"].is_string() && event["findings"].is_array()));
}

#[test]
fn programs_get_cut_connections_and_failures() {
    let stubs = three();
    stubs.set(2, "cut-worker", "");
    let said = stubs.run(&["--output", "json"]);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    for name in ["connection-cut", "host-failed"] {
        assert_eq!((&of(name)["host"], &of(name)["stage"]), (&json!("h2"), &json!("workers")), "{name}");
    }
    assert!(of("connection-cut")["error"].as_str().unwrap().contains("closed by remote host"));
    let failed = of("host-failed");
    assert!(failed["error"]["hint"].is_string() && failed["log"].as_str().unwrap().ends_with("h2.log"), "{failed}");
}

#[test]
fn the_holder_of_a_lock_is_shown_without_a_terminal_too() {
    let stubs = three();
    let holder = "process 4711 (`kinstall agent`), for 95 s so far";
    let held = json!({ "event": "lock-held", "holder": holder });
    stubs.set(2, "reply-prepare", &(event(&held) + &answer(&json!([]))));
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let line = format!("h2  waiting for another kinstall that changes this host: {holder}");
    assert!(said.stderr.lines().any(|found| found == line), "{}", said.stderr);
}
