//! One of the hosts of a fleet.

use std::collections::BTreeSet;

use kbundle_format::Role;

use super::connection::Connection;
use crate::agent::questions::Survey;
use crate::config::{DnsName, HostSpec};
use crate::facts::{HostFacts, Installation};
use crate::failure::FailureReport;
use crate::host::StepState;
use crate::stage::Phase;
use crate::stage::Stage;

/// A host, and how far the work on it is.
pub struct FleetHost<'a> {
    /// The host as cluster.yaml describes it.
    pub spec: &'a HostSpec,
    /// Absent until kinstall has connected to it.
    pub reached: Option<Reached>,
    /// The phases in which it has work; empty before the plan is made.
    pub phases: BTreeSet<Phase>,
    /// The steps that changed something.
    pub changed: Vec<String>,
    /// The first failure. The host does no work after it.
    pub failure: Option<Failure>,
}

/// A host that kinstall has connected to.
pub struct Reached {
    /// The connection.
    pub connection: Connection,
    /// The host's facts, before any change.
    pub survey: Survey,
    /// How far the host's clock is ahead of this machine's.
    pub clock_offset_seconds: f64,
}

/// Why a host does no more work.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// What failed, and why.
    pub report: FailureReport,
}

impl<'a> FleetHost<'a> {
    /// A host on which nothing has been done yet.
    pub fn new(spec: &'a HostSpec) -> Self {
        Self { spec, reached: None, phases: BTreeSet::new(), changed: Vec::new(), failure: None }
    }

    /// Its name in cluster.yaml.
    pub fn name(&self) -> &DnsName {
        &self.spec.name
    }

    /// The connection and the survey, for work on a host that has not failed.
    pub fn reached(&self) -> &Reached {
        self.reached.as_ref().expect("a host that was not reached has failed, and is not worked on")
    }

    /// The facts of a host that has not failed.
    pub fn facts(&self) -> &HostFacts {
        &self.reached().survey.facts
    }

    /// Whether it has this role.
    pub fn has(&self, role: Role) -> bool {
        self.spec.roles.contains(&role)
    }

    /// Whether work on it may continue.
    pub fn is_alive(&self) -> bool {
        self.failure.is_none()
    }

    /// Whether its control plane was completed by an earlier run.
    pub fn is_control_plane(&self) -> bool {
        self.surveyed(|survey| survey.control_plane == StepState::Done)
    }

    /// Whether its member of etcd was completed by an earlier run.
    pub fn has_etcd(&self) -> bool {
        self.surveyed(|survey| survey.etcd == StepState::Done)
    }

    /// Whether an earlier run left no part of a cluster on it.
    pub fn is_new(&self) -> bool {
        !self.surveyed(|survey| survey.facts.installation != Installation::None)
    }

    /// Whether it was reached and `what` is true of its survey.
    pub fn surveyed(&self, what: impl Fn(&Survey) -> bool) -> bool {
        self.reached.as_ref().is_some_and(|reached| what(&reached.survey))
    }
}
