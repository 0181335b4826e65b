//! The steps of an installation.
//!
//! A step can say whether it is done, apply its change, and undo what the [`Ledger`](crate::host::Ledger) does not know, such as running
//! programs. `reset` undoes files, settings and units of all steps from the ledger.
//!
//! Steps hold no data. They work with [`Inputs`], so that `reset` can undo them without a bundle.

pub mod addon;
pub mod addons;
mod boot_settings;
mod certificate_timer;
pub mod charts;
pub mod containerd;
mod control_plane;
mod dns;
pub mod etcd;
mod external_etcd;
mod file_modes;
mod firewall;
mod hosts_file;
mod image_keeper;
pub mod images;
pub mod join;
mod kernel_modules;
pub mod kubeadm_config;
pub mod kubeconfig;
pub mod kubelet;
mod kubelet_certificates;
pub mod load_balancer;
pub mod network;
pub mod network_manager;
mod node_settings;
pub mod os_packages;
mod own_network;
mod pods;
pub mod programs;
mod ready;
mod restored_data;
mod restored_objects;
pub mod shared_keys;
pub mod site_files;
mod swap;
mod sysctls;
mod taint;
pub mod upgrade;
pub mod virtual_address;
mod workloads;

use std::ops::Deref;

use kbundle_format::indexed::IndexedBundle;

use crate::host::Host;
use crate::inputs::Inputs;
use crate::join_material::JoinMaterial;
use crate::kubeadm::run::Kubeadm;
use crate::step_progress::StepProgress;

pub use addons::Addons;
pub use boot_settings::BootSettings;
pub use certificate_timer::CertificateTimer;
pub use containerd::Containerd;
pub use control_plane::ControlPlane;
pub use dns::Dns;
pub use etcd::{Etcd, EtcdClient};
pub use external_etcd::ExternalEtcd;
pub use file_modes::FileModes;
pub use firewall::Firewall;
pub use hosts_file::HostsFile;
pub use image_keeper::ImageKeeper;
pub use images::Images;
pub use join::Join;
pub use kernel_modules::KernelModules;
pub use kubeadm_config::KubeadmConfig;
pub use kubeconfig::Kubeconfig;
pub use kubelet::Kubelet;
pub use kubelet_certificates::KubeletCertificates;
pub use load_balancer::LoadBalancer;
pub use network::{Bridge, Network};
pub use network_manager::NetworkManager;
pub use node_settings::NodeSettings;
pub use os_packages::OsPackages;
pub use programs::Programs;
pub use ready::Ready;
pub use restored_data::RestoredData;
pub use restored_objects::RestoredObjects;
pub use shared_keys::SharedKeys;
pub use site_files::SiteFiles;
pub use swap::Swap;
pub use sysctls::Sysctls;
pub use taint::Taint;
pub use virtual_address::VirtualAddress;

/// What `check` found on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `apply` would change nothing.
    Done,
    /// There is something to do; the reason, for people.
    Needed(String),
}

/// The answer of a `check` that found something to do.
#[expect(clippy::unnecessary_wraps, reason = "it is what `check` returns")]
pub(crate) fn needed(reason: impl Into<String>) -> anyhow::Result<Check> {
    Ok(Check::Needed(reason.into()))
}

/// What steps work with. It dereferences to its [`Inputs`]: `context.spec`, `context.facts`, `context.list`.
pub struct Context<'a> {
    /// The host to change.
    pub host: Host,
    /// The verified bundle.
    pub bundle: &'a IndexedBundle,
    /// The inputs of decisions.
    pub inputs: Inputs<'a>,
    /// What the host needs from the rest of the cluster.
    pub material: &'a JoinMaterial,
    /// Receives reports of what a long step does.
    pub progress: &'a dyn StepProgress,
}

impl Context<'_> {
    /// kubeadm on this host.
    pub(crate) fn kubeadm(&mut self) -> Kubeadm<'_> {
        let was_completed = control_plane::is_set_up(&self.host);
        Kubeadm { host: &mut self.host, inputs: self.inputs, progress: self.progress, was_completed }
    }
}

impl<'a> Deref for Context<'a> {
    type Target = Inputs<'a>;

    fn deref(&self) -> &Inputs<'a> {
        &self.inputs
    }
}

/// One change to a host. If it is cut off anywhere, the next run completes it.
pub trait Step {
    /// A short stable name, such as `containerd`.
    fn id(&self) -> &'static str;

    /// What it does, in the imperative, such as `set up containerd 1.6.20`.
    fn title(&self, inputs: &Inputs<'_>) -> String;

    /// Whether the step applies to the host.
    fn concerns(&self, _inputs: &Inputs<'_>) -> bool {
        true
    }

    /// Only looks, and does not wait: it reports the present state.
    ///
    /// Two steps wait here, since what they check starts together with the host and is done once it has started: `control-plane` waits for
    /// the API server of this host, and `virtual-address` waits until a host holds the address, both for at most two minutes. Their own
    /// `check` says so, tells [`Context::progress`] what it waits for, and fails if the leader goes away in the meantime.
    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check>;

    /// Changes the host. Called only after `check` found something to do.
    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()>;

    /// Stops what `apply` started and removes what the ledger cannot know; most steps have nothing to do.
    ///
    /// `reset` calls it for every step that ever began here, the last one first, before it undoes the ledger. Units and files on the ledger
    /// still exist then: a program that has to stop first is stopped here.
    fn undo(&self, _host: &mut Host) -> anyhow::Result<()> {
        Ok(())
    }
}
