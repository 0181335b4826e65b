//! `NetworkPolicy`, enforced: who may ask whom.

use anyhow::ensure;

use crate::cluster::{Cluster, eventually};

/// Two pods that ask, one of them known to the policies as a friend.
const CLIENTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {role: friend}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "docker.io/library/busybox:1.35.0", command: [sleep, "100000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, labels: {role: stranger}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "docker.io/library/busybox:1.35.0", command: [sleep, "100000"]}]
"#;

/// The pods of [`Cluster::deploy_web`] are asked by friends alone.
const FRIENDS_ASK_WEB: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends-ask-web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
";

/// A friend asks nobody but the cluster's DNS.
const FRIENDS_ASK_DNS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends-ask-dns}
spec:
  podSelector: {matchLabels: {role: friend}}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]
";

/// Allowed, denied, egress and DNS; the pods of [`Cluster::deploy_web`] have to be there. Removes what it made.
pub fn assert_policies_are_enforced(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.apply(CLIENTS)?;
    cluster.kubectl("wait pod/friend pod/stranger --for=condition=Ready --timeout=120s")?;
    for client in ["friend", "stranger"] {
        assert_page(cluster, client, true, "without a policy")?;
    }

    cluster.apply(FRIENDS_ASK_WEB)?;
    assert_page(cluster, "stranger", false, "where friends alone may ask")?;
    assert_page(cluster, "friend", true, "where friends alone may ask")?;

    cluster.apply(FRIENDS_ASK_DNS)?;
    assert_page(cluster, "friend", false, "where friends may ask the DNS alone")?;
    let name = "exec friend -- nslookup web.default.svc.cluster.local";
    eventually("a name, where the DNS alone may be asked", || cluster.kubectl(name))?;

    cluster.kubectl("delete networkpolicy friends-ask-web friends-ask-dns")?;
    for client in ["friend", "stranger"] {
        assert_page(cluster, client, true, "with the policies gone")?;
    }
    cluster.kubectl("delete pod friend stranger").map(drop)
}

/// Whether the Service answers this pod, some moments after a policy came or went.
fn assert_page(cluster: &Cluster<'_>, client: &str, wanted: bool, when: &str) -> anyhow::Result<()> {
    let address = cluster.web_address()?;
    eventually(&format!("{client} to be answered: {wanted}, {when}"), || {
        let script = format!("timeout 3 wget -qO- http://{address}/ || echo no answer");
        let said = cluster.kubectl(&format!("exec {client} -- sh -c '{script}'"))?;
        ensure!(said.starts_with("served by web-") == wanted, "{client}, {when}: {said}");
        Ok(())
    })
}
