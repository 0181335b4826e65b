//! Sets up Kubernetes from a verified bundle.
//!
//! The flow: bundle → verified list; `cluster.yaml` → [`config::ClusterSpec`]; host → [`facts::HostFacts`]; all three → [`plan`](mod@plan),
//! which is pure → [`executor`], which executes the [`steps`] and changes the [`host`].

pub use kbundle_cluster::{config, kube_types, version_rules};

pub mod addon_data;
pub mod agent;
pub mod backup;
pub mod certificates;
mod changes;
mod cleanup;
pub mod cli;
pub mod commands;
pub mod cost;
pub mod distributions;
mod drain;
pub mod etcd_layout;
pub mod executor;
pub mod facts;
pub mod failure;
#[cfg(test)]
mod fixture;
pub mod fleet;
pub mod haproxy;
pub mod helm;
pub mod host;
pub mod host_audit;
pub mod import;
pub mod inputs;
pub mod join_file;
pub mod join_material;
mod keep_records;
pub mod kernel_settings;
pub mod kubeadm;
pub mod kubectl;
pub mod kubelet_requests;
pub mod lock;
pub mod os_packages;
pub mod pki;
pub mod plan;
pub mod ports;
pub mod preflight;
pub mod procfs;
mod program;
pub mod records;
pub mod recovery;
pub mod renewal;
pub mod report;
pub mod reset;
pub mod restoration;
pub mod restoration_records;
pub mod rollback;
pub mod stage;
pub mod standing;
pub mod static_pods;
pub mod status;
pub mod step_progress;
pub mod steps;
pub mod support;
pub mod template;
pub mod topology;
pub mod trust;
#[cfg(test)]
mod unlike;
pub mod upgrade;
pub mod users;
mod version;
pub mod wait;
