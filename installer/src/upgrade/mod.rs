//! Upgrades of an existing cluster: which version may follow which ([`rules`]), what an upgrade is about to do ([`outline`]), and what the
//! host records of an unfinished one ([`unfinished`], [`former`]). The steps in `steps/upgrade/` change the host; `rollback` returns from
//! an upgrade.

pub mod api_use;
pub mod cluster_state;
pub mod deprecated;
pub mod former;
pub mod outline;
pub mod part;
pub mod removed_apis;
pub mod rules;
pub mod standing;
pub mod stored;
pub mod unfinished;

/// What to do if a step failed on the only host of a cluster.
pub const RESUME_OR_ROLL_BACK: &str = "finished steps stay, and the cluster's data with them; run the same command again to resume, or \
     `kinstall rollback` to go back";
/// What to do if a step failed. A reset would delete the cluster.
pub const RESUME: &str = "finished steps stay, and the cluster's data with them; run the same command again to resume";
