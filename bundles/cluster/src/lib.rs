//! The description of a cluster, and what it needs from a bundle.
//!
//! `cluster.yaml` → [`config::ClusterSpec`]; a bundle's list, or the plan of a build → [`contents::BundleContents`]; both →
//! [`check`](mod@check), which names everything that is missing or contradictory. kinstall plans with the same rules, and kbundle applies
//! them before a bundle is carried anywhere. [`cost`] says which resources a host needs. Nothing here reads a host or uses the network.

pub mod check;
pub mod config;
pub mod contents;
pub mod cost;
pub mod kube_types;
pub mod needs;
pub mod version_rules;
