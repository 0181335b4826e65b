//! Images in containerd by name and digest, and containers by the image that they were made from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use kbundle_format::{Digest, EntryKind};
use serde::Deserialize;

use super::{Finding, Group};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::kubeadm::CRI_SOCKET;
use crate::steps::images::{self, ctr};

const CRICTL: &str = "/usr/local/bin/crictl";
const FROM_BUNDLE: &str = "an image of the bundle";

/// Compares the content behind each name with the bundle. The step that loads images reports what is missing.
pub(super) fn images(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Vec<Finding>> {
    let (approved, content) = (images::approved(inputs)?, content(inputs));
    let finding = |(name, found): (String, Digest)| match approved.get(&name) {
        Some(expected) => {
            let other = (found != *expected).then(|| found.to_string());
            Finding::compared(Group::Images, name, &expected.to_string(), other)
        }
        // containerd also names each image by the digest of its configuration.
        None if name.starts_with("sha256:") && content.contains(&found) => Finding::as_approved(Group::Images, name),
        None => Finding::drifted(Group::Images, name, FROM_BUNDLE, found.to_string()),
    };
    Ok(ctr::targets(host)?.into_iter().map(finding).collect())
}

/// Compares the image of each container with the bundle.
pub(super) fn look(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Vec<Finding>> {
    let (content, targets, of_pods) = (content(inputs), ctr::targets(host)?, of_pods(host)?);
    let mut findings = Vec::new();
    for (id, image) in ctr::containers(host)? {
        let (subject, digest) = match of_pods.get(&id) {
            Some(container) => (container.subject(), container.image()),
            None => (format!("container {id}"), targets.get(&image).copied()),
        };
        findings.push(match digest {
            Some(digest) if content.contains(&digest) => Finding::as_approved(Group::Containers, subject),
            Some(digest) => Finding::drifted(Group::Containers, subject, FROM_BUNDLE, format!("{image}, {digest}")),
            None => Finding::drifted(Group::Containers, subject, FROM_BUNDLE, format!("{image}, without a digest")),
        });
    }
    Ok(findings)
}

/// The digests that may name an image of the bundle.
fn content(inputs: &Inputs<'_>) -> BTreeSet<Digest> {
    let kinds = [EntryKind::ImageIndex, EntryKind::ImageManifest, EntryKind::ImageConfig];
    inputs.list.entries.iter().filter(|entry| kinds.contains(&entry.kind)).map(|entry| entry.digest).collect()
}

/// `crictl ps --output json` (`ListContainersResponse` of the CRI's `api.proto`).
#[derive(Deserialize)]
struct ContainerList {
    #[serde(default)]
    containers: Vec<PodContainer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodContainer {
    id: String,
    /// The image's configuration by digest, or its name with a digest.
    image_ref: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl PodContainer {
    fn subject(&self) -> String {
        let label = |name: &str| self.labels.get(&format!("io.kubernetes.{name}")).map_or("?", String::as_str);
        format!("{}/{}, container {}", label("pod.namespace"), label("pod.name"), label("container.name"))
    }

    fn image(&self) -> Option<Digest> {
        self.image_ref.rsplit('@').next()?.parse().ok()
    }
}

/// The kubelet's containers, also those that ended, by id.
fn of_pods(host: &Host) -> anyhow::Result<BTreeMap<String, PodContainer>> {
    let command = Command::new(CRICTL, ["-r", CRI_SOCKET, "ps", "--all", "--output", "json"]);
    let list: ContainerList = serde_json::from_str(&host.run(&command)?.stdout)
        .with_context(|| format!("while reading what `{command}` says"))?;
    Ok(list.containers.into_iter().map(|container| (container.id.clone(), container)).collect())
}
