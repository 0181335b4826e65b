//! `kinstall audit`: nothing is found on a host that nobody touched, and each drift that is made on purpose.

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, install};
use lab::connected::{OLDEST, STICK, carried};
use lab::{Host, Lab, document_of};
use serde_json::Value;

/// A change by hand: what it is, the finding by group and beginning of its subject, how it is made and taken back.
struct Drift {
    finding: (&'static str, &'static str),
    make: &'static str,
    undo: &'static str,
}

const fn drift(group: &'static str, subject: &'static str, make: &'static str, undo: &'static str) -> Drift {
    Drift { finding: (group, subject), make, undo }
}

const DRIFTS: [Drift; 11] = [
    drift(
        "programs",
        "/opt/cni/bin/bridge",
        "cp -p /opt/cni/bin/bridge /root/bridge; printf X | dd of=/opt/cni/bin/bridge bs=1 seek=4096 conv=notrunc",
        "cp -p /root/bridge /opt/cni/bin/bridge",
    ),
    drift(
        "programs",
        "/usr/local/bin/kubectl",
        "chmod 0777 /usr/local/bin/kubectl",
        "chmod 0755 /usr/local/bin/kubectl",
    ),
    drift(
        "files",
        "/etc/containerd/config.toml",
        "chown daemon /etc/containerd/config.toml",
        "chown root /etc/containerd/config.toml",
    ),
    drift(
        "steps",
        "kubelet",
        "cp -p /etc/systemd/system/kubelet.service /root/; echo '# changed' >> /etc/systemd/system/kubelet.service",
        "cp -p /root/kubelet.service /etc/systemd/system/; systemctl daemon-reload",
    ),
    drift(
        "units",
        "containerd.service",
        "mkdir /run/systemd/system/containerd.service.d; cd /run/systemd/system/containerd.service.d; \
         printf '[Service]\\nEnvironment=A=b\\n' > a.conf; systemctl daemon-reload",
        "rm -r /run/systemd/system/containerd.service.d; systemctl daemon-reload",
    ),
    drift(
        "processes",
        "/usr/local/bin/crictl, process",
        "cd /usr/local/bin; mv crictl /usr/local/crictl; cp /bin/sleep crictl; setsid crictl 3600 >/dev/null 2>&1 </dev/null & \
         sleep 1; mv -f /usr/local/crictl /usr/local/bin/crictl",
        "for process in /proc/[0-9]*; do \
           case \"$(readlink $process/exe)\" in '/usr/local/bin/crictl (deleted)') kill ${process#/proc/};; esac; done; sleep 1",
    ),
    drift(
        "static-pods",
        "/etc/kubernetes/manifests/extra.yaml",
        "printf 'not a pod\\n' > /etc/kubernetes/manifests/extra.yaml",
        "rm /etc/kubernetes/manifests/extra.yaml",
    ),
    drift(
        "static-pods",
        "/etc/kubernetes/manifests/kube-scheduler.yaml",
        "cp -p /etc/kubernetes/manifests/kube-scheduler.yaml /root/; echo '# changed' >> /etc/kubernetes/manifests/kube-scheduler.yaml",
        "cp -p /root/kube-scheduler.yaml /etc/kubernetes/manifests/",
    ),
    drift(
        "images",
        "example.org/foreign:1",
        "ctr -n k8s.io images tag docker.io/library/busybox:1.35.0 example.org/foreign:1",
        "ctr -n k8s.io images rm example.org/foreign:1",
    ),
    drift(
        "steps",
        "sysctls",
        "sysctl -w net.bridge.bridge-nf-call-ip6tables=0",
        "sysctl -w net.bridge.bridge-nf-call-ip6tables=1",
    ),
    drift(
        "rights",
        "ClusterRoleBinding helper",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl create clusterrolebinding helper --clusterrole=cluster-admin --user=helper",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl delete clusterrolebinding helper",
    ),
];

#[test]
#[ignore = "four minutes: ./ci/test nightly"]
fn an_untouched_host_is_as_approved_and_every_drift_is_found() -> anyhow::Result<()> {
    let lab = Lab::boot("one-audit", 1)?;
    let host = &lab.hosts()[0];
    carried(OLDEST, "bridge").carry_into(host)?;
    install(host)?;
    Cluster::new(host).assert_nodes_ready(1)?;
    assert_as_approved(host)?;

    for Drift { make, .. } in &DRIFTS {
        host.sh(make).with_context(|| format!("while making a drift: {make}"))?;
    }
    let (code, audit) = audit(host)?;
    ensure!(code == Some(4) && audit["verdict"] == "drifted", "{code:?}: {audit:#}");
    let found = not_approved(&audit);
    for Drift { finding: (group, subject), .. } in &DRIFTS {
        let is_it = |finding: &&Value| {
            finding["group"] == *group && finding["subject"].as_str().is_some_and(|found| found.starts_with(subject))
        };
        ensure!(found.iter().any(is_it), "{group} {subject} was not found: {found:#?}");
    }

    for Drift { undo, .. } in &DRIFTS {
        host.sh(undo).with_context(|| format!("while taking a drift back: {undo}"))?;
    }
    assert_as_approved(host)?;
    lab.down()
}

fn audit(host: &Host) -> anyhow::Result<(Option<i32>, Value)> {
    let command = format!("cd {STICK} && ./kinstall audit bundle.tar.zst --key signing.pub --output json");
    let said = host.exec(&["sh", "-c", &command])?;
    let audit = document_of("kinstall", "audit", &said.stdout).with_context(|| said.stderr.clone())?;
    Ok((said.status.code(), audit))
}

fn not_approved(audit: &Value) -> Vec<&Value> {
    let all = audit["findings"].as_array().into_iter().flatten();
    all.filter(|finding| finding["verdict"] != "as-approved").collect()
}

fn assert_as_approved(host: &Host) -> anyhow::Result<()> {
    let (code, audit) = audit(host)?;
    let found = not_approved(&audit);
    ensure!(code == Some(0) && found.is_empty(), "code {code:?}: {found:#?}");
    // Every group says something: none was left out.
    let groups: std::collections::BTreeSet<_> =
        audit["findings"].as_array().into_iter().flatten().filter_map(|finding| finding["group"].as_str()).collect();
    ensure!(groups.len() == 9, "{groups:?}");
    Ok(())
}
