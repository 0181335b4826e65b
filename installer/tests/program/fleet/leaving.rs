//! `kinstall remove` and `kinstall reset --all`: what is asked of which host, and what is refused.

use insta::assert_snapshot;

use super::stubs::{Said, Stubs, set_up};
use super::{SERVER, WORKER};

fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    stubs
}

fn remove(stubs: &Stubs, host: &str, more: &[&str]) -> Said {
    stubs.kinstall(&[&["remove", host, "--config", "cluster.yaml", "--yes"], more].concat(), &[])
}

fn unreachable(stubs: &Stubs, number: usize) {
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
    assert!(said.stderr.contains("Take it out of cluster.yaml"), "{}", said.stderr);
}

#[test]
fn a_dead_host_is_removed_without_it() {
    let stubs = cluster();
    unreachable(&stubs, 3);
    assert_snapshot!(remove(&stubs, "h3", &[]).end(), @"
    error: h3 cannot be reached: cannot connect to 192.0.2.4: ssh: connect to host: Connection timed out; nothing was changed
    hint: if it will not come back, add `--dead`
    ");
    let said = remove(&stubs, "h3", &["--dead"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(stubs.requests(1), "survey survey members remove-member delete");
}

#[test]
fn what_the_cluster_cannot_do_without_stays() {
    let stubs = Stubs::new(&[SERVER, WORKER]);
    set_up(&stubs, &[1]);
    let said = remove(&stubs, "h1", &[]);
    assert_eq!((said.code, stubs.requests(1)), (Some(3), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    error: no other control plane was reached that stands; nothing was changed
    hint: the last one goes with the whole cluster: `kinstall reset --all`
    ");

    let stubs = cluster();
    unreachable(&stubs, 2);
    let said = remove(&stubs, "h1", &[]);
    assert_eq!((said.code, stubs.requests(1)), (Some(3), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    error: of etcd's 2 other members 1 were reached, which is no majority; nothing was changed
    hint: bring the others back first
    ");
    assert_snapshot!(remove(&stubs, "h9", &[]).end(), @"error: cluster.yaml has no host h9");
}

#[test]
fn pods_that_cannot_be_moved_keep_their_host() {
    let stubs = cluster();
    let told =
        r#"{"reply":"failed","error":"its pods could not be moved to other nodes","causes":["timed out"],"hint":null}"#;
    stubs.set(1, "reply-drain", &format!("{told}\n"));
    let said = remove(&stubs, "h4", &[]);
    assert_eq!((said.code, stubs.requests(4)), (Some(1), "survey".to_owned()));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `remove`: its pods could not be moved to other nodes
      caused by: timed out
    error: 1 of 4 hosts failed: h1; the others are done
    hint: do what is said at each, and run the same command again: it goes on from there
    ");
}

#[test]
fn all_hosts_are_reset_and_one_that_is_off_is_told() {
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
      do: nothing answers: is the host on, its address right, and the way to it open?
    error: 1 of 4 hosts failed: h4; the others are done
    hint: do what is said at each, and run the same command again: it goes on from there
    ");
}

#[test]
fn hosts_that_are_named_without_all_are_not_passed_over() {
    let stubs = cluster();
    let said = stubs.kinstall(&["reset", "--yes", "--config", "cluster.yaml"], &[]);
    assert_eq!(said.code, Some(2));
    assert_snapshot!(said.end(), @"error: hosts were named, and without `--all` this host alone is reset");
}
