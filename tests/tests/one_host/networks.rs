//! Networks other than the usual one: kube-proxy by nftables, and pods whose network the site brings.

use anyhow::ensure;
use lab::cluster::Cluster;
use lab::connected::{NEWEST, STICK, carried, copy_in};
use lab::files::Snapshot;
use lab::{Host, Lab};

/// Installs with this `network` in cluster.yaml; what was said.
fn install_with(host: &Host, network: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cluster.yaml");
    fs_err::write(&file, format!("schema: 1\nnetwork: {network}\n"))?;
    copy_in(host, &file, "cluster.yaml")?;
    host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml 2>&1"))
}

#[test]
fn kube_proxy_by_nftables_serves_and_is_removed_without_a_trace() -> anyhow::Result<()> {
    let lab = Lab::boot("one-nftables", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    let before = Snapshot::of(host)?;
    install_with(host, "{cni: bridge, kube-proxy: {mode: nftables}}")?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    host.sh("nft list table ip kube-proxy | grep -q 'default/web'")?;
    let rules = host.sh("iptables-save -t nat | grep -c KUBE-SVC || true")?;
    ensure!(rules == "0", "kube-proxy left {rules} rules to iptables");
    host.sh(&format!("{STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

/// The network that the site of this test brings: bridge and host-local, as containernetworking's README has them.
const OF_THE_SITE: &str = r#"{"cniVersion": "1.0.0", "name": "site", "plugins": [{"type": "bridge", "bridge": "site0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

#[test]
#[ignore = "two minutes: ./ci/test nightly"]
fn a_site_brings_the_network_of_its_pods() -> anyhow::Result<()> {
    let lab = Lab::boot("one-own-network", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    let said = install_with(host, "{cni: none}")?;
    ensure!(said.contains("network.cni: none"), "{said}");
    let status = host.exec(&["sh", "-c", &format!("{STICK}/kinstall status")])?;
    let cluster = Cluster::new(host);
    ensure!(cluster.nodes()?.values().all(|ready| !ready), "a node is ready without a network:\n{}", status.stdout);

    host.sh(&format!("mkdir -p /etc/cni/net.d && cat > /etc/cni/net.d/10-site.conflist <<'EOF'\n{OF_THE_SITE}\nEOF"))?;
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    host.sh(&format!(
        "cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml --assert-no-op"
    ))?;
    lab.down()
}

/// What stands in for the site's own answer to Services: kube-proxy, set up by kubeadm outside of kinstall. It leaves the
/// connection table alone, as every kube-proxy on the lab's hosts has to.
const PROXY_OF_THE_SITE: &str = "cp /etc/kubernetes/kubeadm.yaml /root/site.yaml && printf '%s\\n' --- \
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1' 'kind: KubeProxyConfiguration' 'conntrack: {maxPerCore: 0, min: 0}' \
    >> /root/site.yaml && kubeadm init phase addon kube-proxy --config /root/site.yaml";

#[test]
#[ignore = "two minutes: ./ci/test nightly"]
fn a_site_does_the_work_of_kube_proxy() -> anyhow::Result<()> {
    let lab = Lab::boot("one-own-proxy", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    let before = Snapshot::of(host)?;
    let said = install_with(host, "{cni: bridge, kube-proxy: {mode: none}}")?;
    ensure!(said.contains("network.kube-proxy.mode: none"), "{said}");
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    let of_kubeadm = cluster.kubectl("-n kube-system get daemonsets,configmaps -l k8s-app=kube-proxy -o name")?;
    let rules = host.sh("iptables-save -t nat | grep -c KUBE-SVC || true")?;
    ensure!(of_kubeadm.is_empty() && rules == "0", "there is a kube-proxy: {of_kubeadm}, {rules} rules");

    host.sh(PROXY_OF_THE_SITE)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    host.sh(&format!(
        "cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml --assert-no-op"
    ))?;
    host.sh(&format!("rm /root/site.yaml; {STICK}/kinstall reset --yes"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

#[test]
#[ignore = "two minutes: ./ci/test nightly"]
fn calico_takes_the_sites_packet_size_and_encapsulation() -> anyhow::Result<()> {
    let lab = Lab::boot("one-calico-mtu", 1)?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "calico").carry_into(host)?;
    install_with(
        host,
        "{cni: calico, pod-cidr: 10.200.0.0/16, calico: {mode: vxlan, encapsulation: always, mtu: 1380}}",
    )?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    let size = cluster.kubectl("exec deployment/web -- cat /sys/class/net/eth0/mtu")?;
    ensure!(size == "1380", "a pod's packets are of {size} bytes");
    let link = host.sh("ip -oneline link show vxlan.calico")?;
    ensure!(link.contains(" mtu 1380 "), "{link}");
    let pool = cluster.json("get ippools.crd.projectcalico.org default-ipv4-ippool")?;
    let spec = &pool["spec"];
    ensure!(spec["vxlanMode"] == "Always" && spec["ipipMode"] == "Never" && spec["cidr"] == "10.200.0.0/16", "{spec}");
    lab.down()
}
