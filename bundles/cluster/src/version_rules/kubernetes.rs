//! Rows about Kubernetes: kubeadm, kubelet, kube-proxy, API server.

use kbundle_format::KubeVersion;

use super::Rule;

type KubeRule = Rule<KubeVersion>;

const fn minor(minor: u16) -> KubeVersion {
    KubeVersion::new(1, minor, 0)
}

/// kubeadm's configuration is v1beta4; before, it is v1beta3.
pub const KUBEADM_V1BETA4: KubeRule = Rule {
    what: "kubeadm reads kubeadm.k8s.io/v1beta4, and warns of v1beta3",
    since: Some(minor(31)),
    until: None,
    source: "cmd/kubeadm/app/apis/kubeadm/scheme/scheme.go; v1beta3 leaves with 1.37 (CHANGELOG-1.37.md)",
};

/// The administrator with rights that no missing binding can take away: kubeadm writes super-admin.conf. admin.conf is for the group
/// `kubeadm:cluster-admins`, which has no rights until it is bound.
pub const SUPER_ADMIN_KUBECONFIG: KubeRule = Rule {
    what: "kubeadm writes super-admin.conf, and admin.conf works only once its group is bound",
    since: Some(minor(29)),
    until: None,
    source: "cmd/kubeadm/app/constants/constants.go, SuperAdminKubeConfigFileName",
};

/// kubeadm needs `conntrack` on the host.
pub const CONNTRACK_FOR_KUBEADM: KubeRule = Rule {
    what: "kubeadm refuses hosts without the program conntrack",
    since: None,
    until: Some(minor(32)),
    source: "cmd/kubeadm/app/preflight/checks_linux.go, addExecChecks",
};

/// kubeadm needs `losetup` on the host.
pub const LOSETUP_FOR_KUBEADM: KubeRule = Rule {
    what: "kubeadm refuses hosts without the program losetup",
    since: Some(minor(33)),
    until: None,
    source: "cmd/kubeadm/app/preflight/checks_linux.go, addExecChecks",
};

/// kubeadm needs `ethtool` and similar programs on the host.
pub const HELPERS_FOR_KUBEADM: KubeRule = Rule {
    what: "kubeadm warns of hosts without ethtool and socat",
    since: None,
    until: Some(minor(33)),
    source: "cmd/kubeadm/app/preflight/checks.go and checks_linux.go, addExecChecks; late patches of some minors leave socat out",
};

/// The kubelet has a setting that decides whether it starts with cgroup v1.
pub const FAIL_CGROUP_V1: KubeRule = Rule {
    what: "the kubelet knows failCgroupV1, and cgroup v1 is in maintenance",
    since: Some(minor(31)),
    until: None,
    source: "pkg/kubelet/apis/config/v1beta1/defaults.go, FailCgroupV1",
};

/// cgroup v1 is refused unless it is requested.
pub const CGROUP_V1_REFUSED: KubeRule = Rule {
    what: "failCgroupV1 is true by default, and kubeadm's SystemVerification refuses cgroup v1",
    since: Some(minor(35)),
    until: None,
    source: "pkg/kubelet/apis/config/v1beta1/defaults.go; kubernetes/system-validators v1.12.1 validators/cgroup_validator_linux.go",
};

/// A kubelet can read only what concerns its own node.
pub const NODE_SELECTORS: KubeRule = Rule {
    what: "the node authoriser lets a kubelet list only its own node and pods",
    since: Some(minor(32)),
    until: None,
    source: "pkg/features/kube_features.go, AuthorizeNodeWithSelectors",
};

/// kubeadm's note of the CRI socket on the node.
pub const CRI_SOCKET_ANNOTATION: KubeRule = Rule {
    what: "kubeadm notes the CRI socket on the node as kubeadm.alpha.kubernetes.io/cri-socket",
    since: None,
    until: Some(minor(34)),
    source: "cmd/kubeadm/app/features/features.go, NodeLocalCRISocket",
};

/// kube-proxy can leave `route_localnet` alone.
pub const LOCALHOST_NODE_PORTS: KubeRule = Rule {
    what: "kube-proxy knows iptables.localhostNodePorts; false keeps it from setting net.ipv4.conf.all.route_localnet",
    since: Some(minor(26)),
    until: None,
    source: "pkg/proxy/apis/config/types.go; pkg/proxy/iptables/proxier.go",
};

/// kube-proxy's mode nftables.
pub const NFTABLES_PROXY: KubeRule = Rule {
    what: "kube-proxy takes the mode nftables without a feature gate",
    since: Some(minor(31)),
    until: None,
    source: "pkg/features/kube_features.go, NFTablesProxyMode: alpha and off in 1.29, beta and on in 1.31, general in 1.33",
};

/// kube-proxy's mode ipvs.
pub const IPVS_DEPRECATED: KubeRule = Rule {
    what: "kube-proxy warns that the mode ipvs may be removed",
    since: Some(minor(35)),
    until: None,
    source: "cmd/kube-proxy/app/server_linux.go, IPVSDeprecation; CHANGELOG-1.35.md (pull request #134539)",
};

/// The kubelet's flag for a runtime other than Docker's.
pub const KUBELET_CONTAINER_RUNTIME: KubeRule = Rule {
    what: "the kubelet takes --container-runtime, which kubeadm of 1.25 writes; from then on it does not start with it",
    since: None,
    until: Some(minor(27)),
    source: "CHANGELOG-1.27.md (pull request #114017)",
};

/// The kubelet's flag for the pause image.
pub const KUBELET_POD_INFRA_IMAGE: KubeRule = Rule {
    what: "the kubelet takes --pod-infra-container-image, which older kubeadms write; from then on it does not start with it",
    since: None,
    until: Some(minor(35)),
    source: "CHANGELOG-1.35.md, Urgent Upgrade Notes (pull requests #133779 and #133778)",
};

/// A control plane accepts kubelets that are three minor versions older.
pub const OLDER_KUBELETS_BY_THREE: KubeRule = Rule {
    what: "a control plane takes kubelets that are up to three minors older; before, up to two",
    since: Some(minor(28)),
    until: None,
    source: "kubernetes/website content/en/releases/version-skew-policy.md; cmd/kubeadm/app/constants/constants.go, MinimumKubeletVersion",
};

/// Every row.
pub const RULES: [KubeRule; 15] = [
    KUBEADM_V1BETA4,
    SUPER_ADMIN_KUBECONFIG,
    CONNTRACK_FOR_KUBEADM,
    LOSETUP_FOR_KUBEADM,
    HELPERS_FOR_KUBEADM,
    FAIL_CGROUP_V1,
    CGROUP_V1_REFUSED,
    NODE_SELECTORS,
    CRI_SOCKET_ANNOTATION,
    LOCALHOST_NODE_PORTS,
    NFTABLES_PROXY,
    IPVS_DEPRECATED,
    KUBELET_CONTAINER_RUNTIME,
    KUBELET_POD_INFRA_IMAGE,
    OLDER_KUBELETS_BY_THREE,
];
