//! Upgrades of a cluster that stands: which version may follow which ([`rules`]), what an upgrade is about to do ([`outline`]), and
//! what the host keeps of one that is under way ([`unfinished`]). What changes the host are steps: [`steps::upgrade`](crate::steps::upgrade).

pub mod deprecated;
pub mod outline;
pub mod rules;
pub mod unfinished;
