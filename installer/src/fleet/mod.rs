//! Work on many hosts, led from one host. kinstall connects to them over OpenSSH. The [`agent`](crate::agent) on each does the same work as
//! on a single host, one stage after another, and kinstall shows the progress of all of them.

mod advice;
mod answers;
mod audit;
mod balancer;
mod certificates;
mod connection;
mod contact;
mod etcd;
mod host;
mod hosts;
mod index;
mod lead;
mod logs;
pub mod password;
mod policy;
mod pool;
mod preflight;
mod program;
mod reach;
mod restore;
mod rollback;
mod session;
mod settings;
mod shares;
mod stages;
mod status;
mod support;
mod teardown;
mod text;
mod transport;
mod turns;
mod upgrade;
mod upgrade_plan;

pub use answers::Answers;
pub use audit::{AuditGoal, audit};
pub use certificates::{add_sans, list_certificates, preview_renewal, renew_certificates};
pub use hosts::{Fleet, FleetOptions, needs_password};
pub use lead::{InstallRequest, Outcome, lead};
pub use rollback::{RollbackRequest, lead_rollback};
pub use session::{Goal, preflight};
pub use status::read_status;
pub use support::collect_support;
pub use teardown::{DepartingHost, remove, reset_all};
pub use upgrade::{UpgradeRequest, lead_upgrade};
