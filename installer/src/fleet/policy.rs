//! Who goes on when a host fails. Decides only.

use std::collections::BTreeSet;

use kbundle_format::Role;

use crate::stage::Stage;

/// A host that failed.
#[derive(Clone, Copy, Debug)]
pub struct Fallen<'a> {
    /// What it does.
    pub roles: &'a BTreeSet<Role>,
    /// Whether it is the one that acts for the whole cluster.
    pub leads: bool,
}

/// What is known of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A control plane was set up before, on a host that was reached.
    pub control_plane: bool,
    /// A member of etcd was, on a host that was reached.
    pub etcd: bool,
}

/// What comes of it for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// They go on.
    GoOn,
    /// They stop here; the reason.
    Stop(&'static str),
}

/// Whether the others go on after these hosts failed in `stage`.
#[must_use]
pub fn course(stage: Stage, fallen: &[Fallen<'_>], standing: Standing) -> Course {
    let any = |what: fn(&Fallen<'_>) -> bool| fallen.iter().any(what);
    if any(|host| host.leads) {
        return Course::Stop(match stage {
            Stage::LoadBalancer => "hosts reach the API through the load balancer",
            _ => "nothing goes on without the first control plane",
        });
    }
    if stage <= Stage::Etcd && !standing.etcd && any(|host| host.roles.contains(&Role::Etcd)) {
        return Course::Stop("a new cluster of etcd needs all its members");
    }
    // One that was not reached may be the one that stands, and two clusters do not become one.
    if stage == Stage::Connect && !standing.control_plane && any(|host| host.roles.contains(&Role::ControlPlane)) {
        return Course::Stop("a new cluster needs all its control planes");
    }
    Course::GoOn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEW: Standing = Standing { control_plane: false, etcd: false };
    const STANDS: Standing = Standing { control_plane: true, etcd: true };
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

    fn after(stage: Stage, roles: &[Role], leads: bool, standing: Standing) -> bool {
        let roles = roles.iter().copied().collect();
        course(stage, &[Fallen { roles: &roles, leads }], standing) == Course::GoOn
    }

    #[test]
    fn a_worker_stops_nobody() {
        for (stage, standing) in STAGES.into_iter().flat_map(|stage| [(stage, NEW), (stage, STANDS)]) {
            assert!(after(stage, &[Role::Worker], false, standing), "{stage}");
            assert!(!after(stage, &[Role::ControlPlane, Role::Worker], true, standing), "{stage}");
        }
    }

    #[test]
    fn a_further_control_plane_stops_a_cluster_only_before_it_is_known_where_it_stands() {
        use Stage::{Connect, Prepare};
        assert!(!after(Connect, &[Role::ControlPlane], false, NEW));
        assert!(after(Connect, &[Role::ControlPlane], false, STANDS));
        assert!(after(Prepare, &[Role::ControlPlane], false, NEW));
    }

    #[test]
    fn a_member_of_etcd_stops_a_new_cluster_until_etcd_runs() {
        for stage in STAGES {
            assert_eq!(after(stage, &[Role::Etcd], false, NEW), stage > Stage::Etcd, "{stage}");
            assert!(after(stage, &[Role::Etcd], false, STANDS), "{stage}");
        }
    }

    proptest! {
        /// A host more that fails never lets the others go on.
        #[test]
        fn more_failures_are_never_better(
            hosts in proptest::collection::vec((proptest::sample::subsequence(Role::ALL.to_vec(), 1..=3), any::<bool>()), 1..5),
            stage in 0..STAGES.len(),
            control_plane in any::<bool>(),
            etcd in any::<bool>(),
        ) {
            let standing = Standing { control_plane, etcd };
            let roles: Vec<(BTreeSet<Role>, bool)> =
                hosts.into_iter().map(|(roles, leads)| (roles.into_iter().collect(), leads)).collect();
            let fallen: Vec<_> = roles.iter().map(|(roles, leads)| Fallen { roles, leads: *leads }).collect();
            let alone = fallen.iter().any(|host| course(STAGES[stage], &[*host], standing) != Course::GoOn);
            prop_assert_eq!(course(STAGES[stage], &fallen, standing) != Course::GoOn, alone);
        }
    }
}
