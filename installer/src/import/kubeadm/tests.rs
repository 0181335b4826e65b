use std::collections::BTreeMap;

use proptest::prelude::*;

use super::arbitrary::{AUDIT_POLICY, spec};
use super::*;
use crate::config::{FlagValue, KubeProxy, Kubelet};
use crate::fixture;
use crate::inputs::Inputs;
use crate::kube_types::Program;
use crate::kubeadm::{configuration, control_plane_files, flags_of};
use crate::topology::Topology;

/// The settings that public kubeadm files contain most often, in one file.
const PUBLIC: &str = include_str!("tests/public.yaml");

fn imported(text: &str, files: &[(&str, &str)]) -> Imported {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    let found = import(text, &|path| files.get(path).map(|&text| text.to_owned())).unwrap();
    found.spec.validate().unwrap();
    found
}

fn remarks(found: &Imported) -> String {
    found.remarks.iter().map(|Remark { place, message }| format!("{place}: {message}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_public_files_set_is_taken_over_and_the_rest_is_named() {
    let found = imported(PUBLIC, &[("/etc/kubernetes/own-policy.yaml", AUDIT_POLICY)]);
    insta::assert_snapshot!(serde_yaml::to_string(&found.spec.without_defaults()).unwrap());
    insta::assert_snapshot!(remarks(&found));
    for version in ["1.25.2", "1.36.3"] {
        found.spec.validate_for(version.parse().unwrap()).unwrap();
    }
}

#[test]
fn a_file_that_is_not_here_is_named_with_the_key_for_its_content() {
    let found = imported(PUBLIC, &[]);
    assert_eq!(found.spec.api_server.audit_policy, None);
    assert!(
        remarks(&found)
            .contains("/etc/kubernetes/own-policy.yaml is not here; put it beside this file and import again")
    );
}

#[test]
fn older_and_newer_forms_say_the_same() {
    let of = |version: &str, args: &str| {
        let text = format!(
            "apiVersion: kubeadm.k8s.io/{version}\nkind: ClusterConfiguration\nclusterName: a\napiServer:\n  extraArgs: {args}\n"
        );
        imported(&text, &[]).spec
    };
    let map = "{service-node-port-range: 80-32767, feature-gates: 'A=true,B=false', v: '2'}";
    let list = "[{name: service-node-port-range, value: 80-32767}, {name: feature-gates, value: 'A=true,B=false'}, {name: v, value: '2'}]";
    let spec = of("v1beta2", map);
    assert_eq!(spec.api_server.service_node_ports.as_deref(), Some("80-32767"));
    assert_eq!(spec.api_server.extra_args["v"], FlagValue::from("2"));
    assert_eq!(of("v1beta3", map), spec);
    assert_eq!(of("v1beta4", list), spec);
    let several =
        "[{name: service-account-issuer, value: 'https://a'}, {name: service-account-issuer, value: 'https://b'}]";
    assert_eq!(of("v1beta4", several).api_server.service_account_issuers, ["https://a", "https://b"]);
    let error = import("apiVersion: kubeadm.k8s.io/v1beta1\nkind: ClusterConfiguration\n", &|_| None).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"ClusterConfiguration is of kubeadm.k8s.io/v1beta1, and kubeadm.k8s.io/v1beta2, v1beta3 and v1beta4 are read; `kubeadm config migrate` of an older release rewrites it");
}

#[test]
fn an_endpoint_is_a_name_or_an_address() {
    let of = |endpoint: &str| {
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: '{endpoint}'\n"
        );
        let found = import(&text, &|_| None).unwrap();
        (
            found.spec.api.endpoint.map(|name| name.to_string()),
            found.spec.api.port,
            found.spec.api.certificate_sans,
            found.remarks.len(),
        )
    };
    assert_eq!(of("lb.example.com:8443"), (Some("lb.example.com".to_owned()), 8443, vec![], 0));
    assert_eq!(of("lb.example.com"), (Some("lb.example.com".to_owned()), 6443, vec![], 0));
    assert_eq!(of("192.0.2.9:6443"), (None, 6443, vec!["192.0.2.9".to_owned()], 1));
    assert_eq!(of("[2001:db8::9]:6443"), (None, 6443, vec!["2001:db8::9".to_owned()], 1));
    let error =
        import("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: a:b\n", &|_| {
            None
        });
    insta::assert_snapshot!(error.unwrap_err().to_string(), @"ClusterConfiguration.controlPlaneEndpoint is `a:b`, and that is not a name or address with a port");
}

