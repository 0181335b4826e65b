//! What an installation costs this host, reported before anything is changed: disk space by file system, and memory.
//!
//! Sizes come from the signed list. What a role takes of them is [`kbundle_cluster::cost`].

use std::collections::BTreeMap;
use std::fmt;

use indicatif::HumanBytes;
use kbundle_cluster::cost::{DiskUse, HostContent, Unpacked, memory_bytes};
use kbundle_format::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::Mount;
use crate::host::ledger;
use crate::inputs::Inputs;

/// Below this percentage of free space on a file system, the kubelet evicts pods and deletes images. Defaults of `evictionHard`:
/// imagefs.available and nodefs.available (Kubernetes, "Node-pressure Eviction").
const LEFT_OVER_PERCENT: [(&str, u64); 2] = [("/var/lib/containerd", 15), ("/var/lib/kubelet", 10)];

/// What an installation costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Steps of the plan.
    pub steps: usize,
    /// Disk, by mount point.
    pub disks: Vec<DiskCost>,
    /// Memory in use once the cluster runs, before any user's pod.
    pub memory_bytes: u64,
    /// Memory that could be used now.
    pub memory_available_bytes: Option<u64>,
}

/// What one file system has to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskCost {
    /// Where it is mounted.
    pub mount: String,
    /// What is needed there.
    pub needed_bytes: u64,
    /// What is free there; absent where the file system does not tell.
    pub free_bytes: Option<u64>,
    /// What has to stay free there, or the kubelet evicts pods.
    pub left_over_bytes: u64,
    /// What for.
    pub uses: Vec<DiskUse>,
}

impl DiskCost {
    /// Whether it fits, as far as is known.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.free_bytes.is_none_or(|free| self.needed_bytes + self.left_over_bytes <= free)
    }
}

impl Cost {
    /// What does not fit, for people; empty if everything fits.
    #[must_use]
    pub fn shortages(&self) -> Vec<String> {
        let mut shortages: Vec<_> = self.disks.iter().filter(|disk| !disk.fits()).map(ToString::to_string).collect();
        if self.memory_available_bytes.is_some_and(|available| self.memory_bytes > available) {
            shortages.push(self.memory());
        }
        shortages
    }

    fn memory(&self) -> String {
        let needed = HumanBytes(self.memory_bytes);
        match self.memory_available_bytes.map(HumanBytes) {
            Some(available) => format!("memory: {needed} of {available} available, before any pod of yours"),
            None => format!("memory: {needed}; the kernel does not tell how much is available"),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} steps, which take on this host at most:", self.steps)?;
        for disk in &self.disks {
            writeln!(f, "  {disk}")?;
        }
        write!(f, "  {}", self.memory())
    }
}

impl fmt::Display for DiskCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses: Vec<_> = self
            .uses
            .iter()
            .map(|use_of| format!("{} {}", use_of.directory, HumanBytes(use_of.needed_bytes)))
            .collect();
        let (mount, needed, uses) = (&self.mount, HumanBytes(self.needed_bytes), uses.join(", "));
        let Some(free) = self.free_bytes else {
            return write!(f, "disk {mount}: {needed}; how much is free there is unknown ({uses})");
        };
        write!(f, "disk {mount}: {needed} of {} free ({uses})", HumanBytes(free))?;
        if self.needed_bytes <= free && !self.fits() {
            let left_over = HumanBytes(self.left_over_bytes);
            write!(f, "; beyond that {left_over} has to stay free, or the kubelet evicts pods")?;
        }
        Ok(())
    }
}

