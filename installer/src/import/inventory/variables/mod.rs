//! Kubespray's variables of the whole cluster, and notes about all variables that are left out.

mod api;
mod components;
mod left_out;
mod network;
mod registries;
mod row;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::KubeVersion;

use super::data::Variable;
use super::hosts;
use super::reading::Reading;
use super::value::Value;
use crate::import::{Settings, SourceLine};

pub use row::{Fate, Row};
pub use table::{fate, rows};

/// Add-ons of bundles, and the variables that ask for them.
const ADDONS: [(&str, &str); 4] = [
    ("cert_manager_enabled", "cert-manager"),
    ("ingress_nginx_enabled", "ingress-nginx"),
    ("metallb_enabled", "metallb"),
    ("metrics_server_enabled", "metrics-server"),
];

/// The settings of the cluster from the variables.
pub(super) fn read(reading: &mut Reading<'_>) -> Settings {
    let nodes = hosts::nodes(reading.groups);
    let mut settings = Settings::default();
    if let Some(&node) = nodes.first() {
        let mut cluster = Cluster { reading, node, settings: &mut settings };
        cluster.network();
        cluster.api();
        cluster.registries();
        cluster.components();
        cluster.others();
        differing(reading, &nodes);
    }
    version(reading, &nodes);
    // Last, since a variable counts as used if a template that was read names it.
    left_out(reading, nodes.first().copied());
    settings
}

/// Reports the variables that are left out, once for each reason.
fn left_out(reading: &mut Reading<'_>, node: Option<usize>) {
    let mut reasons: BTreeMap<&str, (BTreeSet<String>, Vec<&SourceLine>)> = BTreeMap::new();
    for (name, variables) in reading.groups.assignments() {
        let is_off = |value: &Value| value.is_empty() || value.truth() == Some(false);
        // Filled in with the values of other variables, since a switch often names another one.
        let filled = node.and_then(|node| reading.groups.variable(node, name));
        let off = |variable: &&Variable| {
            is_off(&variable.value) || filled.as_ref().is_some_and(|(found, _)| is_off(&found.value))
        };
        let reason = match table::fate(name) {
            Some(Fate::Taken(_)) => continue,
            Some(Fate::LeftWhereOn(_)) if variables.iter().all(off) => continue,
            Some(Fate::Left(reason) | Fate::LeftWhereOn(reason)) => reason,
            None if reading.groups.was_used(name) => continue,
            None => "not known to kinstall",
        };
        let (names, places) = reasons.entry(reason).or_default();
        names.insert(format!("`{name}`"));
        places.extend(variables.iter().map(|variable| &variable.place));
    }
    for (reason, (names, places)) in reasons {
        let names: Vec<_> = names.into_iter().collect();
        let message = format!("left out: {}: {reason}", names.join(", "));
        for place in places {
            reading.remarks.add(place, message.as_str());
        }
    }
}

/// Reports variables that differ between hosts although a cluster has one value.
fn differing(reading: &mut Reading<'_>, nodes: &[usize]) {
    // Variables of single hosts, and variables that do not become settings.
    let per_host = [
        "ansible_",
        "node_",
        "etcd_",
        "kube_override_hostname",
        "kube_version",
        "container_manager",
        "ip",
        "access_ip",
    ];
    let once = rows().filter(|row| matches!(row.fate, Fate::Taken(_))).flat_map(|row| row.names);
    for name in once.filter(|name| !per_host.iter().any(|start| name.starts_with(start))) {
        let found: Vec<_> = nodes.iter().map(|&node| reading.groups.written(node, name)).collect();
        let value = |variable: Option<&Variable>| variable.map(|variable| variable.value.clone());
        if found.iter().any(|variable| value(*variable) != value(found[0])) {
            let first = &reading.groups.data.hosts[nodes[0]].name;
            let message = format!(
                "`{name}` differs between hosts, and a cluster has one; kinstall uses the value of host `{first}`"
            );
            for variable in found.into_iter().flatten() {
                reading.remarks.add(&variable.place, message.as_str());
            }
        }
    }
}

