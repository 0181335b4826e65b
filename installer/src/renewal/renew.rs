//! Renews the certificates of a host.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pending::Pending;
use super::restart::{Component, refuse_loss_of_majority, restart};
use crate::certificates::aside::{self, Names};
use crate::certificates::look::{Moment, judge};
use crate::certificates::place::{CertificatePlace, KUBELET_SERVER, KUBELET_SERVER_KEY, places};
use crate::certificates::{Renewable, State};
use crate::failure::Advise;
use crate::host::unfinished::UnfinishedWork as _;
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::join_material::EtcdClient;
use crate::kubeadm::run::PROGRAM;
use crate::kubeadm::{self, CONFIG_PATH};
use crate::step_progress::StepProgress;
use crate::steps::{etcd, kubeconfig};

/// The selection of certificates to renew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every certificate that kinstall renews.
    All,
    /// The certificates with these names.
    Named(BTreeSet<Renewable>),
    /// Certificates with fewer days left than `days`, and those that are not good.
    Due {
        /// The number of days.
        days: u32,
    },
}

/// What a renewal made of a host, or would make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalReport {
    /// The certificates.
    pub renewed: Vec<Renewable>,
    /// The programs that were restarted.
    pub restarted: Vec<Component>,
    /// Whether a run before was cut off, and this one completes it.
    pub resumed: bool,
}

/// The work of a renewal on a host: the selected certificates, and the rest of a run that was cut off.
pub fn plan(host: &Host, inputs: &Inputs<'_>, selection: &Selection) -> anyhow::Result<(Pending, RenewalReport)> {
    let mut pending = Pending::read(host)?;
    let resumed = !pending.is_empty();
    pending.add(selected(host, inputs, selection)?);
    let mut renewed: Vec<_> = pending.renew.iter().copied().collect();
    if pending.names && !renewed.contains(&Renewable::Apiserver) {
        renewed.push(Renewable::Apiserver);
    }
    let restarted = pending.restart.iter().copied().collect();
    Ok((pending, RenewalReport { renewed, restarted, resumed }))
}

/// Refuses names of certificates that no host has, before anything is changed.
pub fn refuse_absent<'a>(
    selection: &Selection,
    reports: impl IntoIterator<Item = &'a RenewalReport>,
) -> anyhow::Result<()> {
    let Selection::Named(names) = selection else { return Ok(()) };
    let found: BTreeSet<_> = reports.into_iter().flat_map(|report| report.renewed.iter().copied()).collect();
    let absent: Vec<_> = names.difference(&found).map(|name| name.as_str()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(anyhow!("no host here has {}; nothing was changed", absent.join(", ")))
        .refused()
        .hint("`kinstall certs list` shows what there is")
}

fn selected(host: &Host, inputs: &Inputs<'_>, selection: &Selection) -> anyhow::Result<Vec<Renewable>> {
    let places = places(host, inputs.topology.this()).context("while looking for certificates")?;
    let is_selected = |place: &CertificatePlace, name: Renewable| match selection {
        Selection::All => true,
        Selection::Named(names) => names.contains(&name),
        Selection::Due { days } => judge(host, place, Moment::now(*days)).state != State::Good,
    };
    let places = places.iter().filter_map(|place| Some((place, place.as_renewable()?)));
    Ok(places.filter(|(place, name)| is_selected(place, *name)).map(|(_, name)| name).collect())
}

/// A renewal on one host.
pub struct Renewal<'a> {
    /// The host.
    pub host: &'a mut Host,
    /// The inputs of decisions about the host.
    pub inputs: Inputs<'a>,
    /// The API server's certificate for etcd, made on a host that has etcd's authority; for a host that does not have it.
    pub etcd_client: Option<&'a EtcdClient>,
    /// Receives reports of what is being done.
    pub progress: &'a dyn StepProgress,
}

impl Renewal<'_> {
    /// Does the `pending` work, from wherever an earlier run was cut off.
    ///
    /// # Errors
    /// The first error. The programs after it are not restarted; the next run resumes there.
    pub fn run(&mut self, mut pending: Pending) -> anyhow::Result<()> {
        self.host.sweep_incomplete().context("while removing what a run that was cut off left")?;
        if pending.restart.contains(&Component::Etcd) {
            refuse_loss_of_majority(self.host, &self.inputs)?;
        }
        pending.keep(self.host)?;
        if pending.names {
            self.progress.detail("adding names to the API server's certificate");
            put_names_in_place(self.host, &self.inputs).context("cannot add names to the API server's certificate")?;
            pending.names = false;
            pending.renew.remove(&Renewable::Apiserver);
            pending.keep(self.host)?;
        }
        for name in pending.renew.clone() {
            self.progress.detail(&format!("renewing {name}"));
            self.make(name).with_context(|| format!("cannot renew {name}"))?;
            pending.renew.remove(&name);
            pending.keep(self.host)?;
        }
        for component in pending.restart.clone() {
            restart(self.host, &self.inputs, component, self.progress)
                .with_context(|| format!("{} was restarted, and is not healthy", component.as_str()))?;
            pending.restart.remove(&component);
            pending.keep(self.host)?;
        }
        Ok(())
    }

    fn make(&mut self, name: Renewable) -> anyhow::Result<()> {
        let (member, address) = (self.inputs.node_name(), self.inputs.address());
        match name {
            Renewable::EtcdServer => etcd::renew_member(self.host, &member, address, etcd::MemberCertificate::Server),
            Renewable::EtcdPeer => etcd::renew_member(self.host, &member, address, etcd::MemberCertificate::Peer),
            Renewable::ApiserverEtcdClient => etcd::renew_client(self.host, self.etcd_client),
            Renewable::AdminConf => {
                aside::renew(self.host, name, Names::Kept)?;
                kubeconfig::renew_copies(self.host)
            }
            Renewable::Apiserver
            | Renewable::ApiserverKubeletClient
            | Renewable::FrontProxyClient
            | Renewable::SuperAdminConf
            | Renewable::ControllerManagerConf
            | Renewable::SchedulerConf => aside::renew(self.host, name, Names::Kept),
            Renewable::KubeletServer => {
                // The kubelet makes it at its next start, which follows here.
                self.host.remove_file(KUBELET_SERVER)?;
                self.host.remove_file(KUBELET_SERVER_KEY)?;
                Ok(())
            }
        }
    }
}

/// Writes kubeadm's configuration from the records, makes the certificate with it, and uploads it to the cluster.
fn put_names_in_place(host: &mut Host, inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let configuration = kubeadm::configuration(inputs)?;
    host.write_file(CONFIG_PATH, configuration.as_bytes(), 0o600)?;
    aside::renew(host, Renewable::Apiserver, Names::Configured)?;
    let upload = ["init", "phase", "upload-config", "kubeadm"].map(str::to_owned);
    let upload = Command::new(PROGRAM, upload.into_iter().chain([format!("--config={CONFIG_PATH}")]));
    host.run(&upload).context("cannot keep the names in the cluster's configuration (ConfigMap kubeadm-config)")?;
    Ok(())
}

#[cfg(test)]
mod tests;
