//! The resources that a host needs once it is set up, by its roles: disk space in each directory, and memory before any user's pod.
//!
//! kinstall compares them with the host before it changes anything; `kbundle build --dry-run` shows them before anything is fetched.
//! Unpacked sizes are estimated from above, by factors whose source is named.

use std::borrow::Cow;
use std::collections::BTreeSet;

use kbundle_format::{Component, ComponentName, EntryKind, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Holds kinstall's records, and the part of a bundle that a host is sent.
pub const RECORDS_DIRECTORY: &str = "/var/lib/kinstall";

/// An upper bound of the bytes that one gzip-compressed byte becomes. Image layers: unpacked images are about 3.5 times their archive
/// (<https://github.com/replicatedhq/kURL/pull/4377>); Go programs in release archives are compressed to no less than a third.
const GZIP_FACTOR: u64 = 4;
/// etcd preallocates its log, two segments of 64 MB, and its database grows with the cluster.
const ETCD_BYTES: u64 = 512 << 20;
/// Room for the audit log and the containers' logs.
const LOG_BYTES: u64 = 1 << 30;
/// Room for the kubelet's data about pods, and for records of kinstall.
const STATE_BYTES: u64 = 128 << 20;
/// Resident memory of a control plane with etcd, kubelet and containerd before any user's pod; 430 to 510 MB were measured.
const CONTROL_PLANE_MEMORY_BYTES: u64 = 640 << 20;
/// The same for a worker: kubelet, containerd, kube-proxy and the load balancer; 65 to 80 MB and HAProxy's.
const WORKER_MEMORY_BYTES: u64 = 192 << 20;
/// The same for a host that has only etcd; about 90 MB.
const ETCD_MEMORY_BYTES: u64 = 192 << 20;

/// What one directory has to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskUse {
    /// The directory.
    pub directory: Cow<'static, str>,
    /// What is needed there.
    pub needed_bytes: u64,
}

/// A file or blob that a host gets.
#[derive(Clone, Copy, Debug)]
pub struct HostContent<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// The component that it is or belongs to.
    pub component: Option<&'a Component>,
    /// Its media type, which shows whether a layer is compressed.
    pub media_type: &'a str,
    /// Its size in the bundle's list.
    pub size_bytes: u64,
}

/// The room that content takes on a host, by its destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "names have their unit")]
pub struct Unpacked {
    programs_bytes: u64,
    plugins_bytes: u64,
    images_bytes: u64,
}

impl Unpacked {
    /// Counts content for a host. A server may state any size, so sums saturate.
    pub fn add(&mut self, content: HostContent<'_>) {
        let HostContent { kind, component, media_type, size_bytes } = content;
        let (room, factor) = match kind {
            EntryKind::Binary => (&mut self.programs_bytes, 1),
            EntryKind::Archive if component.is_some_and(|of| of.is(ComponentName::CniPlugins)) => {
                (&mut self.plugins_bytes, GZIP_FACTOR)
            }
            EntryKind::Archive => (&mut self.programs_bytes, GZIP_FACTOR),
            // The layer is kept as it is, for its digest, and also unpacked.
            EntryKind::ImageLayer if media_type.ends_with("gzip") => (&mut self.images_bytes, 1 + GZIP_FACTOR),
            EntryKind::ImageLayer => (&mut self.images_bytes, 2),
            EntryKind::ImageIndex | EntryKind::ImageManifest | EntryKind::ImageConfig => (&mut self.images_bytes, 1),
            EntryKind::OciLayout
            | EntryKind::Manifest
            | EntryKind::Chart
            | EntryKind::ChartValues
            | EntryKind::HostFile
            | EntryKind::OsPackage
            | EntryKind::Sbom => return,
        };
        *room = room.saturating_add(size_bytes.saturating_mul(factor));
    }

    /// The directories of a host with `roles`, each with the room for this content and for its own data.
    #[must_use]
    pub fn disk_uses(&self, roles: &BTreeSet<Role>) -> Vec<DiskUse> {
        let use_of = |directory: &'static str, needed_bytes| DiskUse { directory: directory.into(), needed_bytes };
        let is_node = roles.contains(&Role::ControlPlane) || roles.contains(&Role::Worker);
        let uses = [
            (true, use_of("/usr/local/bin", self.programs_bytes)),
            (is_node, use_of("/opt/cni/bin", self.plugins_bytes)),
            (is_node, use_of("/var/lib/containerd", self.images_bytes)),
            (roles.contains(&Role::Etcd), use_of("/var/lib/etcd", ETCD_BYTES)),
            (is_node, use_of("/var/lib/kubelet", STATE_BYTES)),
            (is_node, use_of("/var/log", LOG_BYTES)),
        ];
        uses.into_iter().filter_map(|(is_used, use_of)| is_used.then_some(use_of)).collect()
    }
}

/// Memory that a host with `roles` uses once the cluster runs, before any user's pod.
#[must_use]
pub fn memory_bytes(roles: &BTreeSet<Role>) -> u64 {
    if roles.contains(&Role::ControlPlane) {
        CONTROL_PLANE_MEMORY_BYTES
    } else if roles.contains(&Role::Worker) {
        WORKER_MEMORY_BYTES
    } else {
        ETCD_MEMORY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str) -> u64 {
        let mut unpacked = Unpacked::default();
        unpacked.add(HostContent { kind: EntryKind::ImageLayer, component: None, media_type, size_bytes: 10 });
        unpacked.images_bytes
    }

    #[test]
    fn a_layer_is_kept_and_unpacked() {
        assert_eq!(layer("application/vnd.oci.image.layer.v1.tar+gzip"), 50);
        assert_eq!(layer("application/vnd.oci.image.layer.v1.tar"), 20);
    }

    #[test]
    fn a_host_of_etcd_alone_has_no_images() {
        let mut unpacked = Unpacked::default();
        let content = HostContent { kind: EntryKind::Binary, component: None, media_type: "", size_bytes: 7 };
        unpacked.add(content);
        let directories = |roles: &[Role]| {
            let uses = unpacked.disk_uses(&roles.iter().copied().collect());
            uses.into_iter().map(|found| found.directory.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(directories(&[Role::Etcd]), ["/usr/local/bin", "/var/lib/etcd"]);
        assert_eq!(
            directories(&[Role::Worker]),
            ["/usr/local/bin", "/opt/cni/bin", "/var/lib/containerd", "/var/lib/kubelet", "/var/log"]
        );
        assert!(memory_bytes(&Role::ALL.into()) > memory_bytes(&[Role::Worker].into()));
    }
}
