use super::*;
use crate::config::{Switch, schema};

const CLUSTER: &str = "\
    name: plant-7\n\
    hosts:\n\
    - {name: cp, address: 192.0.2.1, roles: [control-plane, etcd]}\n\
    - {name: w1, address: 192.0.2.3, roles: [worker], labels: {disk: ssd}, taints: ['d:NoSchedule']}\n";

fn cluster() -> ClusterSpec {
    ClusterSpec::parse(CLUSTER).unwrap()
}

/// The reported changes, one on each line.
fn told(change: impl FnOnce(&mut ClusterSpec)) -> String {
    let mut wanted = cluster();
    change(&mut wanted);
    let found = changes(&cluster(), &wanted, Scope::AllHosts);
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The places of the schema's keys that contain no other keys, or that have a rule.
fn places(schema: &Value, object: &Value, above: &str, found: &mut Vec<String>) {
    let resolve = |value: &Value| {
        let value = if value["anyOf"][0].is_object() && value["anyOf"][1]["type"] == "null" {
            &value["anyOf"][0]
        } else {
            value
        };
        value["$ref"].as_str().map_or_else(|| value.clone(), |to| schema.pointer(&to[1..]).unwrap().clone())
    };
    for (key, property) in object["properties"].as_object().unwrap() {
        let place = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let inner = resolve(property);
        let item = resolve(&inner["items"]);
        if effect_of(&place).is_some() {
            found.push(place);
        } else if inner["properties"].is_object() {
            places(schema, &inner, &place, found);
        } else if item["properties"].is_object() {
            places(schema, &item, &format!("{place}[]"), found);
        } else {
            found.push(place);
        }
    }
}

#[test]
fn every_key_has_exactly_one_rule() {
    let (schema, mut found) = (schema(), Vec::new());
    places(&schema, &schema, "", &mut found);
    let without: Vec<_> = found.iter().filter(|place| effect_of(place).is_none()).collect();
    assert!(without.is_empty(), "give each a rule in change/rules.rs: {without:?}");
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let of_rules: BTreeSet<_> = rules::RULES.iter().map(|(place, _)| *place).collect();
    assert_eq!(found, of_rules, "a rule is for no key");
    assert_eq!(rules::RULES.len(), of_rules.len(), "a key has two rules");
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    insta::assert_snapshot!(told(|spec| spec.network.pod_cidr = "10.1.0.0/16".parse().unwrap()), @"network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now: cannot change, since every pod has its address from it; set up a new cluster with it and move the applications there");
    insta::assert_snapshot!(told(|spec| spec.network.service_cidr = "10.80.0.0/16".parse().unwrap()), @"network.service-cidr was 10.96.0.0/12 and is 10.80.0.0/16 now: cannot change, since every Service has its address from it, that of the DNS too; set up a new cluster with it and move the applications there");
    insta::assert_snapshot!(told(|spec| spec.network.dns_domain = "plant.example".parse().unwrap()), @"network.dns-domain was cluster.local and is plant.example now: cannot change, since pods look names up in it, and certificates have it; set up a new cluster with it and move the applications there");
    insta::assert_snapshot!(told(|spec| spec.name = "plant-8".parse().unwrap()), @"
    api.endpoint was api.plant-7.internal and is api.plant-8.internal now: cannot change, since certificates and kubeconfigs of all hosts have it; add the new name to `api.certificate-sans`
    name was plant-7 and is plant-8 now: cannot change, since certificates, kubeconfigs and the API's name have it; set up a new cluster with it and move the applications there
    ");
    insta::assert_snapshot!(told(|spec| spec.hosts[1].address = "192.0.2.9".parse().unwrap()), @"address of host w1 was 192.0.2.3 and is 192.0.2.9 now: cannot change, since certificates, etcd and the node have it; remove the host with `kinstall remove`, and add it again as it is to be");
    insta::assert_snapshot!(told(|spec| spec.hosts.clear()), @"hosts was given and is absent now: cannot change, since a cluster without a list has the host's own name in its certificates and in etcd; put the list back as it was, or back the cluster up and set up a new one");
}

#[test]
fn what_is_rolled_out_says_what_restarts() {
    insta::assert_snapshot!(told(|spec| spec.api.certificate_sans.push("k8s.example".into())), @r#"api.certificate-sans was [] and is ["k8s.example"] now: the certificates of the API servers; restarts the API servers, one after another"#);
    insta::assert_snapshot!(told(|spec| spec.api_server.extra_args = [("v".to_owned(), "4".into())].into()), @"api-server.extra-args.v was absent and is 4 now: the static pods of the API servers; restarts the API servers, one after another");
    insta::assert_snapshot!(told(|spec| spec.kubelet.max_pods = 120), @"kubelet.max-pods was 110 and is 120 now: the configuration of the kubelets; restarts kubelets, one after another; pods live on");
    insta::assert_snapshot!(told(|spec| spec.hosts[1].labels = [("rack".to_owned(), "r1".to_owned())].into()), @"
    labels.disk of host w1 was ssd and is absent now: the node's labels; one that kinstall gave is removed when it is no longer listed; nothing restarts
    labels.rack of host w1 was absent and is r1 now: the node's labels; one that kinstall gave is removed when it is no longer listed; nothing restarts
    ");
    insta::assert_snapshot!(told(|spec| spec.host_preparation = Switch::Enabled), @"host-preparation was absent and is enabled now: hosts are made fit where it is enabled; `kinstall reset` alone takes that back; nothing restarts");
}

#[test]
fn hosts_that_come_and_go_are_named_where_all_are_known() {
    insta::assert_snapshot!(told(|spec| spec.hosts[1].name = "w2".parse().unwrap()), @"
    host w1 was listed and is absent now: the run leaves it in the cluster, if it is still there; `kinstall remove` takes it out
    host w2 was absent and is listed now: the host joins; nothing restarts
    ");
    let mut fewer = cluster();
    fewer.hosts.truncate(1);
    assert_eq!(changes(&cluster(), &fewer, Scope::HostsOfBoth), []);
}

#[test]
fn a_map_without_a_key_is_not_the_same_as_none() {
    assert!(told(|spec| spec.api_server.audit_policy = Some(serde_json::Map::new())).starts_with("api-server"));
}

#[test]
fn long_values_are_cut() {
    let long = "x".repeat(200);
    assert_eq!(shown(&Value::from(long.as_str())).chars().count(), LONGEST_VALUE + 1);
    assert_eq!(shown(&Value::from("-----BEGIN\nabc\n")), "a text of 2 lines");
    assert_eq!(shown(&Value::from("one line\n")), "one line\n");
}

#[test]
fn the_same_file_makes_no_difference_and_other_ways_to_reach_hosts_make_none() {
    for text in ["", CLUSTER, "host-preparation: enabled\n", "kubelet: {config: {systemReserved: {cpu: 500m}}}\n"] {
        let spec = ClusterSpec::parse(text).unwrap();
        for scope in [Scope::AllHosts, Scope::HostsOfBoth] {
            assert_eq!(changes(&spec, &spec, scope), []);
            assert_eq!(changes(&spec, &spec.filled_in(), scope), []);
        }
    }
    assert_eq!(told(|spec| spec.hosts[1].ssh.port = Some(2222)), "");
}

/// No rule refuses a change that `same_cluster_as` accepts.
#[test]
fn a_refused_change_makes_another_cluster() {
    let changed: [fn(&mut ClusterSpec); 4] = [
        |spec| spec.api.port = 7443,
        |spec| spec.network.node_cidr_mask_size = 25,
        |spec| spec.security.encryption_at_rest = Switch::Disabled,
        |spec| spec.hosts[1].roles = [kbundle_format::Role::Etcd].into(),
    ];
    for change in changed {
        let mut wanted = cluster();
        change(&mut wanted);
        assert!(changes(&cluster(), &wanted, Scope::AllHosts).iter().all(Change::is_refused));
        assert!(wanted.same_cluster_as(&cluster()).is_err());
    }
}
