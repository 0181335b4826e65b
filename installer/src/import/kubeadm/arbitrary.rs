//! Random clusters for tests.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use crate::config::{
    Admission, ApiServer, ClusterSpec, Component, EtcdSpec, ExternalEtcd, ExtraVolume, Fields, FlagValue, Flags,
    KubeProxy, KubeProxyMode, Kubelet, Oidc, Switch,
};
use crate::pki::{Authority, PrivateKey};

/// An example of a site's audit policy.
pub const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";

fn text() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}"
}

fn flags(names: &'static [&'static str]) -> impl Strategy<Value = Flags> {
    let value = prop_oneof![text(), "[0-9]{1,4}", Just("true".to_owned()), "[a-z]{1,4}=[a-z]{1,4},[a-z]{1,4}"];
    proptest::collection::btree_map(
        proptest::sample::select(names).prop_map(str::to_owned),
        value.prop_map(FlagValue::from),
        0..3,
    )
}

fn gates() -> impl Strategy<Value = BTreeMap<String, bool>> {
    proptest::collection::btree_map("[A-Z][A-Za-z]{3,9}", any::<bool>(), 0..3)
}

fn volumes() -> impl Strategy<Value = Vec<ExtraVolume>> {
    let path = || "/srv/[a-z]{1,8}";
    let volume = (path(), proptest::option::of(path()), any::<bool>(), proptest::option::of(Just("File".to_owned())));
    proptest::collection::vec(volume, 0..3).prop_map(|volumes| {
        let numbered = volumes.into_iter().enumerate();
        let volume =
            |(index, (host_path, mount_path, read_only, path_type)): (usize, (String, Option<String>, _, _))| {
                ExtraVolume {
                    name: format!("own-{index}"),
                    mount_path: mount_path.filter(|path| *path != host_path),
                    host_path,
                    read_only,
                    path_type,
                }
            };
        numbered.map(volume).collect()
    })
}

fn component(names: &'static [&'static str]) -> impl Strategy<Value = Component> {
    (flags(names), volumes(), gates()).prop_map(|(extra_args, extra_volumes, feature_gates)| Component {
        extra_args,
        extra_volumes,
        feature_gates,
    })
}

fn oidc() -> impl Strategy<Value = Oidc> {
    let optional = || proptest::option::of(text());
    let authority = Authority::new("id.example", PrivateKey::generate().unwrap());
    let ca = proptest::option::of(Just(authority.certificate().unwrap()));
    (text(), text(), optional(), optional(), optional(), optional(), proptest::option::of((text(), text())), ca)
        .prop_map(|(issuer, client_id, username_claim, username_prefix, groups_claim, groups_prefix, claim, ca)| Oidc {
            issuer_url: format!("https://{issuer}.example"),
            client_id,
            username_claim,
            username_prefix,
            groups_claim,
            groups_prefix,
            required_claims: claim.into_iter().collect(),
            signing_algs: vec!["RS256".to_owned(), "ES256".to_owned()],
            ca,
        })
}

fn admission() -> impl Strategy<Value = Admission> {
    let configuration =
        serde_json::json!({"imagePolicy": {"kubeConfigFile": "/etc/kubernetes/admission/policy.conf", "allowTTL": 50}});
    let configured = proptest::option::of(text()).prop_map(move |content| {
        let fields = configuration.as_object().cloned().unwrap();
        let configuration = content.iter().map(|_| ("ImagePolicyWebhook".to_owned(), fields.clone())).collect();
        let files = content.into_iter().map(|content| ("policy.conf".to_owned(), content)).collect();
        Admission { configuration, files, ..Admission::default() }
    });
    (configured, any::<bool>(), any::<bool>()).prop_map(|(admission, enable, disable)| Admission {
        enable: if enable { vec!["AlwaysPullImages".to_owned()] } else { Vec::new() },
        disable: if disable { vec!["DefaultStorageClass".to_owned()] } else { Vec::new() },
        ..admission
    })
}

