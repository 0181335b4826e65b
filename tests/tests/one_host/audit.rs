//! `kinstall audit`: nothing is found on a host that nobody touched, and each drift that is made on purpose.

use anyhow::{Context as _, ensure};
use lab::cluster::Cluster;
use lab::connected::{OLDEST, STICK, carried, copy_in};
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

const DRIFTS: [Drift; 23] = [
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
        "images",
        "registry.k8s.io/pause:3.8",
        "ctr -n k8s.io images tag --force docker.io/library/busybox:1.35.0 registry.k8s.io/pause:3.8",
        "ctr -n k8s.io images tag --force $(ctr -n k8s.io images ls -q | grep -m1 ^registry.k8s.io/pause@) registry.k8s.io/pause:3.8",
    ),
    drift(
        "images",
        "content sha256:",
        "cd /var/lib/containerd/io.containerd.content.v1.content/blobs/sha256; blob=$(ls -S | head -1); cp -p $blob /root/blob; \
         echo $blob > /root/blob.name; printf X | dd of=$blob bs=1 seek=4096 conv=notrunc",
        "cp -p /root/blob /var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/$(cat /root/blob.name)",
    ),
    drift(
        "containers",
        "container foreign",
        "mkdir /root/rootfs; ctr -n k8s.io containers create --rootfs /root/rootfs foreign /bin/true",
        "ctr -n k8s.io containers rm foreign; rmdir /root/rootfs",
    ),
    drift("units", "kubelet.service", "systemctl disable kubelet", "systemctl enable kubelet"),
    drift(
        "processes",
        "/etc/ld.so.preload",
        "ldconfig -p | awk '/libm.so.6/ {print $NF; exit}' > /etc/ld.so.preload; test -s /etc/ld.so.preload",
        "rm /etc/ld.so.preload",
    ),
    drift(
        "processes",
        "/usr/local/bin/ctr, process",
        "LD_PRELOAD=/lib/none.so setsid /usr/local/bin/ctr events >/dev/null 2>&1 </dev/null &",
        "for process in /proc/[0-9]*; do \
           case \"$(readlink $process/exe)\" in /usr/local/bin/ctr) kill ${process#/proc/};; esac; done; sleep 1",
    ),
    drift(
        "configuration",
        "/var/lib/kubelet/config.yaml, authentication.anonymous.enabled",
        "cp -p /var/lib/kubelet/config.yaml /root/; sed -i '/anonymous:/{n;s/false/true/}' /var/lib/kubelet/config.yaml",
        "cp -p /root/config.yaml /var/lib/kubelet/",
    ),
    drift(
        "configuration",
        "/etc/default/kubelet",
        "echo KUBELET_EXTRA_ARGS=--read-only-port=10255 > /etc/default/kubelet",
        "rm /etc/default/kubelet",
    ),
    drift(
        "certificates",
        "apiserver-kubelet-client",
        "cd /etc/kubernetes/pki; cp -p apiserver-kubelet-client.crt /root/; cp front-proxy-client.crt apiserver-kubelet-client.crt",
        "cp -p /root/apiserver-kubelet-client.crt /etc/kubernetes/pki/",
    ),
    drift(
        "files",
        "/etc/kubernetes/admin.conf",
        "chmod 0644 /etc/kubernetes/admin.conf",
        "chmod 0600 /etc/kubernetes/admin.conf",
    ),
    drift(
        "objects",
        "ConfigMap kube-system/coredns",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n kube-system patch configmap coredns --type merge -p '{\"data\":{\"extra\":\"x\"}}'",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n kube-system patch configmap coredns --type merge -p '{\"data\":{\"extra\":null}}'",
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
    // Last, since a run takes it back, and would find the others.
    drift(
        "objects",
        "Deployment lab-test/idle, spec.template.spec.terminationGracePeriodSeconds",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n lab-test patch deployment idle --type merge \
         -p '{\"spec\":{\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":2}}}}'",
        "KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n lab-test delete deployment idle --wait; \
         cd /media/stick; ./kinstall run bundle.tar.zst --key signing.pub",
    ),
];

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn an_untouched_host_is_as_approved_and_every_drift_is_found() -> anyhow::Result<()> {
    let lab = Lab::boot("one-audit", 1)?;
    let host = &lab.hosts()[0];
    let carried = carried(OLDEST, "bridge");
    carried.carry_into(host)?;
    copy_in(host, &carried.file("signing.key"), "auditor.key")?;
    host.sh(&format!(
        "cd {STICK} && echo 'addons: [lab-test]' > cluster.yaml && \
         ./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml 2>&1"
    ))?;
    Cluster::new(host).assert_nodes_ready(1)?;
    assert_as_approved(host, "--record before.json --sign-key auditor.key")?;

    for Drift { make, .. } in &DRIFTS {
        host.sh(make).with_context(|| format!("while making a drift: {make}"))?;
    }
    let (code, audit) = audit(host, "--since before.json --record-key signing.pub")?;
    ensure!(code == Some(4) && audit["verdict"] == "drifted", "{code:?}: {audit:#}");
    let found = not_approved(&audit);
    let appeared: Vec<_> = audit["since"]["hosts"][0]["appeared"].as_array().into_iter().flatten().collect();
    for Drift { finding: (group, subject), .. } in &DRIFTS {
        let is_it = |finding: &&&Value| {
            finding["group"] == *group && finding["subject"].as_str().is_some_and(|found| found.starts_with(subject))
        };
        ensure!(found.iter().any(|finding| is_it(&finding)), "{group} {subject} was not found: {found:#?}");
        ensure!(appeared.iter().any(|finding| is_it(&finding)), "{group} {subject} did not appear: {appeared:#?}");
    }

    for Drift { undo, .. } in &DRIFTS {
        host.sh(undo).with_context(|| format!("while taking a drift back: {undo}"))?;
    }
    assert_as_approved(host, "")?;
    lab.down()
}

/// With what is in containerd read again, and with cluster.yaml compared.
fn audit(host: &Host, more: &str) -> anyhow::Result<(Option<i32>, Value)> {
    let command = format!(
        "cd {STICK} && ./kinstall audit bundle.tar.zst --key signing.pub --config cluster.yaml --deep --output json {more}"
    );
    let said = host.exec(&["sh", "-c", &command])?;
    let audit = document_of("kinstall", "audit", &said.stdout).with_context(|| said.stderr.clone())?;
    Ok((said.status.code(), audit))
}

fn not_approved(audit: &Value) -> Vec<&Value> {
    findings(audit).filter(|finding| finding["verdict"] != "as-approved").collect()
}

fn findings(audit: &Value) -> impl Iterator<Item = &Value> {
    audit["hosts"][0]["findings"].as_array().into_iter().flatten()
}

fn assert_as_approved(host: &Host, more: &str) -> anyhow::Result<()> {
    let (code, audit) = audit(host, more)?;
    let found = not_approved(&audit);
    ensure!(code == Some(0) && found.is_empty(), "code {code:?}: {found:#?}");
    // Every group says something: none was left out.
    let groups: std::collections::BTreeSet<_> =
        findings(&audit).filter_map(|finding| finding["group"].as_str()).collect();
    ensure!(groups.len() == 13, "{groups:?}");
    Ok(())
}
