//! `kinstall run` with a cluster.yaml that differs from the hosts' settings: what is shown, what is refused, and the order of turns.

use fs_err as fs;
use insta::assert_snapshot;
use kinstall::config::{ClusterSpec, Cni};
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, changed_survey, failed, set_up};
use super::{SERVER, WORKER};

/// Three control planes and two workers that were set up with the present cluster.yaml.
fn standing() -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    let mut spec = ClusterSpec::parse(&fs::read_to_string(stubs.path("cluster.yaml")).unwrap()).unwrap();
    spec.network.cni = Some(Cni::Bridge);
    for number in 1..=5 {
        let told = if number == 1 { spec.clone() } else { spec.for_host(&format!("h{number}")) };
        changed_survey(&stubs, number, |survey| {
            survey["standing"] = serde_json::to_value(told).unwrap();
            survey["facts"]["installation"] = json!("ours");
            survey["holdsBundle"] = json!(true);
            if number > 3 {
                survey["join"] = json!("done");
            }
        });
    }
    stubs
}

fn requests(stubs: &Stubs) -> [String; 5] {
    [1, 2, 3, 4, 5].map(|number| stubs.requests(number))
}

fn differences(said: &Said) -> Vec<Value> {
    let events = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == "settings-differ").collect()
}

#[test]
fn the_same_file_makes_no_difference() {
    let stubs = standing();
    let said = stubs.run(&["--output", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(differences(&said), Vec::<Value>::new());
}

#[test]
fn what_cannot_change_is_refused_and_no_host_is_changed() {
    for setting in [
        "name: plant-8",
        "network: {pod-cidr: 10.1.0.0/16}",
        "network: {service-cidr: 10.80.0.0/16}",
        "network: {dns-domain: plant.example}",
        "network: {node-cidr-mask-size: 25}",
        "network: {kube-proxy: {mode: none}}",
        "api: {port: 7443}",
        "api: {endpoint: k8s.plant.example}",
        "security: {encryption-at-rest: disabled}",
        // A change that could be rolled out is not, if another one cannot be made.
        "kubelet: {max-pods: 60}\napi: {port: 7443}",
    ] {
        let stubs = standing();
        stubs.write_spec(setting);
        let said = stubs.run(&[]);
        assert_eq!(said.code, Some(3), "{setting}: {}", said.stderr);
        assert!(said.end().contains("cannot change on a standing cluster; nothing was changed"), "{}", said.stderr);
        assert!(said.stdout.contains("refuse "), "{}", said.stdout);
        for requests in requests(&stubs) {
            assert!(requests.split(' ').all(|asked| ["survey", "connect", "listen"].contains(&asked)), "{requests}");
        }
    }
}

#[test]
fn a_refusal_names_the_reason_and_what_to_do() {
    let stubs = standing();
    stubs.write_spec("network: {dns-domain: plant.example}");
    let said = stubs.run(&[]);
    assert_snapshot!(said.stdout, @"
    cluster.yaml differs from what the cluster stands by:
      refuse network.dns-domain was cluster.local and is plant.example now: cannot change, since pods look names up in it, and certificates have it; set up a new cluster with it and move the applications there
    ");
    assert_snapshot!(said.end(), @"
    error: a setting of cluster.yaml cannot change on a standing cluster; nothing was changed
      caused by: network.dns-domain was cluster.local and is plant.example now: cannot change, since pods look names up in it, and certificates have it; set up a new cluster with it and move the applications there
    hint: put these keys back to their former values, then run the same command again
    ");
}

#[test]
fn a_difference_is_one_event_for_all_hosts() {
    let stubs = standing();
    stubs.write_spec("kubelet: {max-pods: 60}");
    let said = stubs.run(&["--output", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let [event] = &differences(&said)[..] else { panic!("{}", said.stdout) };
    assert_eq!(event["changes"].as_array().unwrap().len(), 1, "{event}");
    let change = &event["changes"][0];
    assert_eq!((&change["setting"], &change["effect"]), (&json!("kubelet.max-pods"), &json!("rolled-out")));
}

#[test]
fn a_host_that_fails_in_its_turn_stops_the_others() {
    let ill = json!({ "error": "the kubelet is not healthy", "causes": [], "hint": null });
    let stubs = standing();
    stubs.write_spec("kubelet: {max-pods: 60}");
    stubs.set(2, "reply-prepare", &failed(&ill));
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(said.end().contains("a host is changed only while the one before it is healthy"), "{}", said.stderr);
    let [first, second, others @ ..] = requests(&stubs);
    assert!(first.contains("prepare") && second.ends_with("prepare"), "{first}; {second}");
    assert!(others.iter().all(|asked| !asked.contains("prepare")), "{others:?}");
}

#[test]
fn standing_control_planes_have_their_turn_one_after_another() {
    let ill = json!({ "error": "kube-apiserver is not healthy", "causes": [], "hint": null });
    let stubs = standing();
    stubs.write_spec("api: {certificate-sans: [k8s.plant.example]}");
    stubs.set(2, "reply-control-plane", &failed(&ill));
    let said = stubs.run(&[]);
    assert_eq!(said.code, Some(1));
    let asked = requests(&stubs);
    assert!(asked[0].contains("control-plane") && asked[1].contains("control-plane"), "{asked:?}");
    assert!(!asked[2].contains("control-plane"), "{asked:?}");
}