fn api_server() -> impl Strategy<Value = ApiServer> {
    let policy: Fields = serde_yaml::from_str(AUDIT_POLICY).unwrap();
    let names = &["max-requests-inflight", "audit-log-maxage", "profiling", "v", "runtime-config", "bind-address"];
    (
        component(names),
        proptest::option::of(oidc()),
        admission(),
        proptest::option::of(Just(policy)),
        proptest::collection::vec("https://[a-z]{1,8}", 0..2),
        proptest::option::of(Just("80-32767".to_owned())),
    )
        .prop_map(|(component, oidc, admission, audit_policy, service_account_issuers, service_node_ports)| {
            ApiServer {
                extra_args: component.extra_args,
                extra_volumes: component.extra_volumes,
                feature_gates: component.feature_gates,
                oidc,
                admission,
                audit_policy,
                service_account_issuers,
                service_node_ports,
            }
        })
}

/// Clusters of one host, with settings of every kind that kubeadm is given.
pub fn spec() -> impl Strategy<Value = ClusterSpec> {
    let kubelet = prop_oneof![
        Just(serde_json::json!({})),
        Just(
            serde_json::json!({"systemReserved": {"cpu": "500m"}, "evictionHard": {"memory.available": "5%"}, "serverTLSBootstrap": true})
        ),
        Just(
            serde_json::json!({"tlsMinVersion": "VersionTLS13", "authentication": {"webhook": {"cacheTTL": "1m0s"}}, "eventRecordQPS": 7})
        ),
    ];
    let proxy = prop_oneof![
        Just((KubeProxyMode::Iptables, false, serde_json::json!({"iptables": {"masqueradeBit": 15}}))),
        Just((KubeProxyMode::Ipvs, true, serde_json::json!({"ipvs": {"scheduler": "rr"}, "bindAddress": "127.0.0.1"}))),
        Just((KubeProxyMode::Ipvs, false, serde_json::json!({}))),
        Just((KubeProxyMode::Nftables, false, serde_json::json!({"conntrack": {"min": 7}}))),
    ];
    let security = prop_oneof![Just(Switch::Enabled), Just(Switch::Disabled)];
    let managers = &["node-monitor-period", "terminated-pod-gc-threshold", "bind-address"];
    let etcd = proptest::option::of(Just(ExternalEtcd {
        endpoints: vec!["https://192.0.2.31:2379".to_owned(), "https://etcd.example:2379".to_owned()],
        ca_file: "/srv/etcd/ca.crt".to_owned(),
        certificate_file: "/srv/etcd/client.crt".to_owned(),
        key_file: "/srv/etcd/client.key".to_owned(),
    }));
    let basics = (
        20_u8..=27,
        security.clone(),
        security,
        10_u16..=120,
        etcd,
        proptest::collection::vec("[a-z]{3,8}\\.example", 0..3),
    );
    (api_server(), component(managers), component(&["bind-address", "v"]), kubelet, proxy, basics).prop_map(
        |(api_server, controller_manager, scheduler, config, (mode, strict_arp, proxy), basics)| {
            let (node_prefix, encryption, audit, max_pods, external, sans) = basics;
            let mut spec = ClusterSpec { api_server, controller_manager, scheduler, ..ClusterSpec::default() };
            let fields = |value: Value| value.as_object().cloned().unwrap();
            spec.kubelet = Kubelet { max_pods, config: fields(config) };
            spec.network.kube_proxy = KubeProxy { mode, strict_arp, config: fields(proxy) };
            spec.network.node_cidr_mask_size = node_prefix;
            spec.security.encryption_at_rest = encryption;
            spec.security.audit_log = audit;
            if audit == Switch::Disabled {
                spec.api_server.audit_policy = None;
            }
            spec.etcd = EtcdSpec { external };
            spec.api.certificate_sans = sans;
            spec.api.certificate_sans.dedup();
            // Without it, the facts of a host would decide.
            spec.api.address = Some("10.0.0.5".parse().unwrap());
            spec.filled_in()
        },
    )
}
