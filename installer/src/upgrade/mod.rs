//! Upgrades of a cluster that stands: which version may follow which ([`rules`]), what an upgrade is about to do ([`outline`]), and
//! what the host keeps of one that is under way ([`unfinished`], [`former`]). What changes the host are steps, `steps/upgrade/`; the way back
//! from an upgrade is `rollback`.

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

/// What to do when a step failed on the only host of a cluster.
pub const RESUME_OR_ROLL_BACK: &str = "finished steps stay, and the cluster's data with them; run the same command again to resume, or \
     `kinstall rollback` to go back";
/// What to do when a step failed. A reset would delete the cluster.
pub const RESUME: &str = "finished steps stay, and the cluster's data with them; run the same command again to resume";
