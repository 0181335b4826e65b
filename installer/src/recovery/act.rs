//! What a host does in a recovery, act by act. Each may be repeated from any point; the record says how far it is.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use kbundle_format::Role;
use kbundle_format::moment::Moment;
use serde::{Deserialize, Serialize};

use super::{Part, RESUME, Recovery};
use crate::etcd_layout as layout;
use crate::failure::Advise;
use crate::host::unfinished::UnfinishedWork as _;
use crate::host::{Host, Owner};
use crate::inputs::Inputs;
use crate::kubeadm::KUBELET_UNIT;
use crate::static_pods::{StaticPod, stop_containers, wait_until_well};
use crate::step_progress::StepProgress;
use crate::steps::etcd::snapshot::restore::{FirstMembers, member_directory, restore};
use crate::steps::etcd::{self, Start, snapshot};

/// The static pods of a control plane, each waited for at its start.
const PODS: [StaticPod; 3] = [StaticPod::KubeApiserver, StaticPod::KubeControllerManager, StaticPod::KubeScheduler];

/// Where a member's data lie that a recovery begun at this moment has set aside: its former directory `member`.
#[must_use]
pub fn set_aside_path(begun: &str) -> String {
    format!("{}/before-recovery-{begun}", layout::DATA_DIRECTORY)
}

/// Where the snapshot of the survivor's data lies.
#[must_use]
pub fn snapshot_path(begun: &str) -> String {
    format!("{}/recovery-{begun}.db", snapshot::DIRECTORY)
}

/// Something that a host does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Stops the kubelet, the control plane and etcd, and notes which part the host has.
    Stop(Part),
    /// Sets the survivor's data aside, and takes a snapshot of them.
    Save,
    /// Makes the data of a new cluster of etcd from that, whose only member the survivor is, and starts it.
    Restore,
    /// Sets the data of a member aside that joins the survivor's.
    SetAside,
    /// Starts it, with these members: names and peer URLs.
    Rejoin(BTreeMap<String, String>),
    /// Starts the kubelet and the control plane, waits until they are well, and notes that nothing is left to do.
    Start,
}

impl Act {
    /// What a host with this part does, in order, and who joins which members is not known yet.
    #[must_use]
    pub fn of(part: Part) -> Vec<Self> {
        match part {
            Part::Survivor => vec![Self::Stop(part), Self::Save, Self::Restore, Self::Start],
            Part::Rejoins => vec![Self::Stop(part), Self::SetAside, Self::Rejoin(BTreeMap::new()), Self::Start],
            Part::Restarts => vec![Self::Stop(part), Self::Start],
        }
    }

    /// A short stable name.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Stop(_) => "stop",
            Self::Save => "etcd-save",
            Self::Restore => "etcd-restore",
            Self::SetAside => "etcd-set-aside",
            Self::Rejoin(_) => "etcd-rejoin",
            Self::Start => "start",
        }
    }

    /// What it does, in the imperative.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Stop(_) => "stop the kubelet, the control plane and etcd",
            Self::Save => "set the data of etcd aside, and take a snapshot of them",
            Self::Restore => "start etcd from the snapshot as the only member",
            Self::SetAside => "set the data of etcd aside",
            Self::Rejoin(_) => "start etcd as a new member, which gets its data from the others",
            Self::Start => "start the kubelet and the control plane",
        }
    }
}

/// The moment as it stands in the names of what is set aside, where none has it yet.
fn unused(host: &Host, now: Moment) -> anyhow::Result<String> {
    let begun = now.in_file_names();
    let aside = set_aside_path(&begun);
    if host.exists(&aside) {
        bail!("{aside} is there already: the clock of this host was set back");
    }
    Ok(begun)
}

/// A host in a recovery.
pub struct Recovering<'a> {
    /// The host.
    pub host: &'a mut Host,
    /// What decisions about it need.
    pub inputs: Inputs<'a>,
    /// Who is told what it does.
    pub progress: &'a dyn StepProgress,
}

