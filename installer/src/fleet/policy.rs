//! Decides which hosts continue when one fails. Reads nothing and changes nothing.

use std::collections::BTreeSet;

use kbundle_format::Role;

use crate::stage::Stage;

/// A host that failed.
#[derive(Clone, Copy, Debug)]
pub struct FailedHost<'a> {
    /// Its roles.
    pub roles: &'a BTreeSet<Role>,
    /// Whether it acts for the whole cluster.
    pub leads: bool,
}

/// What earlier runs have completed, on the hosts that were reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// A control plane.
    pub control_plane: bool,
    /// A member of etcd.
    pub etcd: bool,
}

/// What the other hosts do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They continue.
    GoOn,
    /// They stop, for this reason.
    Stop(&'static str),
}

/// Whether the others continue after these hosts failed in `stage`.
#[must_use]
pub fn decide(stage: Stage, failed: &[FailedHost<'_>], completed: Completed) -> Decision {
    let any = |what: fn(&FailedHost<'_>) -> bool| failed.iter().any(what);
    if any(|host| host.leads) {
        return Decision::Stop(match stage {
            Stage::LoadBalancer => "hosts reach the API through the load balancer",
            _ => "they need the first control plane",
        });
    }
    if stage <= Stage::Etcd && !completed.etcd && any(|host| host.roles.contains(&Role::Etcd)) {
        return Decision::Stop("a new etcd cluster needs all its members");
    }
    // The host that was not reached may be part of the cluster already; a second cluster must not be created.
    if stage == Stage::Connect && !completed.control_plane && any(|host| host.roles.contains(&Role::ControlPlane)) {
        return Decision::Stop("a new cluster needs all its control planes");
    }
    Decision::GoOn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEW: Completed = Completed { control_plane: false, etcd: false };
    const COMPLETED: Completed = Completed { control_plane: true, etcd: true };
    const STAGES: [Stage; 11] = [
        Stage::Connect,
        Stage::Preflight,
        Stage::Bundle,
        Stage::Prepare,
        Stage::Etcd,
        Stage::FirstControlPlane,
        Stage::ControlPlanes,
        Stage::LoadBalancer,
        Stage::Workers,
        Stage::Network,
        Stage::Finish,
    ];

    fn after(stage: Stage, roles: &[Role], leads: bool, completed: Completed) -> bool {
        let roles = roles.iter().copied().collect();
        decide(stage, &[FailedHost { roles: &roles, leads }], completed) == Decision::GoOn
    }

    #[test]
    fn a_worker_stops_no_other_host() {
        for (stage, completed) in STAGES.into_iter().flat_map(|stage| [(stage, NEW), (stage, COMPLETED)]) {
            assert!(after(stage, &[Role::Worker], false, completed), "{stage}");
            assert!(!after(stage, &[Role::ControlPlane, Role::Worker], true, completed), "{stage}");
        }
    }

    #[test]
    fn another_control_plane_stops_a_new_cluster_only_while_connecting() {
        use Stage::{Connect, Prepare};
        assert!(!after(Connect, &[Role::ControlPlane], false, NEW));
        assert!(after(Connect, &[Role::ControlPlane], false, COMPLETED));
        assert!(after(Prepare, &[Role::ControlPlane], false, NEW));
    }

    #[test]
    fn a_member_of_etcd_stops_a_new_cluster_until_etcd_runs() {
        for stage in STAGES {
            assert_eq!(after(stage, &[Role::Etcd], false, NEW), stage > Stage::Etcd, "{stage}");
            assert!(after(stage, &[Role::Etcd], false, COMPLETED), "{stage}");
        }
    }

    proptest! {
        /// An additional failure never allows the others to continue.
        #[test]
        fn more_failures_are_never_better(
            hosts in proptest::collection::vec((proptest::sample::subsequence(Role::ALL.to_vec(), 1..=3), any::<bool>()), 1..5),
            stage in 0..STAGES.len(),
            control_plane in any::<bool>(),
            etcd in any::<bool>(),
        ) {
            let completed = Completed { control_plane, etcd };
            let roles: Vec<(BTreeSet<Role>, bool)> =
                hosts.into_iter().map(|(roles, leads)| (roles.into_iter().collect(), leads)).collect();
            let failed: Vec<_> = roles.iter().map(|(roles, leads)| FailedHost { roles, leads: *leads }).collect();
            let alone = failed.iter().any(|host| decide(STAGES[stage], &[*host], completed) != Decision::GoOn);
            prop_assert_eq!(decide(STAGES[stage], &failed, completed) != Decision::GoOn, alone);
        }
    }
}
