//! The steps of an upgrade that an installation does not have: they change versions, one program after another, in the order that
//! Kubernetes demands. Each begins only when the one before is healthy, and does nothing if its program has the new version already.
//!
//! They work with the [`Inputs`] of the new bundle, while the host's records are those of the old one.

mod addons;
mod control_plane;
mod former;
mod kubelet;
mod preload;
mod services;
mod snapshot;
mod worker;

use anyhow::Context as _;
use kbundle_format::BundleList;

use super::{Context, Images, Step};
use crate::host::Host;
use crate::records::Records;
use crate::upgrade::part::Part;
use crate::upgrade::unfinished::{self, Mark};

pub use addons::{UpgradedAddons, UpgradedNetwork};
pub use control_plane::UpgradedControlPlane;
pub use former::KeepFormer;
pub use kubelet::{UpgradedKubelet, not_reported};
pub use preload::Preload;
pub use services::{UpgradedEtcd, UpgradedRuntime};
pub use snapshot::{Snapshot, snapshot_path};
pub use worker::UpgradedWorker;

/// In the order for a single host. The steps before [`Snapshot`] change nothing that runs.
pub static STEPS: &[(Part, &(dyn Step + Sync))] = &[
    (Part::Preload, &Preload),
    (Part::Preload, &Images),
    (Part::Preload, &KeepFormer),
    (Part::Snapshot, &Snapshot),
    (Part::Node, &UpgradedRuntime),
    (Part::Etcd, &UpgradedEtcd),
    (Part::Node, &UpgradedControlPlane),
    (Part::Node, &UpgradedWorker),
    (Part::Node, &UpgradedKubelet),
    (Part::Network, &UpgradedNetwork),
    (Part::Finish, &UpgradedAddons),
];

/// Records that running programs are about to be changed.
fn begin_changing(context: &Context<'_>) -> anyhow::Result<()> {
    unfinished::note(&context.host, Mark::Changing)
}

/// The list of the bundle that the host was set up from.
fn former_list(host: &Host) -> anyhow::Result<BundleList> {
    let records = Records::read(host)?.context("this host has no record of the bundle that it was set up from")?;
    Ok(BundleList::parse(&records.list_bytes)?)
}

#[cfg(test)]
mod tests {
    use crate::config::ClusterSpec;
    use crate::fixture;
    use crate::inputs::Inputs;
    use crate::plan::{plan_upgrade, plan_upgrade_parts};
    use crate::upgrade::part::Part;

    #[test]
    fn versions_change_in_the_order_that_kubernetes_asks_for() {
        let (spec, facts, topology) = (ClusterSpec::default(), fixture::facts(), fixture::topology());
        let list = fixture::list("1.36.3");
        let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
        let plan = plan_upgrade(&inputs).unwrap();
        let ids: Vec<_> = plan.steps.iter().map(|planned| planned.step.id()).collect();
        let of_upgrade = [
            "preload",
            "images",
            "keep-former",
            "etcd-snapshot",
            "upgrade-runtime",
            "upgrade-etcd",
            "upgrade-control-plane",
            "upgrade-kubelet",
        ];
        assert_eq!(ids[..of_upgrade.len()], of_upgrade);
        let of_installation = &ids[of_upgrade.len()..];
        assert!(of_installation.starts_with(&["swap"]) && of_installation.ends_with(&["ready"]), "{of_installation:?}");
        let title = &plan.steps[4].title;
        assert_eq!(title, "change to containerd 2.0.5, runc 1.1.4, crictl 1.25.0, cni-plugins 1.2.0");
    }

    #[test]
    fn the_parts_of_several_hosts_are_the_whole_and_nothing_that_runs_changes_in_the_first_two() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        let haproxy: Vec<_> = cluster
            .list
            .images
            .iter()
            .filter(|image| image.reference.to_string().contains("haproxy"))
            .cloned()
            .collect();
        cluster.list = fixture::list("1.36.3");
        cluster.list.images.extend(haproxy);
        let steps = |host: &str, parts: &[Part]| -> Vec<&str> {
            let topology = cluster.seen_from(host);
            let plan = plan_upgrade_parts(&cluster.inputs(&topology), parts).unwrap();
            plan.steps.iter().map(|planned| planned.step.id()).collect()
        };
        for host in ["c1", "c2", "w1"] {
            let mut divided: Vec<_> = Part::ALL.iter().flat_map(|part| steps(host, &[*part])).collect();
            let mut whole = steps(host, &Part::ALL);
            divided.sort_unstable();
            whole.sort_unstable();
            assert_eq!(divided, whole, "{host}");
            assert_eq!(steps(host, &[Part::Preload]), ["preload", "images", "keep-former"]);
        }
        assert_eq!(steps("c2", &[Part::Snapshot, Part::Etcd])[..2], ["etcd-snapshot", "upgrade-etcd"]);
        assert_eq!(steps("w1", &[Part::Snapshot, Part::Etcd]), Vec::<&str>::new());
        assert_eq!(steps("c2", &[Part::Node])[..3], ["upgrade-runtime", "upgrade-control-plane", "upgrade-kubelet"]);
        assert_eq!(steps("w1", &[Part::Node])[..3], ["upgrade-runtime", "upgrade-worker", "upgrade-kubelet"]);
    }
}
