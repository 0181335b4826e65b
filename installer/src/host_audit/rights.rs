//! Who may do everything in the cluster: the bindings to `cluster-admin`.

use anyhow::anyhow;
use serde_json::Value;

use super::{Finding, Group};
use crate::kubectl::Kubectl;

const ROLE: &str = "cluster-admin";
/// Bindings that the API server and kubeadm make, and the group that each is for: `ClusterRoleBindings` of Kubernetes'
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, and `ClusterAdminsGroupAndClusterRoleBinding` of kubeadm since 1.29.
const OWN: [(&str, &str); 2] =
    [("cluster-admin", "system:masters"), ("kubeadm:cluster-admins", "kubeadm:cluster-admins")];

/// Compares the bindings with those of Kubernetes itself.
pub(super) fn look(api: &Kubectl<'_>) -> anyhow::Result<Vec<Finding>> {
    let bindings =
        api.list(&["clusterrolebindings"])?.map_err(|said| anyhow!("the API server does not say: {said}"))?;
    let all = bindings["items"].as_array().ok_or_else(|| anyhow!("the API server's answer has no list"))?;
    Ok(all.iter().filter(|binding| binding["roleRef"]["name"] == ROLE).map(finding).collect())
}

fn finding(binding: &Value) -> Finding {
    let name = binding["metadata"]["name"].as_str().unwrap_or_default();
    let subjects: Vec<_> = binding["subjects"].as_array().into_iter().flatten().map(subject).collect();
    let subject = format!("ClusterRoleBinding {name}");
    match OWN.iter().find(|(own, _)| *own == name) {
        Some((_, group)) => {
            let expected = format!("Group {group}");
            let found = (subjects != [expected.clone()]).then(|| subjects.join(", "));
            Finding::compared(Group::Rights, subject, &expected, found)
        }
        None => Finding::drifted(Group::Rights, subject, "no such binding", subjects.join(", ")),
    }
}

fn subject(subject: &Value) -> String {
    let text = |key: &str| subject[key].as_str().unwrap_or_default();
    match text("namespace") {
        "" => format!("{} {}", text("kind"), text("name")),
        namespace => format!("{} {namespace}/{}", text("kind"), text("name")),
    }
}
