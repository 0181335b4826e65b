//! `kinstall status` for the hosts of cluster.yaml: the questions to them, and the use of their answers.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer, set_up, status};
use super::{SERVER, WORKER};

fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, WORKER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    stubs
}

fn say(stubs: &Stubs, more: &[&str]) -> Said {
    stubs.kinstall(&[&["status", "--config", "cluster.yaml"], more].concat(), &[])
}

/// What a host says, changed.
fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut status = status();
    change(&mut status);
    answer(&status)
}

#[test]
fn every_host_is_asked_with_its_part_of_the_description() {
    let stubs = cluster();
    let said = say(&stubs, &["--deep"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_snapshot!(said.stdout, @"
    h1: healthy
    h2: healthy
    h3: healthy
    Kubernetes 1.25.2, from the bundle with list sha256:1
    cluster.yaml is what the cluster stands by
    3 of 3 hosts are healthy
    ");
    assert_eq!([1, 2, 3].map(|number| stubs.requests(number)), ["survey status"; 3]);
    let asked = |number| {
        let told = fs_err::read_to_string(stubs.host(number, "told")).unwrap();
        serde_json::from_str::<Value>(told.lines().last().unwrap()).unwrap()
    };
    assert_eq!(asked(2)["deep"], true);
    let hosts = |number| asked(number)["spec"]["hosts"].as_array().unwrap().len();
    assert_eq!([hosts(1), hosts(2)], [3, 2], "a worker is told nothing of other workers");
}

#[test]
fn differences_are_told_once_and_change_no_exit_code() {
    let stubs = cluster();
    let sans = json!({ "setting": "api.certificate-sans", "standing": "[]", "wanted": "[k8s.example]", "effect": "rolled-out",
                       "how": "the API server's certificate", "restarts": "the API server" });
    let refused = json!({ "setting": "network.dns-domain", "standing": "cluster.local", "wanted": "plant.example",
                          "effect": "refused", "reason": "pods look names up in it", "byHand": "set up a new cluster" });
    stubs.set(1, "reply-status", &with(|status| status["settings"] = json!([sans, refused])));
    stubs.set(2, "reply-status", &with(|status| status["settings"] = json!([refused])));
    stubs.set(3, "reply-status", &with(|status| status["installed"]["listDigest"] = json!("sha256:2")));
    let said = say(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(said.stdout, @"
    h1: healthy
    h2: healthy
    h3: healthy
    hosts were set up from different bundles:
      h1, h2: Kubernetes 1.25.2, list sha256:1
      h3: Kubernetes 1.25.2, list sha256:2
    cluster.yaml differs from what the cluster stands by:
      change api.certificate-sans was [] and is [k8s.example] now: the API server's certificate; restarts the API server
      refuse network.dns-domain was cluster.local and is plant.example now: cannot change, since pods look names up in it; set up a new cluster
    3 of 3 hosts are healthy
    ");
    let said = say(&stubs, &["--output", "json"]);
    let read: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(read["hosts"][1]["status"]["settings"], json!([refused]));
    assert_eq!(read["bundles"][1], json!({ "listDigest": "sha256:2", "kubernetesVersion": "1.25.2", "hosts": ["h3"] }));
}

#[test]
fn a_host_that_is_not_healthy_or_silent_decides_the_exit_code() {
    let stubs = cluster();
    let ill = with(|status| {
        status["healthy"] = json!(false);
        status["upgrade"] = json!({ "kubernetesVersion": "1.26.0", "changesBegun": true, "rollingBack": false });
        status["steps"] = json!([{ "id": "ready", "state": "cut-off" }]);
        status["units"] = json!({ "kubelet.service": { "active": "failed", "file": "enabled" } });
        status["missingUnits"] = json!(["etcd.service"]);
        status["nodes"] = json!([{ "name": "h2", "ready": false, "message": "no", "kubeletVersion": "v1.25.2" }]);
    });
    stubs.set(2, "reply-status", &ill);
    stubs.set(3, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(3, "code", "255");
    let said = say(&stubs, &[]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.stdout, @"
    h1: healthy
    h2: not healthy
      the upgrade to Kubernetes 1.26.0 is not finished
      step ready: interrupted
      service kubelet.service: failed
      service etcd.service: gone
      node h2: not ready
    h3: unknown: cannot connect to 192.0.2.4: ssh: connect to host: Connection timed out
    Kubernetes 1.25.2, from the bundle with list sha256:1
    cluster.yaml is what the cluster stands by
    1 of 3 hosts are healthy
    ");
}
