//! Static pods: the kubelet runs every manifest in one directory, whatever the API says.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::Role;

use super::{Finding, Group};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubeadm::written::WrittenManifests;
use crate::kubeadm::{MANIFESTS, STATIC_PODS, manifest_path};
use crate::steps::{load_balancer, virtual_address};

/// The source of a manifest's expected content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// kubeadm. The manifest's digest is on record.
    Kubeadm,
    /// A step, whose own check compares the manifest.
    Step,
}

/// Looks at every manifest in the directory, and checks that the required ones are there.
pub(super) fn look(host: &Host, inputs: &Inputs<'_>, of_site: &BTreeSet<&str>) -> anyhow::Result<Vec<Finding>> {
    let (expected, written) = (expected(inputs, of_site), WrittenManifests::read(host)?);
    // The kubelet passes over files whose name begins with a dot (`pkg/kubelet/config/file.go`).
    let names = host.names_in(MANIFESTS)?.into_iter().filter(|name| !name.starts_with('.'));
    let there: BTreeSet<_> = names.map(|name| format!("{MANIFESTS}/{name}")).collect();
    let mut findings = Vec::new();
    for path in &there {
        match expected.get(path.as_str()) {
            None => findings.push(Finding::drifted(Group::StaticPods, path, "no such file", "a static pod of others")),
            Some(Writer::Step) => {}
            Some(Writer::Kubeadm) => findings.push(compared(host, path, &written)?),
        }
    }
    let missing = expected.keys().filter(|path| !there.contains(*path));
    findings.extend(
        missing.map(|path| Finding::drifted(Group::StaticPods, path, "a static pod's manifest", "no such file")),
    );
    Ok(findings)
}

fn compared(host: &Host, path: &str, written: &WrittenManifests) -> anyhow::Result<Finding> {
    let Some(expected) = written.digest(path) else {
        let reason = "kinstall has no record of what kubeadm wrote there";
        return Ok(Finding::unknown(Group::StaticPods, path, reason));
    };
    let found = host.digest(path)?.map(|(digest, _)| digest);
    let found =
        found.map_or(Some("no regular file".to_owned()), |digest| (digest != expected).then(|| digest.to_string()));
    Ok(Finding::compared(Group::StaticPods, path, &expected.to_string(), found))
}

fn expected(inputs: &Inputs<'_>, of_site: &BTreeSet<&str>) -> BTreeMap<String, Writer> {
    let mut expected = BTreeMap::new();
    if inputs.has(Role::ControlPlane) {
        expected.extend(STATIC_PODS.map(|pod| (manifest_path(pod), Writer::Kubeadm)));
    }
    let of_steps = [
        (load_balancer::is_wanted(inputs), load_balancer::POD),
        (virtual_address::is_wanted(inputs), virtual_address::POD),
    ];
    let of_steps = of_steps.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, pod)| manifest_path(pod));
    let of_site = of_site.iter().filter(|path| path.starts_with(&format!("{MANIFESTS}/"))).map(ToString::to_string);
    expected.extend(of_steps.chain(of_site).map(|path| (path, Writer::Step)));
    expected
}
