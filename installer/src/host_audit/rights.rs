//! Who may do everything in the cluster: the bindings to `cluster-admin` and to roles that allow as much.

use anyhow::Context as _;

use super::{Finding, Group};
use crate::kubectl::Kubectl;
use crate::users::administrators::AdministratorBinding;

/// Bindings that the API server and kubeadm make, each with its group: `ClusterRoleBindings` of Kubernetes'
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, and `ClusterAdminsGroupAndClusterRoleBinding` of kubeadm since 1.29.
const OWN: [(&str, &str); 2] =
    [("cluster-admin", "system:masters"), ("kubeadm:cluster-admins", "kubeadm:cluster-admins")];

/// Compares the bindings with those of Kubernetes itself.
pub(super) fn look(api: &Kubectl<'_>) -> anyhow::Result<Vec<Finding>> {
    let all = AdministratorBinding::read_all(api).context("the API server does not say who may do everything")?;
    Ok(all.iter().map(finding).collect())
}

fn finding(binding: &AdministratorBinding) -> Finding {
    let subjects: Vec<_> = binding.subjects.iter().map(ToString::to_string).collect();
    let subject = format!("ClusterRoleBinding {}", binding.name);
    match OWN.iter().find(|(own, _)| *own == binding.name) {
        Some((_, group)) => {
            let expected = format!("Group {group}");
            let found = (subjects != [expected.clone()]).then(|| subjects.join(", "));
            Finding::compared(Group::Rights, subject, &expected, found)
        }
        None => Finding::drifted(Group::Rights, subject, "no such binding", subjects.join(", ")),
    }
}
