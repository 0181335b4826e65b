//! What public kubeadm files set, imported and installed: whether it is in force.

use std::path::Path;

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, eventually};
use lab::connected::{NEWEST, STICK, carried, copy_in};
use lab::files::Snapshot;
use lab::{Host, Lab};
use serde_json::{Value, json};

/// The file whose import the unit tests look at.
const PUBLIC: &str = include_str!("../../../installer/src/import/kubeadm/tests/public.yaml");
const POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  omitStages: [RequestReceived]\n";
const RUN: &str = "./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml";

/// The file for this host. The lab's kernel has no `ip_vs`, so that kube-proxy's own settings are others here; and CoreDNS would not
/// come to a cluster whose only host has a taint that keeps pods away.
fn for_this_host(address: &str, ipv6: &str) -> String {
    let both = format!("{address},{ipv6}");
    let changes = [
        ("192.0.2.11,2001:db8::11", both.as_str()),
        ("192.0.2.11", address),
        ("effect: NoSchedule", "effect: PreferNoSchedule"),
        ("mode: ipvs", "mode: nftables"),
        ("ipvs: {strictARP: true}", "nftables: {minSyncPeriod: 3s}"),
    ];
    changes.into_iter().fold(PUBLIC.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

fn copy_text(host: &Host, text: &str, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(name);
    fs_err::write(&file, text)?;
    copy_in(host, Path::new(&file), name)
}

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn settings_of_a_public_kubeadm_file_are_in_force() -> anyhow::Result<()> {
    let lab = Lab::boot("one-settings", 1)?;
    // The file is of a cluster with both IP families.
    lab.add_ipv6()?;
    let host = &lab.hosts()[0];
    carried(NEWEST, "bridge").carry_into(host)?;
    let address = host.sh("hostname -I")?.split_whitespace().next().context("the host has no address")?.to_owned();
    copy_text(host, &for_this_host(&address, &host.ipv6_address()), "kubeadm.yaml")?;
    copy_text(host, POLICY, "own-policy.yaml")?;
    let before = Snapshot::of(host)?;
    host.sh(&format!(
        "cd {STICK} && ./kinstall config import kubeadm.yaml > cluster.yaml && echo 'ssh: {{connection: local}}' >> cluster.yaml"
    ))?;
    host.sh(&format!("cd {STICK} && {RUN} 2>&1"))?;
    let cluster = Cluster::new(host);
    cluster.assert_nodes_ready(1)?;

    assert_the_control_plane_has_its_flags(&cluster)?;
    assert_the_audit_log_follows_the_policy_of_the_site(host)?;
    assert_the_node_is_as_it_was_described(&cluster)?;
    assert_kubelet_and_kube_proxy_have_their_fields(host, &cluster)?;
    cluster.kubectl("create service nodeport low --tcp=80:8080 --node-port=85")?;

    host.sh(&format!("cd {STICK} && {RUN} --assert-no-op"))?;
    let changed = host.exec(&[
        "sh",
        "-c",
        &format!("cd {STICK} && sed -i 's/node-cidr-mask-size: 23/node-cidr-mask-size: 22/' cluster.yaml && {RUN}"),
    ])?;
    ensure!(changed.status.code() == Some(3), "another part of nodes was taken: {}{}", changed.stdout, changed.stderr);
    ensure!(changed.stderr.contains("network.node-cidr-mask-size was 23 and is 22 now"), "{}", changed.stderr);

    // The logs of a run over SSH stay with whoever led it.
    host.sh(&format!("{STICK}/kinstall reset --yes && rm -r {STICK}/cluster.yaml /root/.local"))?;
    before.assert_same(&Snapshot::of(host)?, "after a reset");
    lab.down()
}

fn assert_the_control_plane_has_its_flags(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    for (pod, flags) in [
        (
            "kube-apiserver",
            &[
                "--oidc-issuer-url=https://id.plant.example",
                "--oidc-client-id=kubernetes",
                "--service-node-port-range=80-32767",
                "--enable-admission-plugins=NodeRestriction,PodSecurity",
            ][..],
        ),
        ("kube-controller-manager", &["--node-cidr-mask-size-ipv4=23", "--bind-address=0.0.0.0"]),
    ] {
        let found = cluster.json(&format!("--namespace=kube-system get pods --selector=component={pod}"))?;
        let command = found["items"][0]["spec"]["containers"][0]["command"].as_array().context("no command")?;
        for flag in flags {
            ensure!(command.contains(&Value::from(*flag)), "{pod} has no {flag}: {command:?}");
        }
    }
    Ok(())
}

fn assert_the_audit_log_follows_the_policy_of_the_site(host: &Host) -> anyhow::Result<()> {
    let mode = host.sh("stat -c %a /etc/kubernetes/audit-policy.yaml")?;
    ensure!(mode == "600", "the policy has the mode {mode}");
    let log = "/var/log/kubernetes/audit/audit.log";
    host.sh(&format!("grep -q '\"level\":\"Metadata\"' {log}"))?;
    // kinstall's own policy logs what is created with its content.
    let others = host.sh(&format!("grep -vc '\"level\":\"Metadata\"' {log} || true"))?;
    ensure!(others == "0", "{others} events of other levels");
    Ok(())
}

fn assert_the_node_is_as_it_was_described(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let node = cluster.json("get node control-plane-1")?;
    let label = &node["metadata"]["labels"]["disk"];
    ensure!(label == "ssd", "label {label}");
    let taint = json!({"key": "dedicated", "value": "db", "effect": "PreferNoSchedule"});
    ensure!(node["spec"]["taints"].as_array().is_some_and(|taints| taints.contains(&taint)), "{}", node["spec"]);
    let part = node["spec"]["podCIDR"].as_str().unwrap_or_default();
    ensure!(part.ends_with("/23"), "the node's part of the pods' network is {part}");
    ensure!(node["status"]["capacity"]["pods"] == "250", "{}", node["status"]["capacity"]);
    Ok(())
}

fn assert_kubelet_and_kube_proxy_have_their_fields(host: &Host, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    // With serverTLSBootstrap the kubelet asks the cluster for its certificate, once each time it starts, and somebody has to approve it.
    let kubelet = eventually("the kubelet's settings", || {
        let requests = cluster.json("get certificatesigningrequests")?;
        let of_kubelet = requests["items"].as_array().into_iter().flatten();
        let of_kubelet = of_kubelet.filter(|request| request["spec"]["signerName"] == "kubernetes.io/kubelet-serving");
        let names: Vec<_> = of_kubelet.filter_map(|request| request["metadata"]["name"].as_str()).collect();
        ensure!(!names.is_empty(), "the kubelet asked for no certificate");
        cluster.kubectl(&format!("certificate approve {}", names.join(" ")))?;
        let text = cluster.kubectl("get --raw /api/v1/nodes/control-plane-1/proxy/configz")?;
        Ok(serde_json::from_str::<Value>(&text)?)
    })?;
    let kubelet = &kubelet["kubeletconfig"];
    for (field, expected) in [
        ("maxPods", json!(250)),
        ("systemReserved", json!({"cpu": "500m", "memory": "1Gi"})),
        ("evictionHard", json!({"memory.available": "500Mi"})),
        ("serverTLSBootstrap", json!(true)),
        // kinstall's own stay.
        ("imageGCHighThresholdPercent", json!(100)),
    ] {
        ensure!(kubelet[field] == expected, "{field} is {}", kubelet[field]);
    }
    let proxy = host.sh("wget -qO- http://127.0.0.1:10249/configz || curl -sf http://127.0.0.1:10249/configz")?;
    let proxy: Value = serde_json::from_str(&proxy)?;
    let proxy = &proxy["kubeproxy.config.k8s.io"];
    ensure!(proxy["Mode"] == "nftables" || proxy["mode"] == "nftables", "{proxy}");
    ensure!(
        proxy.to_string().contains("3s") || proxy.to_string().contains("3000000000"),
        "no minSyncPeriod of 3 s: {proxy}"
    );
    Ok(())
}
