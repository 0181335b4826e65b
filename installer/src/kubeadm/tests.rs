use super::*;
use crate::config::{ClusterSpec, KubeProxy, KubeProxyMode};
use crate::facts::CgroupVersion;
use crate::fixture;

fn configuration_of(version: &str, change: impl FnOnce(&mut crate::facts::HostFacts)) -> String {
    let mut facts = fixture::facts();
    change(&mut facts);
    let inputs = Inputs {
        spec: &ClusterSpec::default(),
        facts: &facts,
        list: &fixture::list(version),
        topology: &fixture::topology(),
    };
    configuration(&inputs).unwrap()
}

#[test]
fn each_release_gets_the_form_it_reads() {
    for (version, api) in [
        ("1.25.0", ConfigApi::V1Beta3),
        ("1.30.14", ConfigApi::V1Beta3),
        ("1.31.0", ConfigApi::V1Beta4),
        ("1.36.4", ConfigApi::V1Beta4),
    ] {
        assert_eq!(ConfigApi::of(version.parse().unwrap()), api, "{version}");
    }
}

#[test]
fn v1beta3_on_a_nested_host_with_cgroup_v1() {
    insta::assert_snapshot!(configuration_of("1.25.2", |facts| {
        facts.cgroups.version = CgroupVersion::V1;
        facts.conntrack_max_writable = false;
    }));
}

#[test]
fn v1beta3() {
    insta::assert_snapshot!(configuration_of("1.25.2", |_| {}));
}

#[test]
fn v1beta4_on_cgroup_v1() {
    insta::assert_snapshot!(configuration_of("1.34.0", |facts| facts.cgroups.version = CgroupVersion::V1));
}

#[test]
fn kube_proxy_is_told_its_mode_or_left_out() {
    let written = |version: &str, mode, strict_arp| {
        let mut spec = ClusterSpec::default();
        spec.network.kube_proxy = KubeProxy { mode, strict_arp, ..KubeProxy::default() };
        let (facts, list, topology) = (fixture::facts(), fixture::list(version), fixture::topology());
        let text = configuration(&Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology }).unwrap();
        let (_, document) = text.split_once("kind: KubeProxyConfiguration\n")?;
        Some(document.to_owned())
    };
    assert_eq!(written("1.25.2", KubeProxyMode::Iptables, false).unwrap(), "mode: iptables\n", "field of 1.26");
    let newer = "mode: iptables\niptables:\n  localhostNodePorts: false\n";
    assert_eq!(written("1.26.0", KubeProxyMode::Iptables, false).unwrap(), newer);
    assert_eq!(written("1.36.3", KubeProxyMode::Ipvs, true).unwrap(), "mode: ipvs\nipvs:\n  strictARP: true\n");
    assert_eq!(written("1.36.3", KubeProxyMode::Nftables, false).unwrap(), "mode: nftables\n");
    assert_eq!(written("1.36.3", KubeProxyMode::None, false), None);
}

#[test]
fn names_what_the_bundle_lacks() {
    let mut list = fixture::list("1.25.2");
    list.images.retain(|image| image.reference.short_name() != "pause");
    let inputs =
        Inputs { spec: &ClusterSpec::default(), facts: &fixture::facts(), list: &list, topology: &fixture::topology() };
    let error = configuration(&inputs).unwrap_err();
    assert_eq!(error.to_string(), "the bundle has no pause image for linux/amd64");
}

#[test]
fn images_of_others_with_the_same_short_name_do_not_count() {
    let mut list = fixture::list("1.25.2");
    let mut other = list.images[4].clone();
    other.reference = "docker.io/rancher/pause:3.6".parse().unwrap();
    list.images.insert(0, other);
    let images = ClusterImages::find(&list, &fixture::platform()).unwrap();
    assert_eq!(images.pause.to_string(), "registry.k8s.io/pause:3.8");
    assert_eq!(images.coredns.unwrap().to_string(), "registry.k8s.io/coredns/coredns:v1.9.3");
}

/// A cluster of one host with settings of the site, written as people write them.
const OF_THE_SITE: &str = "\
network: {node-cidr-mask-size: 23, kube-proxy: {mode: ipvs, strict-arp: true, config: {ipvs: {scheduler: lc}}}}
kubelet: {max-pods: 250, config: {systemReserved: {cpu: 500m}, eventRecordQPS: 0, authentication: {webhook: {cacheTTL: 1m0s}}}}
api-server:
  extra-args: {audit-log-maxage: 7, runtime-config: [api/beta=true]}
  extra-volumes: [{name: webhook, host-path: /srv/webhook, mount-path: /webhook, path-type: Directory}]
  feature-gates: {A: true, B: false}
  oidc: {issuer-url: 'https://id', client-id: k8s, groups-claim: groups, required-claims: {site: plant}}
  admission:
    enable: [AlwaysPullImages, NodeRestriction]
    disable: [DefaultStorageClass]
    configuration: {PodSecurity: {kind: PodSecurityConfiguration}}
    files: {a.conf: content}
  audit-policy: {apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None}]}
  service-node-ports: 80-32767
