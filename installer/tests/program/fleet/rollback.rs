//! `kinstall rollback --config`: which host is rolled back when, the questions to it, and refusals. The work on hosts is tested on real
//! ones.

use insta::assert_snapshot;
use kbundle_format::Digest;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer, failed};
use super::upgrade::{asked, cluster, former_list, new_list, stand};
use super::{SERVER, WORKER};

/// Three control planes and two workers. An upgrade failed on the third control plane, after the turns of h1 and h2; no worker had a turn.
fn cut_off() -> Stubs {
    let stubs = cluster(&[SERVER, SERVER, SERVER, WORKER, WORKER]);
    let target = Digest::of(new_list(&stubs).as_bytes());
    for number in 1..=5 {
        let turn = ["done", "done", "begun", "not-begun", "not-begun"][number - 1];
        stand(&stubs, number, &former_list(&stubs, "1.25.1"), Some(target), turn);
    }
    for worker in [4, 5] {
        acts(&stubs, worker, &[]);
    }
    stubs
}

fn acts(stubs: &Stubs, number: usize, acts: &[&str]) {
    let preview = json!({ "from": "1.25.2", "to": "1.25.1", "acts": acts });
    stubs.set(number, "reply-rollback-preview", &answer(&preview));
    stubs.set(number, "reply-roll-back", &answer(&json!(acts)));
}

fn rollback(stubs: &Stubs, more: &[&str]) -> Said {
    stubs.kinstall(&[&["rollback", "--config", "cluster.yaml"], more].concat(), &[])
}

fn is_changed(stubs: &Stubs, number: usize) -> bool {
    let changing = ["roll-back", "end-rollback", "drain"];
    stubs.requests(number).split(' ').any(|request| changing.contains(&request))
}

#[test]
fn hosts_go_back_in_the_opposite_order_and_those_with_pods_are_drained() {
    let stubs = cut_off();
    let said = rollback(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("runs Kubernetes 1.25.1 again"), "{}", said.stdout);
    let moved: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("moving the pods")).collect();
    assert_eq!(moved, ["moving the pods of h2 to other nodes", "moving the pods of h1 to other nodes"]);
    assert_snapshot!(asked(&stubs, 1), @"standing rollback-preview etcd-health reopen reopen reopen drain reopen drain roll-back reopen end-rollback");
    assert_snapshot!(asked(&stubs, 3), @"standing rollback-preview etcd-health roll-back end-rollback");
    assert_snapshot!(asked(&stubs, 4), @"standing rollback-preview roll-back end-rollback");
}

#[test]
fn a_dry_run_shows_what_each_host_does_in_its_order() {
    let stubs = cut_off();
    let said = rollback(&stubs, &["--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!((1..=5).all(|number| !is_changed(&stubs, number)));
    let said = rollback(&stubs, &["--dry-run", "--output", "json"]);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut hosts: Vec<_> =
        events.iter().filter(|event| event["event"] == "step-planned").map(|event| &event["host"]).collect();
    hosts.dedup();
    assert_eq!(hosts, ["h3", "h2", "h1"]);
}

#[test]
fn after_a_host_that_is_not_well_no_other_goes_back_and_the_same_command_resumes() {
    let stubs = cut_off();
    let report =
        json!({ "error": "step 5 of 5, `ready`, failed", "causes": ["its node is not ready yet"], "hint": null });
    stubs.set(2, "reply-roll-back", &failed(&report));
    let said = rollback(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `rollback`: step 5 of 5, `ready`, failed
      caused by: its node is not ready yet
    error: 1 of 5 hosts failed: h2; the others stopped, since a host is rolled back only while those before it are healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert!(!asked(&stubs, 1).contains("roll-back") && !asked(&stubs, 2).contains("end-rollback"));

    // h3 and the workers are back; h2 was drained in the run before, and is asked once more.
    for number in [3, 4, 5] {
        stand(&stubs, number, &former_list(&stubs, "1.25.1"), None, "not-begun");
    }
    fs_err::remove_file(stubs.host(2, "reply-roll-back")).unwrap();
    let said = rollback(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("on 2 hosts"), "{}", said.stderr);
}

#[test]
fn what_cannot_go_back_is_refused_and_nothing_is_changed() {
    let stubs = cut_off();
    let refused = |stubs: &Stubs| {
        let said = rollback(stubs, &[]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!((1..=5).all(|number| !is_changed(stubs, number)));
        said.stderr[said.stderr.find("error: ").unwrap()..].to_owned()
    };
    acts(&stubs, 2, &["stop", "files", "runtime", "store", "etcd", "kubelet", "ready"]);
    assert_snapshot!(refused(&stubs), @"
    error: etcd of another minor has run on the data on h2, and kinstall brings the snapshot back on clusters of one host alone; nothing was changed
    hint: finish the upgrade with the same bundle: `kinstall upgrade BUNDLE --key KEY --config cluster.yaml`
    ");
    acts(&stubs, 2, &["stop", "files"]);
    stand(&stubs, 4, &new_list(&stubs), None, "not-begun");
    assert_snapshot!(refused(&stubs), @"
    error: h4 has finished the upgrade, and cannot be rolled back; nothing was changed
    hint: finish the upgrade with the same bundle: `kinstall upgrade BUNDLE --key KEY --config cluster.yaml`
    ");
    for number in 1..=5 {
        stand(&stubs, number, &new_list(&stubs), None, "not-begun");
    }
    assert_snapshot!(refused(&stubs), @"
    error: no host of the cluster has an unfinished upgrade: there is nothing to roll back
    hint: a finished upgrade cannot be rolled back; `kinstall status` on a host shows its state
    ");
    stubs.set(5, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(5, "code", "255");
    assert_snapshot!(refused(&stubs), @"
    error: h5 cannot be reached: cannot connect to 192.0.2.6: ssh: connect to host: Connection timed out; nothing was changed
    hint: bring the host up first; or, if it will not come back: `kinstall remove h5 --dead`
    ");
}

#[test]
fn no_member_of_etcd_stops_while_another_is_not_healthy() {
    let stubs = cut_off();
    for number in 1..=3 {
        acts(&stubs, number, &["stop", "files", "runtime", "etcd", "kubelet", "ready"]);
    }
    stubs.set(2, "reply-etcd-health", &answer(&json!("context deadline exceeded")));
    let said = rollback(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    // The unhealthy host is rolled back first, and the stub says that it stays unhealthy.
    assert!(asked(&stubs, 2).contains("roll-back") && !asked(&stubs, 1).contains("roll-back"));
    assert_snapshot!(said.end(), @"
    h3 failed in stage `rollback`: the member of etcd on h2 is not healthy, and no other may stop
      caused by: context deadline exceeded
      hint: `journalctl -u etcd` on that host says more
    error: 1 of 5 hosts failed: h3; the others stopped, since a host is rolled back only while those before it are healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
}
