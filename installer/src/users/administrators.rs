//! Who has all rights in the cluster: the cluster-wide bindings to `cluster-admin`, and to roles that allow as much.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kubectl::Kubectl;

/// The role that Kubernetes makes for administrators.
const CLUSTER_ADMIN: &str = "cluster-admin";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

/// A binding by which somebody may do everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AdministratorBinding {
    /// Its name.
    pub name: String,
    /// The role.
    pub role: String,
    /// Who has it.
    pub subjects: Vec<Subject>,
}

/// A user, a group or a service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The namespace of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            None => write!(f, "{} {}", self.kind, self.name),
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl AdministratorBinding {
    /// All of these bindings in the API.
    pub fn read_all(api: &Kubectl<'_>) -> anyhow::Result<Vec<Self>> {
        let mut roles = BTreeSet::from([CLUSTER_ADMIN.to_owned()]);
        api.each_of(ROLES, |role: Role| {
            if role.allows_everything() {
                roles.insert(role.metadata.name);
            }
        })?;
        let mut bindings = Vec::new();
        api.each_of(BINDINGS, |binding: Binding| {
            if roles.contains(&binding.role_ref.name) {
                let subjects = binding.subjects.unwrap_or_default();
                bindings.push(Self { name: binding.metadata.name, role: binding.role_ref.name, subjects });
            }
        })?;
        Ok(bindings)
    }

    /// Whether it applies to this user, by name or by one of the groups.
    #[must_use]
    pub fn binds(&self, user: &str, groups: &[&str]) -> bool {
        self.subjects.iter().any(|subject| match subject.kind.as_str() {
            "User" => subject.name == user,
            "Group" => groups.contains(&subject.name.as_str()),
            _ => false,
        })
    }
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Role {
    metadata: Name,
    rules: Option<Vec<Rule>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    metadata: Name,
    role_ref: Name,
    subjects: Option<Vec<Subject>>,
}

impl Role {
    fn allows_everything(&self) -> bool {
        let is_any = |names: &[String]| names.iter().any(|name| name == "*");
        let mut rules = self.rules.iter().flatten();
        rules.any(|rule| is_any(&rule.api_groups) && is_any(&rule.resources) && is_any(&rule.verbs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;
    use crate::host::Command;

    fn api(_: &std::path::Path, command: &Command) -> Option<String> {
        let asked = command.arguments.last()?;
        let answer = if asked.contains("/clusterroles?") {
            r#"{"items": [
                {"metadata": {"name": "view"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]}]},
                {"metadata": {"name": "empty"}, "rules": null},
                {"metadata": {"name": "urls"}, "rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]},
                {"metadata": {"name": "site-admin"}, "rules": [
                    {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
                    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}]}"#
        } else {
            r#"{"items": [
                {"metadata": {"name": "cluster-admin"}, "roleRef": {"name": "cluster-admin"}, "subjects": [{"kind": "Group", "name": "system:masters"}]},
                {"metadata": {"name": "readers"}, "roleRef": {"name": "view"}, "subjects": [{"kind": "User", "name": "eve"}]},
                {"metadata": {"name": "nobody"}, "roleRef": {"name": "cluster-admin"}},
                {"metadata": {"name": "site"}, "roleRef": {"name": "site-admin"}, "subjects": [
                    {"kind": "User", "name": "ana"}, {"kind": "Group", "name": "ops"},
                    {"kind": "ServiceAccount", "namespace": "shop", "name": "ana"}]}]}"#
        };
        Some(answer.to_owned())
    }

    #[test]
    fn bindings_to_roles_that_allow_everything_are_found() {
        let bench = Bench::with_programs(api);
        let found = AdministratorBinding::read_all(&Kubectl::on(&bench.host())).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|binding| {
                let subjects: Vec<_> = binding.subjects.iter().map(ToString::to_string).collect();
                format!("{} ({}): {}", binding.name, binding.role, subjects.join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "cluster-admin (cluster-admin): Group system:masters",
                "nobody (cluster-admin): ",
                "site (site-admin): User ana, Group ops, ServiceAccount shop/ana",
            ]
        );
        let site = &found[2];
        assert!(site.binds("ana", &[]) && site.binds("eve", &["dev", "ops"]));
        assert!(!site.binds("ops", &["ana"]));
    }
}