controller-manager: {extra-args: {bind-address: 0.0.0.0}}
scheduler: {feature-gates: {C: true}, extra-volumes: [{name: policy, host-path: /srv/policy}]}
etcd: {external: {endpoints: ['https://192.0.2.31:2379'], ca-file: /srv/ca, certificate-file: /srv/crt, key-file: /srv/key}}
kubeadm-patches:
- {target: kube-scheduler, type: json, patch: [{op: remove, path: /spec/priority}]}
- {target: kube-apiserver, patch: {spec: {priority: 1}}}
";

#[test]
fn settings_of_the_site_reach_kubeadm_in_the_form_of_each_version() {
    let spec = ClusterSpec::parse(OF_THE_SITE).unwrap();
    let facts = fixture::facts();
    let topology = crate::topology::Topology::single(&spec, &facts).unwrap();
    for version in ["1.25.2", "1.36.3"] {
        spec.validate_for(version.parse().unwrap()).unwrap();
        let inputs = Inputs { spec: &spec, facts: &facts, list: &fixture::list(version), topology: &topology };
        insta::assert_snapshot!(format!("of_the_site_{version}"), configuration(&inputs).unwrap());
    }
}

#[test]
fn a_flag_is_written_as_often_as_it_has_values() {
    let spec = ClusterSpec::parse("api-server: {service-account-issuers: ['https://a', 'https://b']}").unwrap();
    let (facts, list, topology) = (fixture::facts(), fixture::list("1.31.0"), fixture::topology());
    let text = configuration(&Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology }).unwrap();
    assert_eq!(text.matches("name: service-account-issuer\n").count(), 2, "{text}");
}

#[test]
fn a_level_of_pod_security_is_a_configuration_of_its_plugin() {
    let spec = ClusterSpec::parse("security: {audit-log: disabled, pod-security: baseline}").unwrap();
    let [file] = <[_; 1]>::try_from(control_plane_files(&spec, "node-1")).unwrap();
    insta::assert_snapshot!(format!("{:o} {}\n{}", file.mode, file.path, file.content), @"
    600 /etc/kubernetes/admission/configuration.yaml
    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - configuration:
        apiVersion: pod-security.admission.config.k8s.io/v1
        defaults:
          audit: baseline
          audit-version: latest
          enforce: baseline
          enforce-version: latest
          warn: baseline
          warn-version: latest
        exemptions:
          namespaces:
          - kube-flannel
          - kube-system
          - local-path-storage
          - metallb-system
        kind: PodSecurityConfiguration
      name: PodSecurity
    ");
    let facts = fixture::facts();
    let topology = fixture::topology();
    let inputs = Inputs { spec: &spec, facts: &facts, list: &fixture::list("1.36.3"), topology: &topology };
    let text = configuration(&inputs).unwrap();
    assert!(text.contains("value: /etc/kubernetes/admission/configuration.yaml"), "{text}");
    assert!(text.contains("hostPath: /etc/kubernetes/admission\n"), "{text}");
    assert_eq!(control_plane_files(&ClusterSpec::parse("security: {audit-log: disabled}").unwrap(), "node-1"), []);
}

#[test]
fn files_of_control_planes_are_for_root_alone_and_patches_come_in_order() {
    let spec = ClusterSpec::parse(OF_THE_SITE).unwrap();
    let files = control_plane_files(&spec, "node-1");
    let shown: Vec<_> = files.iter().map(|file| format!("{:o} {}\n{}", file.mode, file.path, file.content)).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
        600 /etc/kubernetes/audit-policy.yaml
        apiVersion: audit.k8s.io/v1
        kind: Policy
        rules:
        - level: None

        600 /etc/kubernetes/admission/configuration.yaml
        apiVersion: apiserver.config.k8s.io/v1
        kind: AdmissionConfiguration
        plugins:
        - configuration:
            kind: PodSecurityConfiguration
          name: PodSecurity

        600 /etc/kubernetes/admission/a.conf
        content
        600 /etc/kubernetes/patches/kube-scheduler00+json.yaml
        - op: remove
          path: /spec/priority

        600 /etc/kubernetes/patches/kube-apiserver01+strategic.yaml
        spec:
          priority: 1
        ");
}