impl Recovering<'_> {
    /// Does one act. `now` names what is set aside, where nothing was before.
    pub fn run(&mut self, act: &Act, now: Moment) -> anyhow::Result<()> {
        match act {
            Act::Stop(part) => self.stop(*part, now),
            Act::Save => self.save(),
            Act::Restore => self.restore(),
            Act::SetAside => self.set_aside(now),
            Act::Rejoin(members) => self.rejoin(members),
            Act::Start => self.start(),
        }
        .hint(RESUME)
    }

    /// The kubelet would start the others again, so it stops first.
    fn stop(&self, part: Part, now: Moment) -> anyhow::Result<()> {
        let former = Recovery::read(self.host)?;
        if former.part != Some(part) {
            let begun = unused(self.host, now)?;
            Recovery { part: Some(part), begun, ..Recovery::default() }.keep(self.host)?;
        }
        let this = self.inputs.topology.this();
        if this.is_node() {
            self.host.stop_unit(KUBELET_UNIT)?;
        }
        if this.has(Role::ControlPlane) {
            // An API server would go on with what it remembers of the data that go.
            for pod in PODS {
                stop_containers(self.host, pod.as_str())?;
            }
        }
        if this.has(Role::Etcd) { self.stop_etcd() } else { Ok(()) }
    }

    fn stop_etcd(&self) -> anyhow::Result<()> {
        Ok(self.host.stop_unit(layout::UNIT)?)
    }

    fn recovery(&self, part: Part) -> anyhow::Result<Recovery> {
        let recovery = Recovery::read(self.host)?;
        if recovery.part != Some(part) {
            bail!("this host has begun no such recovery");
        }
        Ok(recovery)
    }

    fn etcd_user(&self) -> anyhow::Result<Owner> {
        self.host.user(layout::USER)?.context("the user etcd is not there")
    }

    /// The former data stay as they are; etcd works on a copy of them.
    fn save(&mut self) -> anyhow::Result<()> {
        let mut recovery = self.recovery(Part::Survivor)?;
        let (aside, path) = (set_aside_path(&recovery.begun), snapshot_path(&recovery.begun));
        if !recovery.is_saved {
            self.set_aside_once(&aside)?;
            self.take_snapshot(&aside, &path)
                .with_context(|| format!("the data of etcd cannot be saved; they are in {aside}"))?;
            recovery.is_saved = true;
            recovery.keep(self.host)?;
        }
        self.progress.remark(&format!("the former data of etcd are kept in {aside}, and a snapshot of them in {path}"));
        Ok(())
    }

    fn take_snapshot(&mut self, aside: &str, path: &str) -> anyhow::Result<()> {
        self.stop_etcd()?;
        let (owner, member) = (self.etcd_user()?, member_directory());
        self.host.remove_claimed(&member)?;
        self.progress.detail("copying the data of etcd");
        self.host.copy_claimed(aside, &member, owner)?;
        etcd::configure(self.host, &self.inputs, &Start::Private(self.alone()))?;
        self.progress.detail("waiting for etcd to read its data");
        self.start_etcd()?;
        etcd::wait_until_healthy_at(self.progress, self.host, &layout::private_client_url())?;
        self.progress.detail("etcdctl snapshot save");
        self.host.claim_tree(snapshot::DIRECTORY)?;
        snapshot::take_at(self.host, &layout::private_client_url(), path)?;
        self.stop_etcd()
    }

    fn start_etcd(&mut self) -> anyhow::Result<()> {
        self.host.restart_unit(layout::UNIT).context("while starting etcd; `journalctl -u etcd` has its log")
    }

    /// This member, its name and peer URL.
    fn alone(&self) -> BTreeMap<String, String> {
        let this = self.inputs.topology.this();
        [(this.name.clone(), layout::peer_url(this.address))].into()
    }

    /// Once the data are there, they are what counts: a host that was restarted may have served them since.
    fn restore(&mut self) -> anyhow::Result<()> {
        let mut recovery = self.recovery(Part::Survivor)?;
        if !recovery.is_restored {
            if !recovery.is_saved {
                bail!("there is no snapshot of etcd yet");
            }
            let path = snapshot_path(&recovery.begun);
            snapshot::check(self.host, &path)?;
            self.stop_etcd()?;
            let owner = self.etcd_user()?;
            self.host.remove_claimed(&member_directory())?;
            self.progress.detail(&format!("etcdutl snapshot restore {path}"));
            restore(self.host, &self.inputs, FirstMembers::This, &path, owner)?;
            recovery.is_restored = true;
            recovery.keep(self.host)?;
        }
        etcd::configure(self.host, &self.inputs, &Start::New(self.alone()))?;
        self.progress.detail("waiting for etcd to start");
        self.start_etcd()?;
        etcd::wait_until_healthy(self.progress, self.host, self.inputs.address())
    }

    /// Called only for a member that the others do not have, so whatever lies there is of before.
    fn set_aside(&mut self, now: Moment) -> anyhow::Result<()> {
        let mut recovery = self.recovery(Part::Rejoins)?;
        self.stop_etcd()?;
        if self.host.exists(&member_directory()) && self.host.exists(&set_aside_path(&recovery.begun)) {
            // A run before has added it, and somebody has taken it out since.
            recovery.begun = unused(self.host, now)?;
            recovery.keep(self.host)?;
        }
        let aside = set_aside_path(&recovery.begun);
        if self.host.exists(&member_directory()) {
            self.host.rename_claimed(&member_directory(), &aside)?;
        }
        if self.host.exists(&aside) {
            self.progress.remark(&format!("the former data of etcd are kept in {aside}"));
        }
        Ok(())
    }

    fn set_aside_once(&self, aside: &str) -> anyhow::Result<()> {
        self.stop_etcd()?;
        if self.host.exists(aside) {
            return Ok(());
        }
        let member = member_directory();
        if !self.host.exists(&member) {
            return Err(anyhow!("{member} is not there, and neither is {aside}"));
        }
        Ok(self.host.rename_claimed(&member, aside)?)
    }

    fn rejoin(&mut self, members: &BTreeMap<String, String>) -> anyhow::Result<()> {
        self.recovery(Part::Rejoins)?;
        etcd::configure(self.host, &self.inputs, &Start::Existing(members.clone()))?;
        self.progress.detail("waiting for etcd to start");
        self.start_etcd()
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let this = self.inputs.topology.this();
        if this.has(Role::Etcd) {
            etcd::wait_until_healthy(self.progress, self.host, this.address)?;
        }
        if this.is_node() {
            self.host.restart_unit(KUBELET_UNIT).context("`journalctl -u kubelet` has its log")?;
        }
        if this.has(Role::ControlPlane) {
            for pod in PODS {
                wait_until_well(self.host, &self.inputs, pod, self.progress)?;
            }
        }
        Recovery::default().keep(self.host)
    }
}
