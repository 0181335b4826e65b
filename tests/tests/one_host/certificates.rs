//! The certificates of an existing cluster: listed, extended by a name, and renewed, while it serves.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, assert_a_second_run_changes_nothing, eventually};
use lab::{Host, document_of};
use serde_json::json;

const NAME: &str = "k8s.plant-7.example";
const ADDRESS: &str = "192.0.2.80";

/// All of it, on a host with a cluster that was set up from the stick and serves the web.
pub fn are_listed_extended_and_renewed(host: &Host) -> anyhow::Result<()> {
    let cluster = Cluster::new(host);
    let first = serials(host)?;
    for name in
        ["apiserver", "etcd-server", "etcd-peer", "kubelet-client", "kubelet-server", "admin.conf", "front-proxy-ca"]
    {
        ensure!(first.contains_key(name), "{name} is not listed: {first:?}");
    }
    let warned = host.exec(&["kinstall", "certs", "list", "--warn-days", "400"])?;
    ensure!(warned.status.code() == Some(1), "certificates of a year have less than 400 days left: {warned:?}");
    host.sh("systemctl is-active kinstall-certificates.timer")?;
    let due = host.sh("kinstall certs renew --due 30d")?;
    ensure!(due.contains("unchanged"), "{due}");

    ensure!(serves_as(host, NAME).is_err(), "{NAME} is in the certificate before it was added");
    host.sh(&format!("kinstall certs add-san {NAME} {ADDRESS}"))?;
    serves_as(host, NAME)?;
    serves_as(host, ADDRESS)?;
    let kept = cluster.kubectl("-n kube-system get configmap kubeadm-config -o yaml")?;
    ensure!(kept.contains(NAME) && kept.contains(ADDRESS), "joins would not keep the names: {kept}");
    let again = host.sh(&format!("kinstall certs add-san {NAME}"))?;
    ensure!(again.contains("unchanged"), "{again}");
    assert_a_second_run_changes_nothing(host)?;

    let before = serials(host)?;
    ensure!(before["apiserver"] != first["apiserver"]);
    let planned = host.sh("kinstall certs renew --all --dry-run")?;
    ensure!(
        planned.contains("would restart etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet"),
        "{planned}"
    );
    ensure!(serials(host)? == before, "a dry run renewed something");
    host.sh("kinstall certs renew --all")?;
    let after = serials(host)?;
    let same: Vec<_> =
        before.iter().filter(|(name, serial)| after.get(*name) == Some(serial)).map(|(name, _)| name).collect();
    ensure!(
        same == ["apiserver-etcd-ca", "ca", "etcd-ca", "front-proxy-ca", "kubelet-client"],
        "not renewed: {same:?}"
    );
    serves_as(host, NAME)?;
    host.sh("cmp /root/.kube/config /etc/kubernetes/admin.conf")?;
    host.sh("test ! -e /etc/kubernetes/renewal && test ! -e /var/lib/kinstall/renewal.json")?;
    cluster.assert_nodes_ready(1)?;
    cluster.assert_web_answers()?;
    cluster.assert_logs_and_exec()?;
    a_user_may_do_what_a_role_says(host, &cluster)?;
    // The kubelet was restarted and probes every pod again: until all are ready, a run waits for them, and that is something to do.
    cluster.kubectl("-n kube-system wait --for=condition=Ready pod --all --timeout=300s")?;
    assert_a_second_run_changes_nothing(host)
}

/// What tells all certificates from those before, by name; each of them is good. Kubelets of old gave each serving certificate of their own the
/// serial number 2, so the end belongs to it.
fn serials(host: &Host) -> anyhow::Result<BTreeMap<String, String>> {
    let list = document_of("kinstall", "certs list", &host.sh("kinstall certs list --output json")?)?;
    let certificates = list["hosts"][0]["certificates"].as_array().context("no certificates")?;
    let mut serials = BTreeMap::new();
    for certificate in certificates {
        ensure!(certificate["verified"] == true && certificate["state"] == "good", "{certificate}");
        let text = |key: &str| certificate[key].as_str().map(str::to_owned).context("a certificate lacks a field");
        serials.insert(text("name")?, format!("{} until {}", text("serial")?, text("notAfter")?));
    }
    Ok(serials)
}

/// The API server proves that it is called `name`.
pub fn serves_as(host: &Host, name: &str) -> anyhow::Result<()> {
    let said = host.sh(&format!(
        "curl -fsS --max-time 20 --cacert /etc/kubernetes/pki/ca.crt --connect-to {name}:6443:127.0.0.1:6443 https://{name}:6443/readyz"
    ))?;
    ensure!(said == "ok", "{said}");
    Ok(())
}

fn a_user_may_do_what_a_role_says(host: &Host, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let make = "cd /root && kinstall kubeconfig --user ana --group developers --ttl 1h --output json";
    let made = document_of("kinstall", "kubeconfig", &host.sh(make)?)?;
    ensure!(made["user"] == "ana" && !made.to_string().contains("client-key-data"), "{made}");
    ensure!(host.sh("stat -c %a /root/ana.kubeconfig")? == "600");
    let pods = ["kubectl", "--kubeconfig=/root/ana.kubeconfig", "get", "pods"];
    let refused = host.exec(&pods)?;
    ensure!(refused.stderr.contains("User \"ana\" cannot list"), "{}", refused.stderr);
    cluster.kubectl("create rolebinding developers --clusterrole=view --group=developers")?;
    // The API server learns of roles by watching them, a moment later.
    eventually("the role to count", || {
        let allowed = host.exec(&pods)?;
        ensure!(allowed.status.success(), "{}", allowed.stderr);
        Ok(())
    })?;
    host.sh("rm /root/ana.kubeconfig")?;
    users_are_listed(host, cluster)
}

/// The user of the kubeconfig is listed, before and after a binding makes an administrator of the group.
fn users_are_listed(host: &Host, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    host.sh("cd /root && kinstall kubeconfig --user bob --ttl 90d && rm bob.kubeconfig")?;
    let listed = || document_of("kinstall", "user list", &host.sh("kinstall user list --output json")?);
    let list = listed()?;
    let users = list["users"].as_array().context("no users")?;
    let told: Vec<_> = users
        .iter()
        .map(|user| {
            (user["user"].clone(), user["groups"].clone(), user["daysLeft"].clone(), user["administratorBy"].clone())
        })
        .collect();
    let expected =
        [(json!("bob"), json!([]), json!(89), json!([])), (json!("ana"), json!(["developers"]), json!(0), json!([]))];
    ensure!(told == expected && list["unreadable"] == json!([]), "{list:#}");
    let masters = json!({"name": "cluster-admin", "role": "cluster-admin", "subjects": [{"kind": "Group", "name": "system:masters"}]});
    ensure!(list["administrators"].as_array().is_some_and(|all| all.contains(&masters)), "{list:#}");

    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "site-admin"}, "rules": everything});
    host.sh(&format!("echo '{role}' | kubectl apply -f -"))?;
    cluster.kubectl("create clusterrolebinding site --clusterrole=site-admin --group=developers")?;
    let list = listed()?;
    ensure!(list["users"][1]["administratorBy"] == json!(["site"]), "{list:#}");
    let text = host.sh("kinstall user list")?;
    ensure!(text.contains("site (role site-admin): Group developers"), "{text}");
    cluster.kubectl("delete clusterrolebinding site")?;
    cluster.kubectl("delete clusterrole site-admin").map(drop)
}
