use super::*;
use crate::config::ClusterSpec;
use crate::facts::CgroupVersion;
use crate::fixture;

fn configuration_of(version: &str, change: impl FnOnce(&mut crate::facts::HostFacts)) -> String {
    let mut facts = fixture::facts();
    change(&mut facts);
    let inputs = Inputs { spec: &ClusterSpec::default(), facts: &facts, list: &fixture::list(version) };
    configuration(&inputs).unwrap()
}

#[test]
fn each_release_gets_the_form_it_reads() {
    for (version, api) in [
        ("1.20.2", ConfigApi::V1Beta2),
        ("1.21.14", ConfigApi::V1Beta2),
        ("1.22.0", ConfigApi::V1Beta3),
        ("1.30.14", ConfigApi::V1Beta3),
        ("1.31.0", ConfigApi::V1Beta4),
        ("1.36.4", ConfigApi::V1Beta4),
    ] {
        assert_eq!(ConfigApi::of(version.parse().unwrap()), api, "{version}");
    }
}

#[test]
fn v1beta2_on_a_nested_host_with_cgroup_v1() {
    insta::assert_snapshot!(configuration_of("1.20.2", |facts| {
        facts.cgroups.version = CgroupVersion::V1;
        facts.conntrack_max_writable = false;
    }), @"
    apiVersion: kubeadm.k8s.io/v1beta2
    kind: InitConfiguration
    localAPIEndpoint:
      advertiseAddress: 10.0.0.5
      bindPort: 6443
    nodeRegistration:
      name: node-1
      criSocket: unix:///run/containerd/containerd.sock
      kubeletExtraArgs:
        node-ip: 10.0.0.5
    ---
    apiVersion: kubeadm.k8s.io/v1beta2
    kind: ClusterConfiguration
    clusterName: kubernetes
    kubernetesVersion: v1.20.2
    imageRepository: k8s.gcr.io
    controlPlaneEndpoint: api.kubernetes.internal:6443
    networking:
      dnsDomain: cluster.local
      podSubnet: 10.244.0.0/16
      serviceSubnet: 10.96.0.0/12
    etcd:
      external:
        endpoints:
        - https://10.0.0.5:2379
        caFile: /etc/kubernetes/pki/etcd/ca.crt
        certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
        keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
    apiServer:
      certSANs:
      - node-1
      - 10.0.0.5
      - api.kubernetes.internal
      - 127.0.0.1
      - localhost
      extraArgs:
        audit-log-maxage: '30'
        audit-log-maxbackup: '10'
        audit-log-maxsize: '100'
        audit-log-path: /var/log/kubernetes/audit/audit.log
        audit-policy-file: /etc/kubernetes/audit-policy.yaml
        encryption-provider-config: /etc/kubernetes/encryption.yaml
        profiling: 'false'
        tls-cipher-suites: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        tls-min-version: VersionTLS12
      extraVolumes:
      - name: encryption
        hostPath: /etc/kubernetes/encryption.yaml
        mountPath: /etc/kubernetes/encryption.yaml
        readOnly: true
        pathType: File
      - name: audit-policy
        hostPath: /etc/kubernetes/audit-policy.yaml
        mountPath: /etc/kubernetes/audit-policy.yaml
        readOnly: true
        pathType: File
      - name: audit-log
        hostPath: /var/log/kubernetes/audit
        mountPath: /var/log/kubernetes/audit
        readOnly: false
        pathType: Directory
    controllerManager:
      extraArgs:
        bind-address: 127.0.0.1
        profiling: 'false'
        terminated-pod-gc-threshold: '1000'
    scheduler:
      extraArgs:
        bind-address: 127.0.0.1
        profiling: 'false'
    dns:
      imageRepository: k8s.gcr.io
      imageTag: 1.7.0
    ---
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authentication:
      anonymous:
        enabled: false
      webhook:
        enabled: true
    authorization:
      mode: Webhook
    cgroupDriver: systemd
    eventRecordQPS: 5
    imageGCHighThresholdPercent: 100
    maxPods: 110
    protectKernelDefaults: true
    readOnlyPort: 0
    resolvConf: /etc/resolv.conf
    rotateCertificates: true
    tlsCipherSuites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    tlsMinVersion: VersionTLS12
    ---
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: iptables
    conntrack:
      maxPerCore: 0
      min: 0
    ");
}

#[test]
fn v1beta3() {
    insta::assert_snapshot!(configuration_of("1.25.2", |_| {}), @"
    apiVersion: kubeadm.k8s.io/v1beta3
    kind: InitConfiguration
    localAPIEndpoint:
      advertiseAddress: 10.0.0.5
      bindPort: 6443
    nodeRegistration:
      name: node-1
      criSocket: unix:///run/containerd/containerd.sock
      imagePullPolicy: Never
      kubeletExtraArgs:
        node-ip: 10.0.0.5
    ---
    apiVersion: kubeadm.k8s.io/v1beta3
    kind: ClusterConfiguration
    clusterName: kubernetes
    kubernetesVersion: v1.25.2
    imageRepository: registry.k8s.io
    controlPlaneEndpoint: api.kubernetes.internal:6443
    networking:
      dnsDomain: cluster.local
      podSubnet: 10.244.0.0/16
      serviceSubnet: 10.96.0.0/12
    etcd:
      external:
        endpoints:
        - https://10.0.0.5:2379
        caFile: /etc/kubernetes/pki/etcd/ca.crt
        certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
        keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
    apiServer:
      certSANs:
      - node-1
      - 10.0.0.5
      - api.kubernetes.internal
      - 127.0.0.1
      - localhost
      extraArgs:
        audit-log-maxage: '30'
        audit-log-maxbackup: '10'
        audit-log-maxsize: '100'
        audit-log-path: /var/log/kubernetes/audit/audit.log
        audit-policy-file: /etc/kubernetes/audit-policy.yaml
        encryption-provider-config: /etc/kubernetes/encryption.yaml
        profiling: 'false'
        tls-cipher-suites: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        tls-min-version: VersionTLS12
      extraVolumes:
      - name: encryption
        hostPath: /etc/kubernetes/encryption.yaml
        mountPath: /etc/kubernetes/encryption.yaml
        readOnly: true
        pathType: File
      - name: audit-policy
        hostPath: /etc/kubernetes/audit-policy.yaml
        mountPath: /etc/kubernetes/audit-policy.yaml
        readOnly: true
        pathType: File
      - name: audit-log
        hostPath: /var/log/kubernetes/audit
        mountPath: /var/log/kubernetes/audit
        readOnly: false
        pathType: Directory
    controllerManager:
      extraArgs:
        bind-address: 127.0.0.1
        profiling: 'false'
        terminated-pod-gc-threshold: '1000'
    scheduler:
      extraArgs:
        bind-address: 127.0.0.1
        profiling: 'false'
    dns:
      imageRepository: registry.k8s.io/coredns
      imageTag: v1.9.3
    ---
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authentication:
      anonymous:
        enabled: false
      webhook:
        enabled: true
    authorization:
      mode: Webhook
    cgroupDriver: systemd
    eventRecordQPS: 5
    imageGCHighThresholdPercent: 100
    maxPods: 110
    protectKernelDefaults: true
    readOnlyPort: 0
    resolvConf: /etc/resolv.conf
    rotateCertificates: true
    tlsCipherSuites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    tlsMinVersion: VersionTLS12
    ---
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: iptables
    ");
}

#[test]
fn v1beta4_on_cgroup_v1() {
    insta::assert_snapshot!(configuration_of("1.34.0", |facts| facts.cgroups.version = CgroupVersion::V1), @"
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: InitConfiguration
    localAPIEndpoint:
      advertiseAddress: 10.0.0.5
      bindPort: 6443
    nodeRegistration:
      name: node-1
      criSocket: unix:///run/containerd/containerd.sock
      imagePullPolicy: Never
      kubeletExtraArgs:
      - name: node-ip
        value: 10.0.0.5
    ---
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: ClusterConfiguration
    clusterName: kubernetes
    kubernetesVersion: v1.34.0
    imageRepository: registry.k8s.io
    controlPlaneEndpoint: api.kubernetes.internal:6443
    networking:
      dnsDomain: cluster.local
      podSubnet: 10.244.0.0/16
      serviceSubnet: 10.96.0.0/12
    etcd:
      external:
        endpoints:
        - https://10.0.0.5:2379
        caFile: /etc/kubernetes/pki/etcd/ca.crt
        certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
        keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
    apiServer:
      certSANs:
      - node-1
      - 10.0.0.5
      - api.kubernetes.internal
      - 127.0.0.1
      - localhost
      extraArgs:
      - name: audit-log-maxage
        value: '30'
      - name: audit-log-maxbackup
        value: '10'
      - name: audit-log-maxsize
        value: '100'
      - name: audit-log-path
        value: /var/log/kubernetes/audit/audit.log
      - name: audit-policy-file
        value: /etc/kubernetes/audit-policy.yaml
      - name: encryption-provider-config
        value: /etc/kubernetes/encryption.yaml
      - name: profiling
        value: 'false'
      - name: tls-cipher-suites
        value: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
      - name: tls-min-version
        value: VersionTLS12
      extraVolumes:
      - name: encryption
        hostPath: /etc/kubernetes/encryption.yaml
        mountPath: /etc/kubernetes/encryption.yaml
        readOnly: true
        pathType: File
      - name: audit-policy
        hostPath: /etc/kubernetes/audit-policy.yaml
        mountPath: /etc/kubernetes/audit-policy.yaml
        readOnly: true
        pathType: File
      - name: audit-log
        hostPath: /var/log/kubernetes/audit
        mountPath: /var/log/kubernetes/audit
        readOnly: false
        pathType: Directory
    controllerManager:
      extraArgs:
      - name: bind-address
        value: 127.0.0.1
      - name: profiling
        value: 'false'
      - name: terminated-pod-gc-threshold
        value: '1000'
    scheduler:
      extraArgs:
      - name: bind-address
        value: 127.0.0.1
      - name: profiling
        value: 'false'
    dns:
      imageRepository: registry.k8s.io/coredns
      imageTag: v1.9.3
    ---
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authentication:
      anonymous:
        enabled: false
      webhook:
        enabled: true
    authorization:
      mode: Webhook
    cgroupDriver: systemd
    eventRecordQPS: 5
    failCgroupV1: false
    imageGCHighThresholdPercent: 100
    maxPods: 110
    protectKernelDefaults: true
    readOnlyPort: 0
    resolvConf: /etc/resolv.conf
    rotateCertificates: true
    tlsCipherSuites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    tlsMinVersion: VersionTLS12
    ---
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: iptables
    ");
}

#[test]
fn names_what_the_bundle_lacks() {
    let mut list = fixture::list("1.25.2");
    list.images.retain(|image| image.reference.short_name() != "pause");
    let inputs = Inputs { spec: &ClusterSpec::default(), facts: &fixture::facts(), list: &list };
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
