use crate::config::ClusterSpec;

/// The messages about a file, with the positions.
fn told(text: &str) -> String {
    ClusterSpec::examine(text).map_or_else(|findings| findings.to_string(), |_| "fine".to_owned())
}

fn told_for(version: &str, text: &str) -> String {
    let version = version.parse().unwrap();
    ClusterSpec::examine_for(text, Some(version)).map_or_else(|findings| findings.to_string(), |_| "fine".to_owned())
}

#[test]
fn a_typo_is_found_with_its_line_and_what_was_meant() {
    insta::assert_snapshot!(told("\
name: plant
kubelet:
  config:
    systemReserved: {cpu: 500m, memry: 1Gi}
    evictionHard:
      memory.available: 500MB
      nodefs.free: 5%
    podPidLimit: 100
api-server:
  extra-args:
    max-request-inflight: 800
    --v: 2
  admission: {enable: [AlwaysPullImage]}
  service-node-ports: 32767-30000
network:
  kube-proxy: {config: {ipvs: {shceduler: rr}}}
"), @"
    line 4, column 40: systemReserved has `memry`, not one of cpu, memory, ephemeral-storage, pid
    line 6, column 25: evictionHard has `memory.available: 500MB`, which is not a quantity or a part, such as `500Mi` or `10%`
    line 7, column 20: evictionHard has `nodefs.free`, not one of memory.available, allocatableMemory.available, nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree, containerfs.available, containerfs.inodesFree, pid.available
    line 8, column 18: `podPidLimit`: no kubelet of Kubernetes 1.25 to 1.36 has a field `podPidLimit`; did you mean `podPidsLimit`?
    line 11, column 27: no kube-apiserver of Kubernetes 1.25 to 1.37 has a flag `max-request-inflight`; did you mean `max-requests-inflight`?
    line 12, column 10: write the flag without `--`: `v`
    line 13, column 24: no kube-apiserver of Kubernetes 1.25 to 1.37 has a plugin for admission `AlwaysPullImage`; did you mean `AlwaysPullImages`?
    line 14, column 23: service-node-ports `32767-30000` is not a range of ports; write it as `30000-32767`
    line 16, column 43: `ipvs.shceduler`: no kube-proxy of Kubernetes 1.25 to 1.36 has a field `shceduler`; did you mean `scheduler`?
    ");
}

#[test]
fn what_kinstall_sets_itself_is_refused_with_the_reason() {
    insta::assert_snapshot!(told("\
kubelet: {config: {cgroupDriver: cgroupfs, maxPods: 5, authentication: {anonymous: {enabled: true}, webhook: {cacheTTL: 1m}}}}
api-server: {extra-args: {etcd-servers: 'https://a', oidc-issuer-url: 'https://b', secure-port: 7000}}
controller-manager: {extra-args: {node-cidr-mask-size: 25}}
scheduler: {extra-args: {kubeconfig: /x}}
network: {kube-proxy: {config: {mode: ipvs, ipvs: {strictARP: true}}}}
"), @"
    line 1, column 34: `cgroupDriver` cannot be set here: it is systemd on every host, and containerd is told the same
    line 1, column 53: `maxPods` cannot be set here: it is `max-pods` beside `config`
    line 1, column 84: `authentication.anonymous` cannot be set here: kinstall keeps the kubelet's API closed to all but the API server
    line 2, column 41: `etcd-servers` of kube-apiserver cannot be set here: kinstall sets it; an etcd of the site's own is `etcd.external`
    line 2, column 71: `oidc-issuer-url` of kube-apiserver cannot be set here: it is a key of `api-server.oidc`
    line 2, column 97: `secure-port` of kube-apiserver cannot be set here: it is `api.port`
    line 3, column 56: `node-cidr-mask-size` of kube-controller-manager cannot be set here: it is `network.node-cidr-mask-size`
    line 4, column 38: `kubeconfig` of kube-scheduler cannot be set here: kubeadm sets it to a file that it makes
    line 5, column 39: `mode` cannot be set here: it is `network.kube-proxy.mode`
    line 5, column 63: `ipvs.strictARP` cannot be set here: it is `network.kube-proxy.strict-arp`
    ");
}

#[test]
fn the_level_of_pods_is_set_once() {
    insta::assert_snapshot!(told("\
security: {pod-security: baseline}
api-server: {admission: {disable: [PodSecurity], configuration: {PodSecurity: {}}}}
"), @"
    line 2, column 35: it is what `security.pod-security` works by; remove one of the two
    line 2, column 79: `security.pod-security` sets a level as well; remove one of the two
    ");
}

#[test]
fn settings_contradict_nothing() {
    insta::assert_snapshot!(told("\
security: {audit-log: disabled}
network: {cni: bridge, node-cidr-mask-size: 27, kube-proxy: {mode: none, config: {conntrack: {min: 1}}}}
kubelet: {config: {evictionSoft: {memory.available: 1Gi}}}
api-server:
  audit-policy: {kind: Policies}
  oidc: {issuer-url: 'http://id', client-id: '', ca: none}
  admission: {enable: [EventRateLimit], disable: [NodeRestriction, EventRateLimit], files: {../x: y}}
  extra-volumes:
  - {name: k8s-certs, host-path: /a}
  - {name: a, host-path: b, mount-path: /c/../d, path-type: Files}
  - {name: a, host-path: /b}
  service-account-issuers: ['a b']
kubeadm-patches:
- {target: kube-scheduler, patch: [1]}
- {target: kube-scheduler, type: json, patch: {a: 1}}
"), @"
    line 2, column 45: a node may have 110 pods, and its part of pod-cidr, a /27, has addresses for 29; take a smaller node-cidr-mask-size or fewer max-pods
    line 2, column 82: with mode none there is no kube-proxy; remove its settings
    line 3, column 53: evictionSoft has `memory.available`, and evictionSoftGracePeriod has not; the kubelet needs both
    line 5, column 17: there is no audit log; remove it, or enable `security.audit-log`
    line 5, column 17: audit-policy has to be a document of `apiVersion: audit.k8s.io/v1`, `kind: Policy`, with a list of `rules`
    line 6, column 22: issuer-url `http://id` has to begin with `https://`
    line 6, column 46: client-id is empty; it is what tokens are issued for
    line 6, column 54: ca is not one or more certificates in PEM form
    line 7, column 50: NodeRestriction keeps each kubelet to its own node; it cannot be switched off
    line 7, column 50: EventRateLimit is both in `enable` and in `disable`; remove it from one of them
    line 7, column 92: `../x` cannot name a file here; take letters, digits, `-`, `_` and `.`, and not configuration.yaml
    line 7, column 92: files are for what `configuration` names, and there is none
    line 9, column 12: the pod has a volume k8s-certs already; take another name
    line 10, column 26: `b` is not an absolute path without `..`
    line 10, column 41: `/c/../d` is not an absolute path without `..`
    line 10, column 61: path-type `Files` is none of DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice
    line 11, column 12: two volumes have the name a; each needs its own
    line 12, column 29: `a b` is not an issuer; an issuer is a URL or a name without spaces
    line 14, column 35: a patch of the type strategic has to be an excerpt of the manifest
    line 15, column 47: a patch of the type json has to be a list of operations
    ");
}

#[test]
fn parts_of_nodes_have_room_for_pods_and_nodes() {
    for good in [
        "network: {node-cidr-mask-size: 23}\nkubelet: {max-pods: 250}",
        "network: {cni: bridge}\nkubelet: {max-pods: 253}",
        "network: {cni: calico}\nkubelet: {max-pods: 500}",
        "network: {cni: flannel, node-cidr-mask-size: 23}\nkubelet: {max-pods: 509}",
    ] {
        assert_eq!(told(good), "fine", "{good}");
    }
    insta::assert_snapshot!(told("network: {cni: flannel}\nkubelet: {max-pods: 254}"), @"line 1, column 10: a node may have 254 pods, and its part of pod-cidr, a /24, has addresses for 253; take a smaller node-cidr-mask-size or fewer max-pods");
    insta::assert_snapshot!(told("network: {pod-cidr: 10.0.0.0/8, service-cidr: 11.0.0.0/16, node-cidr-mask-size: 25}"), @"line 1, column 21: pod-cidr 10.0.0.0/8 is too large for parts of /25: the controller manager takes at most 2^16 of them");
    insta::assert_snapshot!(told("network: {node-cidr-mask-size: 15}"), @"line 1, column 10: pod-cidr 10.244.0.0/16 is too small; a prefix of at most 15 is needed");
    insta::assert_snapshot!(told("network: {node-cidr-mask-size: 31}"), @"line 1, column 32: node-cidr-mask-size 31 leaves no addresses for pods; 24 is usual");
}

#[test]
fn hosts_differ_in_what_they_have() {
    let host = |roles: &str, rest: &str| {
        told(&format!(
            "hosts:\n- {{name: a, address: 192.0.2.1, roles: [control-plane, etcd]}}\n- {{name: b, address: 192.0.2.2, roles: [{roles}], {rest}}}"
        ))
    };
    assert_eq!(host("worker", "kubelet: {max-pods: 10, config: {systemReserved: {cpu: '1'}}}"), "fine");
    assert_eq!(
        host("control-plane", "kubeadm-patches: [{target: kube-apiserver, patch: {spec: {hostNetwork: true}}}]"),
        "fine"
    );
    insta::assert_snapshot!(host("worker", "kubelet: {config: {resolvConf: /x}}, kubeadm-patches: [{target: kube-apiserver, patch: {}}]"), @"
    line 3, column 81: `resolvConf` cannot be set here: kinstall sets it on each host by what that host has
    line 3, column 104: host b: patches are for control planes; remove them
    ");
    insta::assert_snapshot!(host("etcd", "kubelet: {max-pods: 10}"), @"line 3, column 57: host b: it has no kubelet; remove its settings");
}

#[test]
fn an_etcd_of_the_site_stands_instead_of_members() {
    let etcd = "etcd: {external: {endpoints: ['https://192.0.2.31:2379'], ca-file: /e/ca, certificate-file: /e/crt, key-file: /e/key}}\n";
    assert_eq!(told(etcd), "fine");
    assert_eq!(told(&format!("{etcd}hosts: [{{name: a, address: 192.0.2.1, roles: [control-plane]}}]")), "fine");
    insta::assert_snapshot!(told(&format!("{etcd}hosts: [{{name: a, address: 192.0.2.1, roles: [control-plane, etcd]}}]")), @"line 2, column 46: host a has the role etcd, and the cluster has an external etcd; remove one of them");
    insta::assert_snapshot!(told("etcd: {external: {endpoints: ['http://a:1', 'https://b'], ca-file: ca, certificate-file: /e/../crt, key-file: /e/key}}"), @"
    line 1, column 31: `http://a:1` is not an endpoint of etcd such as `https://192.0.2.31:2379`
    line 1, column 45: `https://b` is not an endpoint of etcd such as `https://192.0.2.31:2379`
    line 1, column 68: ca-file `ca` is not an absolute path without `..`; it lies on every control plane
    line 1, column 90: certificate-file `/e/../crt` is not an absolute path without `..`; it lies on every control plane
    ");
}

#[test]
fn a_load_balancer_may_be_known_by_its_name_alone() {
    let hosts = "hosts: [{name: a, address: 192.0.2.1, roles: [control-plane, etcd]}]\n";
    assert_eq!(told(&format!("{hosts}api: {{load-balancer: external, endpoint: lb.example.com}}")), "fine");
}

#[test]
fn what_one_version_does_not_take_another_does() {
    let of_131 = "kubelet: {config: {failSwapOn: true, imagePullCredentialsVerificationPolicy: NeverVerify}}";
    assert_eq!(told_for("1.36.3", of_131), "fine");
    insta::assert_snapshot!(told_for("1.25.2", of_131), @"line 1, column 78: `imagePullCredentialsVerificationPolicy`: the kubelet of Kubernetes 1.25.2 has no field `imagePullCredentialsVerificationPolicy`; those of 1.33 to 1.36 have");
    let issuers = "api-server: {service-account-issuers: ['https://a', 'https://b']}";
    assert_eq!(told_for("1.31.0", issuers), "fine");
    insta::assert_snapshot!(told_for("1.30.14", issuers), @"line 1, column 39: kubeadm 1.30.14 gives `service-account-issuer` one value only; several need Kubernetes 1.31.0");
}
