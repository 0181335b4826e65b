//! Upstream's own conformance tests against a cluster that kinstall set up: `./ci/conformance`.
//!
//! The mirror brings `e2e.test` of each Kubernetes version. Which tests have to pass is a list of exact names, so that a test
//! which upstream renames is found missing instead of being left out in silence.

mod list;
mod report;
mod suite;

pub use list::{chosen, known_failures, parse};
pub use report::{End, Outcome, surprises, table};
pub use suite::{Cluster, Suite};