/// Computes the cost of setting up what the bundle has for this host and its roles, in `steps` steps. `kept_bytes` are for the part
/// of the bundle that the host is sent and keeps.
#[must_use]
pub fn cost(inputs: &Inputs<'_>, steps: usize, kept_bytes: u64) -> Cost {
    let facts = inputs.facts;
    let mut disks: BTreeMap<_, (&Mount, Vec<DiskUse>)> = BTreeMap::new();
    let kept = DiskUse { directory: ledger::DIRECTORY.into(), needed_bytes: kept_bytes };
    for use_of in disk_uses(inputs).into_iter().chain((kept_bytes > 0).then_some(kept)) {
        if let Some(mount) = facts.mount_of(&use_of.directory) {
            // Directories on one device share its room, even if it is mounted twice. The device's name alone is not enough: every tmpfs has
            // the same.
            let device = (&mount.device, mount.space);
            disks.entry(device).or_insert_with(|| (mount, Vec::new())).1.push(use_of);
        }
    }
    let disk = |(mount, uses): (&Mount, Vec<DiskUse>)| DiskCost {
        mount: mount.path.clone(),
        needed_bytes: uses.iter().map(|use_of| use_of.needed_bytes).sum(),
        free_bytes: mount.space.map(|space| space.free_bytes),
        left_over_bytes: mount.space.map_or(0, |space| space.total_bytes / 100 * left_over_percent(&uses)),
        uses,
    };
    Cost {
        steps,
        disks: disks.into_values().map(disk).collect(),
        memory_bytes: memory_bytes(inputs.roles()),
        memory_available_bytes: facts.memory.available_bytes,
    }
}

fn left_over_percent(uses: &[DiskUse]) -> u64 {
    let demanded =
        LEFT_OVER_PERCENT.iter().filter(|(directory, _)| uses.iter().any(|found| found.directory == *directory));
    demanded.map(|(_, percent)| *percent).max().unwrap_or(0)
}

