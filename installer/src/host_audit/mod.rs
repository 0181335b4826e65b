//! Compares what this host has and runs with what was approved: the bundle, and what kinstall makes of it. Changes nothing.
//!
//! The expected state comes from the bundle (binaries, images), or from the steps' own checks for what kinstall decides (configuration,
//! units, kernel settings). It comes from the host's records only if there is no other source: the description of the cluster, and the
//! manifests that kubeadm wrote.

mod certificates;
mod configuration;
mod containers;
mod content;
mod differences;
mod files;
mod finding;
mod host;
mod objects;
mod processes;
mod record;
mod rights;
mod settings;
mod static_pods;
mod steps;
mod traits;
mod units;

use std::collections::BTreeSet;

use kbundle_format::Role;

use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::steps::{Context, programs};

pub use differences::{Difference, DifferenceKind, between};
pub use finding::{Finding, Group, Overall, Verdict};
pub use host::{AuditScope, AuditedHost, HostAudit, ImageDepth, records};
pub use record::{Change, HostAuditRecord, HostChanges, Since, auditor};
pub use traits::HostTraits;

/// Looks at everything, and returns each finding, in the order of the groups. A subject that cannot be looked at is a finding too.
#[must_use]
pub fn audit(context: &Context<'_>, depth: ImageDepth) -> Vec<Finding> {
    let (host, inputs) = (&context.host, &context.inputs);
    let mut findings = steps::look(context);
    let mut add = |group, subject: &str, found: anyhow::Result<Vec<Finding>>| match found {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::unknown(group, subject, format!("{error:#}"))),
    };
    match programs::approved::files(inputs, context.bundle) {
        Ok(approved) => {
            add(Group::Programs, "files of programs", files::programs(host, &approved));
            add(Group::Processes, "processes", processes::look(host, &approved));
        }
        Err(error) => add(Group::Programs, "files and processes of programs", Err(error)),
    }
    add(Group::Processes, processes::PRELOAD, processes::preload(host));
    add(Group::Files, "files that kinstall wrote", files::access(host, &of_site(inputs)));
    add(Group::Files, "secret files", files::secrets(host));
    add(Group::Units, "units", units::look(host, inputs, &of_site(inputs)));
    if inputs.topology.this().is_node() {
        add(Group::StaticPods, "static pods", static_pods::look(host, inputs, &of_site(inputs)));
        add(Group::Images, "images", containers::images(host, inputs));
        if depth == ImageDepth::Content {
            add(Group::Images, "content of images", content::look(host));
        }
        add(Group::Configuration, "the kubelet's configuration", configuration::look(host, inputs, &of_site(inputs)));
        add(Group::Containers, "containers", containers::look(host, inputs));
    }
    add(Group::Certificates, "certificates", certificates::look(host, inputs));
    if inputs.leads() {
        add(Group::Objects, "objects of manifests", objects::of_manifests(context));
        add(Group::Objects, "objects of kubeadm", objects::of_kubeadm(&Kubectl::on(host)));
    }
    if inputs.has(Role::ControlPlane) {
        add(Group::Rights, "administrators of the cluster", rights::look(&Kubectl::on(host)));
    }
    findings
}

/// The paths of the site's own files in the bundle. Their content is approved as it is; the step that puts them in place compares them.
fn of_site<'a>(inputs: &Inputs<'a>) -> BTreeSet<&'a str> {
    let roles = &inputs.topology.this().roles;
    let for_this = inputs.list.entries.iter().filter(|entry| !entry.roles.is_disjoint(roles));
    for_this.filter_map(|entry| Some(entry.host_file.as_ref()?.path.as_str())).collect()
}

#[cfg(test)]
mod tests;
