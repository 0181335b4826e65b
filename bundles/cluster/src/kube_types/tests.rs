use serde_json::{Value, json};

use super::*;

fn told(structure: Structure, fields: Value, version: Option<&str>) -> String {
    let Value::Object(fields) = fields else { panic!("{fields}") };
    let found = flaws(structure, &fields, version.map(|version| version.parse().unwrap()));
    found.iter().map(|flaw| format!("{}: {}", flaw.path, flaw.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_table_has_every_minor_that_is_installed_and_only_types_that_are_known() {
    assert_eq!(fields::minors(), (25..=36).collect::<Vec<u16>>());
    let scalars = [
        "bool", "string", "float", "int8", "int32", "int", "int64", "uint8", "uint16", "uint32", "uint", "uint64",
        "duration", "quantity", "any",
    ];
    let names: Vec<_> = fields::structure_names().collect();
    assert!(names.len() > 20 && fields::kinds().count() > 200);
    for kind in fields::kinds() {
        let inner = kind.replace("[]", "").replace("map:", "");
        let known = match inner.strip_prefix('#') {
            Some(name) => names.contains(&name),
            None => scalars.contains(&inner.as_str()),
        };
        assert!(known, "{kind}");
    }
}

#[test]
fn sound_fields_are_taken() {
    let fields = json!({
        "systemReserved": {"cpu": "500m"}, "evictionHard": {"memory.available": "500Mi"}, "serverTLSBootstrap": true,
        "shutdownGracePeriod": "30s", "authentication": {"webhook": {"cacheTTL": "0s"}}, "podPidsLimit": -1,
        "registerWithTaints": [{"key": "a", "effect": "NoSchedule"}], "featureGates": {"A": false},
        "logging": {"format": "json", "verbosity": 2},
    });
    for version in [None, Some("1.25.2"), Some("1.30.0"), Some("1.36.3"), Some("1.99.0")] {
        assert_eq!(told(Structure::Kubelet, fields.clone(), version), "", "{version:?}");
    }
    let fields = json!({"ipvs": {"scheduler": "rr", "excludeCIDRs": ["10.0.0.0/8"]}, "conntrack": {"maxPerCore": 0}});
    assert_eq!(told(Structure::KubeProxy, fields, Some("1.36.3")), "");
}

#[test]
fn a_typo_is_found_with_what_was_meant() {
    insta::assert_snapshot!(told(Structure::Kubelet, json!({"systemReservd": {}, "podPidLimit": 1, "zzz": 1, "authentication": {"webhok": {}}}), None), @"
        authentication.webhok: no kubelet of Kubernetes 1.25 to 1.36 has a field `webhok`; did you mean `webhook`?
        podPidLimit: no kubelet of Kubernetes 1.25 to 1.36 has a field `podPidLimit`; did you mean `podPidsLimit`?
        systemReservd: no kubelet of Kubernetes 1.25 to 1.36 has a field `systemReservd`; did you mean `systemReserved`?
        zzz: no kubelet of Kubernetes 1.25 to 1.36 has a field `zzz`
        ");
    insta::assert_snapshot!(told(Structure::KubeProxy, json!({"ipvs": {"strictArp": true}}), Some("1.31.0")), @"ipvs.strictArp: the kube-proxy of Kubernetes 1.31.0 has no field `strictArp`; did you mean `strictARP`?");
}

#[test]
fn values_have_the_types_of_their_fields() {
    insta::assert_snapshot!(told(Structure::Kubelet, json!({"podPidsLimit": "many", "port": 4_000_000_000_u64, "serverTLSBootstrap": "yes", "shutdownGracePeriod": 30, "systemReserved": {"cpu": 1}, "tlsCipherSuites": "A", "authentication": null}), None), @r#"
    authentication: it has no value; write one, or remove the field
    podPidsLimit: it has to be a whole number, and it is "many"
    port: it has to be a whole number of 32 bits, and it is 4000000000
    serverTLSBootstrap: it has to be true or false, and it is "yes"
    shutdownGracePeriod: it has to be a time such as `30s` or `1h30m`, and it is 30
    systemReserved.cpu: it has to be a text (in quotes, where YAML would read something else), and it is 1
    tlsCipherSuites: it has to be a list, and it is "A"
    "#);
}

#[test]
fn a_field_is_of_the_versions_that_have_it() {
    insta::assert_snapshot!(told(Structure::Kubelet, json!({"failCgroupV1": true}), Some("1.30.14")), @"failCgroupV1: the kubelet of Kubernetes 1.30.14 has no field `failCgroupV1`; those of 1.31 to 1.36 have");
    for version in [None, Some("1.31.0"), Some("1.37.1")] {
        assert_eq!(told(Structure::Kubelet, json!({"failCgroupV1": true}), version), "");
    }
}

#[test]
fn flags_and_admission_plugins_are_those_of_the_version() {
    let flag = |name: &str, version: Option<&str>| {
        unknown_flag(Program::ApiServer, name, version.map(|text| text.parse().unwrap()))
    };
    let plugin = |name: &str, version: Option<&str>| unknown_plugin(name, version.map(|text| text.parse().unwrap()));
    for version in [None, Some("1.25.2"), Some("1.30.0"), Some("1.36.3")] {
        assert_eq!(flag("oidc-issuer-url", version), None);
        assert_eq!(plugin("AlwaysPullImages", version), None);
    }
    insta::assert_snapshot!(flag("oidc-issuer", None).unwrap(), @"no kube-apiserver of Kubernetes 1.25 to 1.37 has a flag `oidc-issuer`; did you mean `oidc-issuer-url`?");
    insta::assert_snapshot!(plugin("PodSecurityPolicy", None).unwrap(), @"no kube-apiserver of Kubernetes 1.25 to 1.37 has a plugin for admission `PodSecurityPolicy`");
    insta::assert_snapshot!(plugin("SecurityContextDeny", Some("1.36.3")).unwrap(), @"the kube-apiserver of Kubernetes 1.36.3 has no plugin for admission `SecurityContextDeny`; it was seen in 1.25 to 1.25");
    // Between two tables, the fields of either may exist.
    assert_eq!(plugin("SecurityContextDeny", Some("1.29.0")), None);
    assert_eq!(plugin("PodTopologyLabels", Some("1.29.0")), None);
    assert!(plugin("PodTopologyLabels", Some("1.25.2")).is_some());
}
