//! `kinstall remove` and `kinstall reset --all`: the questions to each host, and refusals.

use insta::assert_snapshot;
use serde_json::json;

use super::stubs::{Said, Stubs, failed, set_up};
use super::{SERVER, WORKER};

fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    stubs
}

fn remove(stubs: &Stubs, host: &str, more: &[&str]) -> Said {
    stubs.kinstall(&[&["remove", host, "--config", "cluster.yaml", "--yes"], more].concat(), &[])
}

pub fn unreachable(stubs: &Stubs, number: usize) {
    stubs.set(number, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(number, "code", "255");
}

fn requests(stubs: &Stubs) -> [String; 4] {
    [1, 2, 3, 4].map(|number| stubs.requests(number))
}

#[test]
fn a_worker_is_drained_reset_and_deleted() {
    let stubs = cluster();
    let said = remove(&stubs, "h4", &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey drain delete", "survey", "survey", "survey reset"]);
}

#[test]
fn a_control_plane_leaves_etcd_before_it_is_reset() {
    let stubs = cluster();
    let said = remove(&stubs, "h1", &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey reset", "survey members drain remove-member delete", "survey", ""]);
    assert!(said.stderr.contains("Remove it from cluster.yaml"), "{}", said.stderr);
}

#[test]
fn a_dead_host_is_removed_without_it() {
    let stubs = cluster();
    unreachable(&stubs, 3);
    assert_snapshot!(remove(&stubs, "h3", &[]).end(), @"
    error: h3 cannot be reached: cannot connect to 192.0.2.4: ssh: connect to host: Connection timed out; nothing was changed
    hint: if the host will not come back, add `--dead`
    ");
    let said = remove(&stubs, "h3", &["--dead"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(stubs.requests(1), "survey survey members remove-member delete");
}

/// After `kinstall recover` etcd has fewer members than cluster.yaml has hosts.
#[test]
fn one_of_two_dead_hosts_is_removed_while_the_other_is_still_described() {
    let stubs = cluster();
    set_up(&stubs, &[1]);
    unreachable(&stubs, 2);
    unreachable(&stubs, 3);
    let said = remove(&stubs, "h3", &["--dead"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(stubs.requests(1), "survey members remove-member delete");
    assert!(said.stderr.contains("h2  connect failed"), "{}", said.stderr);
}

#[test]
fn a_host_that_the_cluster_needs_is_not_removed() {
    let stubs = Stubs::new(&[SERVER, WORKER]);
    set_up(&stubs, &[1]);
    let said = remove(&stubs, "h1", &[]);
    assert_eq!((said.code, stubs.requests(1)), (Some(3), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    error: no other control plane of the cluster was reached; nothing was changed
    hint: to remove the last control plane, remove the whole cluster: `kinstall reset --all`
    ");

    let stubs = cluster();
    unreachable(&stubs, 2);
    let said = remove(&stubs, "h1", &[]);
    assert_eq!((said.code, stubs.requests(1)), (Some(3), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    error: only 1 of etcd's 2 other members were reached, which is not a majority; nothing was changed
    hint: start the other members first
    ");
    assert_snapshot!(remove(&stubs, "h9", &[]).end(), @"error: cluster.yaml has no host h9");
}

#[test]
fn a_host_is_kept_when_its_pods_cannot_be_moved() {
    let stubs = cluster();
    let report =
        json!({ "error": "its pods could not be moved to other nodes", "causes": ["timed out"], "hint": null });
    stubs.set(1, "reply-drain", &failed(&report));
    let said = remove(&stubs, "h4", &[]);
    assert_eq!((said.code, stubs.requests(4)), (Some(1), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `remove`: its pods could not be moved to other nodes
      caused by: timed out
    error: 1 of 4 hosts failed: h1; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn all_hosts_are_reset_and_an_unreachable_one_is_reported() {
    let stubs = cluster();
    let reset = |more: &[&str]| stubs.kinstall(&[&["reset", "--all", "--config", "cluster.yaml"], more].concat(), &[]);
    assert_snapshot!(reset(&[]).end(), @"
    error: this removes the cluster kubernetes from 4 hosts and all data in it, and there is no terminal to ask on; nothing was changed
    hint: add `--yes`
    ");
    assert_eq!(requests(&stubs), ["", "", "", ""]);
    unreachable(&stubs, 4);
    let said = reset(&["--yes"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(requests(&stubs), ["survey reset", "survey reset", "survey reset", ""]);
    assert_snapshot!(said.end(), @"
    h4 failed in stage `connect`: cannot connect to 192.0.2.5: ssh: connect to host: Connection timed out
      hint: check that the host is on, that its address is right, and that firewalls let SSH through
    error: 1 of 4 hosts failed: h4; the others are done
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn reset_of_named_hosts_needs_all() {
    let stubs = cluster();
    let said = stubs.kinstall(&["reset", "--yes", "--config", "cluster.yaml"], &[]);
    assert_eq!(said.code, Some(2));
    assert_snapshot!(said.end(), @"error: hosts were named, and without `--all` this host alone is reset");
}
