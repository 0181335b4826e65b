//! `kinstall upgrade --config`: which host has its turn when, the questions to it, and what stops the others. The work on hosts is tested
//! on real ones.

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::head::SignatureCheck;
use kbundle_format::{BundleList, Digest, IndexedBundle, Role};
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer, failed, set_up};
use super::{SERVER, WORKER};

/// A cluster of Kubernetes 1.25.1 that is healthy. The bundle is of 1.25.2, with another containerd.
pub fn cluster(roles: &[&[Role]]) -> Stubs {
    let stubs = Stubs::new(roles);
    let servers: Vec<_> = (1..=roles.len()).filter(|number| roles[number - 1] != WORKER).collect();
    set_up(&stubs, &servers);
    for number in 1..=roles.len() {
        stand(&stubs, number, &former_list(&stubs, "1.25.1"), None, "not-begun");
    }
    state(&stubs, roles.len(), |_| ());
    stubs
}

fn three_and_three() -> Stubs {
    cluster(&[SERVER, SERVER, SERVER, WORKER, WORKER, WORKER])
}

/// The list of the new bundle.
pub fn new_list(stubs: &Stubs) -> String {
    let bundle = IndexedBundle::open(&stubs.path("cluster.tar.zst"), SignatureCheck::Skipped).unwrap();
    String::from_utf8(bundle.head().list_bytes.clone()).unwrap()
}

/// That of the bundle that hosts were set up from: this Kubernetes, and another containerd.
pub fn former_list(stubs: &Stubs, kubernetes: &str) -> String {
    let mut list = BundleList::parse(new_list(stubs).as_bytes()).unwrap();
    list.kubernetes_version = kubernetes.parse().unwrap();
    let components = list.entries.iter_mut().filter_map(|entry| entry.component.as_mut());
    components
        .filter(|component| component.name == "containerd")
        .for_each(|component| "1.6.20".clone_into(&mut component.version));
    String::from_utf8(list.to_bytes()).unwrap()
}

/// Sets the state of a host: its list, the list of an upgrade under way, and how far its turn is.
pub fn stand(stubs: &Stubs, number: usize, list: &str, target: Option<Digest>, turn: &str) {
    let standing = json!({ "list": list, "target": target, "turn": turn, "incomplete": [] });
    stubs.set(number, "standing", &answer(&standing));
}

/// The API's report about the cluster.
fn state(stubs: &Stubs, nodes: usize, change: impl FnOnce(&mut Value)) {
    let node = |number| json!({ "name": format!("h{number}"), "is_ready": true, "kubelet": "1.25.1", "lone_pods": [] });
    let nodes: Vec<_> = (1..=nodes).map(node).collect();
    let mut state = json!({ "silence": null, "nodes": nodes, "deprecatedApis": [],
                            "storedObjects": { "objects": [], "count": 0, "unknown": [] } });
    change(&mut state);
    fs::write(stubs.path("hosts/state"), answer(&state)).unwrap();
}

fn upgrade(stubs: &Stubs, more: &[&str]) -> Said {
    let upgrade = ["upgrade", "cluster.tar.zst", "--key", "signing.pub", "--config", "cluster.yaml"];
    stubs.kinstall(&[&upgrade, more].concat(), &[])
}

/// The requests of an upgrade that a host got, without those of preflight.
pub fn asked(stubs: &Stubs, number: usize) -> String {
    let of_preflight = ["survey", "connect", "listen"];
    let requests = stubs.requests(number);
    requests.split(' ').filter(|request| !of_preflight.contains(request)).collect::<Vec<_>>().join(" ")
}

fn assert_nothing_was_changed(stubs: &Stubs, said: &Said) {
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    for number in 1..=6 {
        for changing in ["receive", "preload", "snapshot", "node", "drain"] {
            assert!(!stubs.requests(number).split(' ').any(|request| request == changing), "h{number}: {changing}");
        }
    }
}

