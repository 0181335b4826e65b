//! Which steps a host needs, in which order. Reads nothing and changes nothing.

use crate::steps::{HostsFile, Inputs, KernelModules, Step, Swap, Sysctls};

/// Every step there is, in the order of an installation. `reset` goes through them backwards.
pub static STEPS: &[&(dyn Step + Sync)] = &[&Swap, &KernelModules, &Sysctls, &HostsFile];

/// Why a cluster cannot be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The host has no address that others could reach it at.
    #[error("no address for the API server: the host has no default route and not exactly one address")]
    NoAddress,
}

/// The steps for this host, in order.
pub struct Plan {
    /// Each with what it does.
    pub steps: Vec<PlannedStep>,
}

/// A step of a plan.
pub struct PlannedStep {
    /// What it does.
    pub title: String,
    /// The step.
    pub step: &'static (dyn Step + Sync),
}

/// Decides what is to be done.
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, PlanError> {
    if inputs.address().is_none() {
        return Err(PlanError::NoAddress);
    }
    let steps = STEPS.iter().map(|&step| PlannedStep { title: step.title(inputs), step }).collect();
    Ok(Plan { steps })
}