#[test]
fn what_no_kubernetes_takes_is_left_out_and_named() {
    let found = imported(
        "apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\nuseHyperKubeImage: true\n\
         apiServer: {extraArgs: {insecure-port: '0', enable-admission-plugins: 'NodeRestriction,PodSecurityPolicy'}}\n\
         controllerManager: {extraArgs: {cluster-cidr: 10.0.0.0/8, horizontal-pod-autoscaler-sync-period: 10s}}\n\
         ---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ndynamicConfigDir: /x\npodPidsLimit: 500\nresolvConf: /x\n",
        &[],
    );
    insta::assert_snapshot!(remarks(&found));
    assert_eq!(found.spec.kubelet.config["podPidsLimit"], 500);
    assert_eq!(found.spec.controller_manager.extra_args.len(), 1);
}

#[test]
fn kubeadms_own_defaults_say_nothing() {
    let found = imported(include_str!("tests/defaults.yaml"), &[]);
    insta::assert_snapshot!(remarks(&found), @"
    InitConfiguration.bootstrapTokens: left out: kinstall makes tokens itself
    InitConfiguration.timeouts: left out: kinstall waits as long as it takes
    ClusterConfiguration.kubernetesVersion: left out: the bundle decides the version
    InitConfiguration.nodeRegistration.name: left out: a cluster of one host has the host's own name
    ");
    assert_eq!(found.spec.kubelet, Kubelet::default());
    assert_eq!(found.spec.network.kube_proxy, KubeProxy::default());
}

/// A flag in cluster.yaml that kinstall sets to the same value anyway is not a setting of the site's.
fn without_what_is_said_anyway(mut spec: ClusterSpec) -> ClusterSpec {
    let usual = ClusterSpec { security: spec.security, ..ClusterSpec::default() };
    for (program, flags) in [
        (Program::ApiServer, &mut spec.api_server.extra_args),
        (Program::ControllerManager, &mut spec.controller_manager.extra_args),
        (Program::Scheduler, &mut spec.scheduler.extra_args),
    ] {
        let usual = flags_of(program, &usual);
        flags.retain(|name, value| usual.get(name) != Some(value));
    }
    spec
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// kinstall's configuration for kubeadm, imported again, is the same cluster, in each version of kubeadm's form.
    #[test]
    fn what_is_written_for_kubeadm_is_read_back(spec in spec(), version in proptest::sample::select(&["1.25.2", "1.30.14", "1.31.14", "1.36.3"][..])) {
        let spec = without_what_is_said_anyway(spec);
        spec.validate().unwrap();
        let (facts, list) = (fixture::facts(), fixture::list(version));
        let written = |spec: &ClusterSpec| {
            let topology = Topology::single(spec, &facts).unwrap();
            configuration(&Inputs { spec, facts: &facts, list: &list, topology: &topology }).unwrap()
        };
        let files = control_plane_files(&spec, "node-1");
        let read_file = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.content.clone());
        let text = written(&spec);
        let found = import(&text, &read_file).unwrap();
        prop_assert_eq!(&found.spec, &spec);
        prop_assert_eq!(written(&found.spec), text);
        prop_assert_eq!(control_plane_files(&found.spec, "node-1"), files);
    }
}

#[test]
fn networks_of_both_families_and_of_ipv6_alone_are_taken_over() {
    let of = |address: &str, networking: &str| {
        imported(
            &format!(
                "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {{advertiseAddress: '{address}'}}\n\
                 ---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n\
                 controlPlaneEndpoint: '[2001:db8::9]:6443'\nnetworking: {{{networking}}}\n\
                 controllerManager: {{extraArgs: [{{name: node-cidr-mask-size-ipv6, value: '80'}}]}}\n"
            ),
            &[],
        )
    };
    let found = of("192.0.2.1", "podSubnet: '10.1.0.0/16,fd00:1::/64', serviceSubnet: '10.2.0.0/16, fd00:2::/112'");
    assert_eq!(found.spec.network.pod_cidr.to_string(), "10.1.0.0/16,fd00:1::/64");
    assert_eq!(found.spec.network.service_cidr.to_string(), "10.2.0.0/16,fd00:2::/112");
    assert_eq!(found.spec.network.node_cidr_mask_size_ipv6, 80);
    assert_eq!(found.spec.api.certificate_sans, ["2001:db8::9"]);
    let found = of("2001:db8::1", "podSubnet: 'fd00:1::/64', serviceSubnet: 'fd00:2::/112'");
    assert_eq!(found.spec.api.address, "2001:db8::1".parse().ok());
    assert!(!remarks(&found).contains("IPv6"), "{}", remarks(&found));
}