fn disk_uses(inputs: &Inputs<'_>) -> Vec<DiskUse> {
    let Inputs { list, facts, .. } = *inputs;
    let suits = |entry: &Entry| entry.platform.as_ref().is_none_or(|found| *found == facts.platform);
    let ours = |entry: &&Entry| suits(entry) && !entry.roles.is_disjoint(inputs.roles());
    let mut unpacked = Unpacked::default();
    for entry in list.entries.iter().filter(ours) {
        let (component, media_type) = (entry.component.as_ref(), entry.media_type.as_str());
        unpacked.add(HostContent { kind: entry.kind, component, media_type, size_bytes: entry.size });
    }
    unpacked.disk_uses(inputs.roles())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kbundle_format::{BundleList, EntryKind, Role};

    use crate::config::ClusterSpec;
    use crate::facts::HostFacts;
    use crate::fixture;
    use crate::host::Space;

    /// Room in GiB.
    fn space(free: u64, total: u64) -> Space {
        Space { free_bytes: free << 30, total_bytes: total << 30 }
    }

    #[test]
    fn what_is_not_known_is_said_and_is_no_shortage() {
        let mut facts = fixture::facts();
        facts.mounts = vec![Mount { space: None, ..mount("/", "server:/export", 0) }];
        facts.memory.available_bytes = None;
        let cost = cost(&list(), &facts, 17);
        assert!(cost.shortages().is_empty());
        insta::assert_snapshot!(cost, @"
        17 steps, which take on this host at most:
          disk /: 1.93 GiB; how much is free there is unknown (/usr/local/bin 160.00 MiB, /opt/cni/bin 40.00 MiB, /var/lib/containerd 110.00 MiB, /var/lib/etcd 512.00 MiB, /var/lib/kubelet 128.00 MiB, /var/log 1.00 GiB)
          memory: 640.00 MiB; the kernel does not tell how much is available
        ");
    }

    fn mount(path: &str, device: &str, free_bytes: u64) -> Mount {
        Mount {
            path: path.into(),
            device: device.into(),
            space: Some(Space { free_bytes, total_bytes: free_bytes / 2 * 3 }),
            ..fixture::facts().mounts[0].clone()
        }
    }

    #[test]
    fn room_that_the_kubelet_wants_left_over_counts() {
        let mut facts = fixture::facts();
        facts.mounts = vec![Mount { space: Some(space(25, 250)), ..mount("/", "/dev/sda1", 0) }];
        insta::assert_debug_snapshot!(cost(&list(), &facts, 17).shortages(), @r#"
        [
            "disk /: 1.93 GiB of 25.00 GiB free (/usr/local/bin 160.00 MiB, /opt/cni/bin 40.00 MiB, /var/lib/containerd 110.00 MiB, /var/lib/etcd 512.00 MiB, /var/lib/kubelet 128.00 MiB, /var/log 1.00 GiB); beyond that 37.50 GiB has to stay free, or the kubelet evicts pods",
        ]
        "#);
        facts.mounts[0].space = Some(space(50, 250));
        assert!(cost(&list(), &facts, 17).shortages().is_empty());
    }

    /// The fixture's list with entries of real sizes.
    fn list() -> BundleList {
        let mut list = fixture::list("1.25.2");
        list.entries.iter_mut().for_each(|entry| entry.size = 10 << 20);
        let layer = Entry {
            kind: EntryKind::ImageLayer,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            ..list.entries[0].clone()
        };
        list.entries.push(layer);
        list
    }

    /// The cost for a single host.
    fn cost(list: &BundleList, facts: &HostFacts, steps: usize) -> Cost {
        super::cost(&Inputs { spec: &ClusterSpec::default(), facts, list, topology: &fixture::topology() }, steps, 0)
    }

    #[test]
    fn a_worker_pays_for_what_it_gets_alone() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.list = list();
        for entry in cluster.list.entries.iter_mut().filter(|entry| entry.kind == EntryKind::ImageLayer) {
            entry.roles = [Role::ControlPlane].into();
        }
        let uses = |name: &str| {
            let topology = cluster.seen_from(name);
            let cost = super::cost(&cluster.inputs(&topology), 9, 5 << 20);
            let uses = cost.disks[0].uses.iter().map(|found| (found.directory.to_string(), found.needed_bytes >> 20));
            (uses.collect::<BTreeMap<_, _>>(), cost.memory_bytes >> 20)
        };
        let ((leader, leaders_memory), (worker, workers_memory)) = (uses("c1"), uses("w1"));
        assert!(leader["/var/lib/containerd"] > worker["/var/lib/containerd"], "{leader:?} {worker:?}");
        assert_eq!(worker["/var/lib/kinstall"], 5);
        assert!(leader.contains_key("/var/lib/etcd") && !worker.contains_key("/var/lib/etcd"));
        assert!(leaders_memory > workers_memory);
    }

    #[test]
    fn every_file_system_is_asked_for_what_goes_there() {
        let mut facts = fixture::facts();
        facts.mounts = vec![mount("/", "/dev/sda1", 20 << 30), mount("/var/lib", "/dev/sdb1", 1 << 30)];
        insta::assert_snapshot!(cost(&list(), &facts, 17), @"
        17 steps, which take on this host at most:
          disk /: 1.20 GiB of 20.00 GiB free (/usr/local/bin 160.00 MiB, /opt/cni/bin 40.00 MiB, /var/log 1.00 GiB)
          disk /var/lib: 750.00 MiB of 1.00 GiB free (/var/lib/containerd 110.00 MiB, /var/lib/etcd 512.00 MiB, /var/lib/kubelet 128.00 MiB)
          memory: 640.00 MiB of 7.00 GiB available, before any pod of yours
        ");
        assert!(cost(&list(), &facts, 17).shortages().is_empty());
    }

    #[test]
    fn directories_on_one_device_share_its_room() {
        let mut facts = fixture::facts();
        facts.mounts = vec![mount("/", "/dev/sda1", 1 << 30), mount("/var", "/dev/sda1", 1 << 30)];
        facts.memory.available_bytes = Some(100 << 20);
        insta::assert_debug_snapshot!(cost(&list(), &facts, 17).shortages(), @r#"
        [
            "disk /: 1.93 GiB of 1.00 GiB free (/usr/local/bin 160.00 MiB, /opt/cni/bin 40.00 MiB, /var/lib/containerd 110.00 MiB, /var/lib/etcd 512.00 MiB, /var/lib/kubelet 128.00 MiB, /var/log 1.00 GiB)",
            "memory: 640.00 MiB of 100.00 MiB available, before any pod of yours",
        ]
        "#);
    }

    #[test]
    fn other_platforms_cost_nothing_here() {
        let facts = fixture::facts();
        let mut list = list();
        list.entries.iter_mut().for_each(|entry| entry.platform = "linux/arm64".parse().ok());
        let programs = &cost(&list, &facts, 17).disks[0].uses[0];
        assert_eq!((programs.directory.as_ref(), programs.needed_bytes), ("/usr/local/bin", 0));
    }
}
