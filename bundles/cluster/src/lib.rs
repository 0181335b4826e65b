//! A cluster as people describe it, and what it needs of a bundle.
//!
//! `cluster.yaml` → [`config::ClusterSpec`]; a bundle's list, or what a build is going to pack → [`contents::BundleContents`]; both →
//! [`check`](mod@check), which names everything that is missing or contradicts. kinstall plans with the same rules, and kbundle asks them before a
//! bundle is carried anywhere. [`cost`] says what a host takes. Nothing here reads a host or uses the network.

pub mod check;
pub mod config;
pub mod contents;
pub mod cost;
pub mod kube_types;
pub mod needs;
pub mod version_rules;