/// Reports that the bundle decides the version of Kubernetes.
fn version(reading: &mut Reading<'_>, nodes: &[usize]) {
    let Some(found) = nodes.iter().find_map(|&node| reading.groups.written(node, "kube_version")) else { return };
    let version = found.value.text().unwrap_or_default();
    let version = version.trim_start_matches('v');
    let version = if version.parse::<KubeVersion>().is_ok() { version } else { "VERSION" };
    let message = format!(
        "`kube_version` is left out; the bundle decides the version of Kubernetes; build it with `--k8s {version}`"
    );
    reading.remarks.add(&found.place, message);
}

/// The variables of the cluster, with the values of its first control plane.
struct Cluster<'a, 'b> {
    reading: &'a mut Reading<'b>,
    node: usize,
    settings: &'a mut Settings,
}

impl Cluster<'_, '_> {
    /// A variable's value, if it is not empty.
    fn value(&mut self, name: &str) -> Option<Variable> {
        self.reading.value(self.node, name).filter(|found| !found.value.is_empty())
    }

    fn text(&mut self, name: &str) -> Option<(String, SourceLine)> {
        self.reading.text(self.node, &[name]).map(|found| (found.text, found.place))
    }

    fn truth(&mut self, name: &str) -> Option<(bool, SourceLine)> {
        let Variable { value, place } = self.value(name)?;
        let truth = value.truth();
        if truth.is_none() {
            self.reading.problems.add(&place, format!("`{name}` is neither true nor false"));
        }
        Some((truth?, place))
    }

    fn number(&mut self, name: &str) -> Option<(u16, SourceLine)> {
        let Variable { value, place } = self.value(name)?;
        let number = value.integer().and_then(|number| u16::try_from(number).ok());
        if number.is_none() {
            self.reading.problems.add(&place, format!("`{name}` is not a number between 0 and 65535"));
        }
        Some((number?, place))
    }

    /// Takes over a text that has to parse as `T`.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display> + serde::Serialize>(&mut self, name: &str, key: &str) {
        let Some((text, place)) = self.text(name) else { return };
        match text.parse::<T>() {
            Ok(value) => self.settings.set(key, value),
            Err(error) => self.reading.problems.add(&place, format!("`{name}`: {error}")),
        }
    }

    fn remark(&mut self, place: &SourceLine, message: impl Into<String>) {
        self.reading.remarks.add(place, message);
    }

    fn others(&mut self) {
        if let Some((number, _)) = self.number("kubelet_max_pods") {
            self.settings.set("kubelet.max-pods", number);
        }
        if let Some((ports, _)) = self.text("kube_apiserver_node_port_range") {
            self.settings.set("api-server.service-node-ports", ports);
        }
        for (name, key) in
            [("kubernetes_audit", "security.audit-log"), ("kube_encrypt_secret_data", "security.encryption-at-rest")]
        {
            if let Some((on, place)) = self.truth(name) {
                self.settings.set(key, if on { "enabled" } else { "disabled" });
                if !on {
                    self.remark(
                        &place,
                        format!("`{name}: false` is taken over; kinstall's default is `{key}: enabled`"),
                    );
                }
            }
        }
        let mut addons = Vec::new();
        for (name, addon) in ADDONS {
            if let Some((true, _)) = self.truth(name) {
                addons.push(addon);
            }
        }
        if !addons.is_empty() {
            self.settings.set("addons", addons);
        }
        for (name, own, what) in [
            ("container_manager", "containerd", "the container runtime is containerd"),
            ("etcd_deployment_type", "host", "etcd is a service of its host"),
        ] {
            if let Some((text, place)) = self.text(name).filter(|(text, _)| text != own) {
                self.remark(&place, format!("`{name}: {text}` is left out; {what}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
