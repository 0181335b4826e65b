//! Sets up Kubernetes from a verified bundle.
//!
//! The flow: bundle → verified list; `cluster.yaml` → [`config::ClusterSpec`]; host → [`facts::HostFacts`];
//! all three → [`plan`](mod@plan), which is pure → [`executor`], which goes through the [`steps`] and changes the
//! [`host`].

pub mod config;
pub mod cost;
pub mod facts;
pub mod failure;
pub mod host;
pub mod kernel_settings;
pub mod pki;
pub mod plan;
pub mod preflight;
pub mod steps;