#[test]
fn hosts_have_their_turn_one_by_one_when_all_are_prepared() {
    let stubs = three_and_three();
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(asked(&stubs, 1), @"standing state etcd-health receive preload snapshot etcd-health etcd-health etcd etcd-health etcd-health drain node reopen drain reopen drain reopen drain reopen drain reopen drain reopen pods network finish");
    assert_snapshot!(asked(&stubs, 2), @"standing etcd-health receive preload snapshot etcd-health etcd-health etcd-health etcd etcd-health node network finish");
    assert_snapshot!(asked(&stubs, 4), @"standing receive preload node network finish");
    let stages: Vec<_> =
        said.stderr.lines().filter(|line| line.ends_with(" host") || line.ends_with(" hosts")).collect();
    assert_snapshot!(stages.join("\n"), @"
    connect: 6 hosts
    preflight: 6 hosts
    bundle: 6 hosts
    preload: 6 hosts
    snapshot: 3 hosts
    etcd: 1 host
    etcd: 1 host
    etcd: 1 host
    first control plane: 1 host
    other control planes: 2 hosts
    workers: 3 hosts
    network: 6 hosts
    finish: 5 hosts
    finish: 1 host
    ");
    let moved: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("moving the pods")).collect();
    assert_snapshot!(moved.join("\n"), @"
    moving the pods of h1 to other nodes
    moving the pods of h2 to other nodes
    moving the pods of h3 to other nodes
    moving the pods of h4 to other nodes
    moving the pods of h5 to other nodes
    moving the pods of h6 to other nodes
    ");
    assert!(said.stdout.contains("runs Kubernetes 1.25.2"), "{}", said.stdout);
    let told = fs::read_to_string(stubs.host(1, "told")).unwrap();
    let drain = told.lines().find(|line| line.contains("drain-node")).unwrap();
    assert_snapshot!(drain, @r#"{"request":"drain-node","name":"h1","purpose":"upgrade","timeout_seconds":300}"#);
}

#[test]
fn a_dry_run_shows_every_hosts_versions_and_the_order() {
    let stubs = three_and_three();
    let said = upgrade(&stubs, &["--dry-run", "--max-unavailable", "70%"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(said.stdout, @"
    h1, h2, h3:
    versions:
      Kubernetes: 1.25.1 → 1.25.2
      containerd: 1.6.20 → 3.5.6
    restarts:
      containerd
      kube-apiserver, kube-controller-manager, kube-scheduler
      CoreDNS and kube-proxy, pod by pod
    what users notice:
      this host's API server does not answer while it and etcd restart; the others do, unless they are reached through this host alone
      this host's pods are moved to other nodes before, as far as their PodDisruptionBudgets allow
    cannot be undone:
      until the first host has finished the upgrade, `kinstall rollback --config` undoes it; afterwards going back takes a new installation with the snapshot of etcd that is taken before
      containerd 3.5.6 may write its data in a way that containerd 1.6.20 cannot read; after a rollback, images may be missing

    h4, h5, h6:
    versions:
      Kubernetes: 1.25.1 → 1.25.2
      containerd: 1.6.20 → 3.5.6
    restarts:
      containerd
    what users notice:
      this host's pods are moved to other nodes before, as far as their PodDisruptionBudgets allow
    cannot be undone:
      until the first host has finished the upgrade, `kinstall rollback --config` undoes it; afterwards going back takes a new installation with the snapshot of etcd that is taken before
      containerd 3.5.6 may write its data in a way that containerd 1.6.20 cannot read; after a rollback, images may be missing

    order:
      etcd, one after another: h1, h2, h3
      control planes, one after another: h1, h2, h3
      workers, at most 2 at a time: h4, h5, h6
    ");
    assert_snapshot!(asked(&stubs, 1), @"standing state etcd-health");
    let said = upgrade(&stubs, &["--dry-run", "--output", "json"]);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outlined: Vec<_> = events.iter().filter(|event| event["event"] == "outlined").collect();
    assert_eq!((outlined.len(), &outlined[5]["host"]), (6, &json!("h6")));
    let order = events.iter().find(|event| event["event"] == "order-planned").unwrap();
    assert_eq!((&order["workers"], &order["maxUnavailable"]), (&json!(["h4", "h5", "h6"]), &json!(1)));
}

#[test]
fn removed_apis_are_told_once_for_the_control_planes() {
    let stubs = cluster(&[SERVER, WORKER]);
    state(&stubs, 2, |state| {
        state["deprecatedApis"] = json!([
            { "api": "v1", "resource": "componentstatuses", "removedIn": null, "goesNow": false }]);
        state["storedObjects"] = json!({ "count": 2, "unknown": ["FlowSchema in flowcontrol.apiserver.k8s.io/v1: timed out"], "objects": [
            { "removedIn": "1.25", "goesNow": true, "api": "policy/v1beta1", "kind": "PodDisruptionBudget", "namespace": "shop",
              "name": "web", "managers": ["helm"], "inLastApplied": true },
            { "removedIn": "1.26", "goesNow": false, "api": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler",
              "namespace": "shop", "name": "web", "managers": ["operator"], "inLastApplied": false }] });
    });
    let said = upgrade(&stubs, &["--dry-run"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let (_, told) = said.stdout.split_once("deprecated APIs").unwrap();
    let (told, workers) = told.split_once("\n\n").unwrap();
    assert_snapshot!(told, @"
     that were asked for since the API server started:
      componentstatuses in v1: deprecated
    stored objects last written through an API version that Kubernetes removes:
      PodDisruptionBudget shop/web in policy/v1beta1, written by helm, in the manifest that was applied last: Kubernetes 1.25 does not have it; change what writes it
      HorizontalPodAutoscaler shop/web in autoscaling/v2beta2, written by operator: goes with Kubernetes 1.26
    kinds that could not be searched for such objects:
      FlowSchema in flowcontrol.apiserver.k8s.io/v1: timed out
    ");
    assert!(!workers.contains("stored objects"), "{workers}");
    let said = upgrade(&stubs, &["--dry-run", "--output", "json"]);
    let events = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let outlined: Vec<_> = events.filter(|event| event["event"] == "outlined").collect();
    assert_eq!(outlined[0]["storedObjects"]["objects"][0]["managers"], json!(["helm"]));
    assert_eq!(outlined[1]["storedObjects"]["count"], 0);
}

#[test]
fn after_a_host_that_is_not_well_no_other_is_touched() {
    let stubs = three_and_three();
    let report = json!({ "error": "step 5 of 20, `upgrade-kubelet`, failed", "causes": ["its node is not ready yet"], "hint": "resume" });
    stubs.set(2, "reply-node", &failed(&report));
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h2 failed in stage `other control planes`: step 5 of 20, `upgrade-kubelet`, failed; the node h2 takes no pods until the upgrade is resumed
      caused by: its node is not ready yet
      hint: resume
    error: 1 of 6 hosts failed: h2; the others stopped, since a host is upgraded only while those before it are healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert!(asked(&stubs, 3).ends_with("etcd"), "{}", asked(&stubs, 3));
    assert!(asked(&stubs, 4).ends_with("preload"), "{}", asked(&stubs, 4));
}

#[test]
fn a_worker_that_fails_stops_those_that_did_not_begin() {
    let stubs = three_and_three();
    stubs.set(4, "reply-node", &failed(&json!({ "error": "failed", "causes": [], "hint": null })));
    assert_eq!(upgrade(&stubs, &[]).code, Some(1));
    assert!(asked(&stubs, 5).ends_with("preload") && asked(&stubs, 6).ends_with("preload"));
}

#[test]
fn a_host_without_room_for_the_images_stops_all_before_anything_changes() {
    let stubs = three_and_three();
    stubs.set(6, "reply-preload", &failed(&json!({ "error": "no space left", "causes": [], "hint": "make room" })));
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h6 failed in stage `preload`: no space left
      hint: make room
    error: 1 of 6 hosts failed: h6; the others stopped, since every host has to have the new programs and images, and etcd to be saved, before anything that runs is changed
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert!((1..=6).all(|number| asked(&stubs, number).ends_with("preload")));
}

#[test]
fn a_node_whose_pods_cannot_move_takes_pods_again_and_is_not_changed() {
    let stubs = cluster(&[SERVER, WORKER]);
    let report = json!({ "error": "the pods of h1 could not be moved to other nodes",
                         "causes": ["Cannot evict pod as it would violate the pod's disruption budget."], "hint": null });
    stubs.set(1, "reply-drain", &failed(&report));
    let said = upgrade(&stubs, &["--drain-timeout", "30s"]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h1 failed in stage `first control plane`: the pods of h1 could not be moved to other nodes
      caused by: Cannot evict pod as it would violate the pod's disruption budget.
      hint: see which PodDisruptionBudget allows no eviction: `kubectl get poddisruptionbudgets -A`; or give more time: `--drain-timeout 120s`
    error: 1 of 2 hosts failed: h1; the others stopped, since a host is upgraded only while those before it are healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
    assert!(asked(&stubs, 1).ends_with("drain reopen"), "{}", asked(&stubs, 1));
}

#[test]
fn the_same_command_resumes_and_drains_no_host_again() {
    let stubs = cluster(&[SERVER, SERVER, SERVER, WORKER]);
    let target = Digest::of(new_list(&stubs).as_bytes());
    for number in 1..=4 {
        let turn = ["done", "begun", "", "not-begun"][number - 1];
        stand(&stubs, number, &former_list(&stubs, "1.25.1"), Some(target), turn);
    }
    // The end of this one came already.
    stand(&stubs, 3, &new_list(&stubs), None, "not-begun");
    state(&stubs, 4, |state| state["nodes"][1]["is_ready"] = json!(false));
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let moved: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("moving the pods")).collect();
    assert_eq!(moved, ["moving the pods of h4 to other nodes"]);
    assert!(asked(&stubs, 2).split(' ').any(|request| request == "node"), "{}", asked(&stubs, 2));
    assert!(!asked(&stubs, 1).split(' ').any(|request| request == "node"), "{}", asked(&stubs, 1));
    assert!(!asked(&stubs, 3).split(' ').any(|request| request == "preload"), "{}", asked(&stubs, 3));
}

#[test]
fn a_cluster_with_the_bundle_already_is_left_alone() {
    let stubs = three_and_three();
    (1..=6).for_each(|number| stand(&stubs, number, &new_list(&stubs), None, "not-begun"));
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("nothing to do on 6 hosts"), "{}", said.stderr);
    assert_eq!(asked(&stubs, 1), "standing");
}

#[test]
fn a_cluster_that_is_not_well_or_lacks_a_host_is_refused_and_nothing_is_changed() {
    let stubs = three_and_three();
    let refused = |stubs: &Stubs| {
        let said = upgrade(stubs, &[]);
        assert_nothing_was_changed(stubs, &said);
        said.stderr[said.stderr.find("error: ").unwrap()..].to_owned()
    };
    state(&stubs, 6, |state| state["nodes"][4]["is_ready"] = json!(false));
    assert_snapshot!(refused(&stubs), @"
    error: node h5 is not ready; nothing was changed
    hint: a cluster has to be healthy before it is upgraded; `kinstall status` shows what is not
    ");
    state(&stubs, 6, |state| state["nodes"][4]["lone_pods"] = json!(["default/tool"]));
    assert_snapshot!(refused(&stubs), @"
    error: pods without a controller would be lost when their nodes are drained: default/tool on h5; nothing was changed
    hint: delete them (`kubectl delete pod`), or let a Deployment or a Job have them
    ");
    state(&stubs, 6, |_| ());
    stubs.set(3, "reply-etcd-health", &answer(&json!("context deadline exceeded")));
    assert_snapshot!(refused(&stubs), @"
    error: the member of etcd on h3 is not healthy: context deadline exceeded; nothing was changed
    hint: a cluster has to be healthy before it is upgraded: `journalctl -u etcd` on the host
    ");
    fs::remove_file(stubs.host(3, "reply-etcd-health")).unwrap();
    stand(&stubs, 5, &former_list(&stubs, "1.25.0"), None, "not-begun");
    assert_snapshot!(refused(&stubs), @"
    error: hosts were set up from different bundles: h5; h1, h2, h3, h4, h6; nothing was changed
    hint: `kinstall status` on a host shows its bundle; bring all hosts to one of them first
    ");
    (1..=6).for_each(|number| stand(&stubs, number, &former_list(&stubs, "1.26.1"), None, "not-begun"));
    assert_snapshot!(refused(&stubs), @"
    error: Kubernetes 1.26.1 cannot become 1.25.2: it is never downgraded; nothing was changed
    hint: build a bundle of a version that may follow; `kinstall status` shows the present one
    ");
    stand(&stubs, 2, &former_list(&stubs, "1.25.1"), Some(Digest::of(b"another")), "not-begun");
    assert_snapshot!(refused(&stubs), @"
    error: an upgrade of h2 to another bundle is not finished; nothing was changed
    hint: finish it with that bundle first
    ");
    stubs.set(6, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(6, "code", "255");
    assert_snapshot!(refused(&stubs), @"
    error: h6 cannot be reached: cannot connect to 192.0.2.7: ssh: connect to host: Connection timed out; nothing was changed
    hint: bring the host up first; or, if it will not come back: `kinstall remove h6 --dead`
    ");
}

#[test]
fn a_member_of_etcd_that_is_not_healthy_comes_first_and_the_others_wait() {
    let stubs = three_and_three();
    let target = Digest::of(new_list(&stubs).as_bytes());
    (1..=6).for_each(|number| stand(&stubs, number, &former_list(&stubs, "1.25.1"), Some(target), "not-begun"));
    stubs.set(3, "reply-etcd-health", &answer(&json!("context deadline exceeded")));
    let said = upgrade(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.end(), @"
    h3 failed in stage `etcd`: its member of etcd is not healthy; no other member is stopped meanwhile
      caused by: context deadline exceeded
      hint: `journalctl -u etcd` on the host says more
    error: 1 of 6 hosts failed: h3; the others stopped, since a host is upgraded only while those before it are healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
    let has_changed = |number| asked(&stubs, number).split(' ').any(|request| request == "etcd");
    assert_eq!([1, 2, 3].map(has_changed), [false, false, true]);
}
