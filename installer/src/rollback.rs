//! Rolls a host back from an upgrade that failed or was cut off.
//!
//! It needs no bundle: [`FormerFiles`] has the programs and the configuration, the former images are still in containerd, and etcd's
//! snapshot was taken before. Every act may be repeated from any point. Until the last one is done, [`Mark::RollingBack`] keeps the upgrade
//! from continuing.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use kbundle_format::{BundleList, KubeVersion, Role};
use serde::{Deserialize, Serialize};

use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, OwnedInputs};
use crate::kubeadm::run::Kubeadm;
use crate::kubeadm::{KUBELET_UNIT, STATIC_PODS};
use crate::kubectl::Kubectl;
use crate::plan;
use crate::records::Records;
use crate::report::{Event, Observer};
use crate::static_pods::stop_containers;
use crate::step_progress::StepProgress;
use crate::steps::etcd::snapshot::restore::FirstMembers;
use crate::steps::etcd::snapshot::{self, restore};
use crate::steps::upgrade::{not_reported, snapshot_path};
use crate::steps::{containerd, etcd};
use crate::upgrade::former::FormerFiles;
use crate::upgrade::outline::versions;
use crate::upgrade::standing::records;
use crate::upgrade::unfinished::{self, Mark};
use crate::version_rules::Release;
use crate::wait::{Look, until};

/// Where the data that the snapshot replaces is kept until the rollback is done.
const REPLACED_DATA: &str = "/var/lib/etcd/before-rollback";
const DATA: &str = "/var/lib/etcd/member";
/// An upgrade waits as long for a kubelet.
const REPORTS_WITHIN: Duration = Duration::from_mins(5);
/// What to do when a rollback ends early.
pub const RESUME: &str = "what came back stays; run `kinstall rollback` again to resume";

/// What to do with etcd's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The snapshot replaces the data only if the former etcd cannot read it.
    KeptIfReadable,
    /// The snapshot replaces the data.
    Restored,
}

/// A part of a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Stops the programs that use the files.
    Stop,
    /// Restores programs, configuration and manifests.
    Files,
    /// Starts the former containerd.
    Runtime,
    /// Replaces etcd's data by the snapshot.
    Store,
    /// Starts the former etcd.
    Etcd,
    /// Starts the former kubelet, which starts the control plane.
    Kubelet,
    /// Lets kubeadm restore its objects.
    Objects,
    /// Waits until the node is ready.
    Ready,
}

/// The rollback of this host.
#[derive(Debug)]
pub struct Rollback {
    former: FormerFiles,
    snapshot: String,
    /// The Kubernetes that the upgrade led to.
    pub from: KubeVersion,
    /// The Kubernetes that the host returns to.
    pub to: KubeVersion,
    /// The acts in order. Empty if the upgrade had changed nothing that runs.
    pub acts: Vec<Act>,
}

impl Rollback {
    /// Decides what to do, and changes nothing. `inputs` have the former bundle's list.
    ///
    /// # Errors
    /// When there is no upgrade to roll back, or when the files for it are incomplete.
    pub fn decide(host: &Host, records: &Records, inputs: &Inputs<'_>, store: Store) -> anyhow::Result<Self> {
        let target = target(host, records)?;
        let from = target.kubernetes_version;
        let (to, snapshot) = (inputs.list.kubernetes_version, snapshot_path(from));
        if !unfinished::has(host, Mark::Changing)? {
            return Ok(Self { former: FormerFiles::unchanged(host), snapshot, from, to, acts: Vec::new() });
        }
        let former = FormerFiles::read(host).and_then(|former| {
            let former = former.context("this host has no copies of what ran before the upgrade")?;
            former.verify(host)?;
            Ok(former)
        });
        let former = former
            .context("the upgrade cannot be rolled back; nothing was changed")
            .refused()
            .hint("finish the upgrade with the same bundle: `kinstall upgrade BUNDLE --key KEY`")?;
        let restores_store = restores_store(host, inputs, &target, store)?;
        if restores_store {
            snapshot::check(host, &snapshot)
                .context("etcd cannot be brought back; nothing was changed")
                .refused()
                .hint("finish the upgrade with the same bundle: `kinstall upgrade BUNDLE --key KEY`")?;
        }
        let acts = acts(inputs, restores_store, unfinished::has(host, Mark::ClusterObjects)?);
        Ok(Self { former, snapshot, from, to, acts })
    }

    /// Whether everything that was written to the API since the snapshot is lost.
    #[must_use]
    pub fn restores_store(&self) -> bool {
        self.acts.contains(&Act::Store)
    }

    /// Records that the rollback begins. The upgrade cannot continue after this.
    pub fn begin(&self, host: &Host) -> anyhow::Result<()> {
        if self.restores_store() {
            unfinished::note(host, Mark::RestoringStore)?;
        }
        unfinished::note(host, Mark::RollingBack)
    }

    /// Records that the rollback is done: only the upgrade's images and the snapshot are left.
    pub fn end(&self, host: &mut Host) -> anyhow::Result<()> {
        if self.restores_store() {
            host.remove_claimed(REPLACED_DATA)?;
        }
        self.former.withdraw_records(host, plan::is_of_upgrades_alone)?;
        Ok(unfinished::abandon(host)?)
    }

    /// Does everything except the end, and reports each act. Repeat it if it was cut off.
    pub fn go_back(&self, host: &mut Host, inputs: &Inputs<'_>, observer: &impl Observer) -> anyhow::Result<()> {
        host.sweep_incomplete().context("while removing what an interrupted run left")?;
        let of = self.acts.len();
        for (index, &act) in self.acts.iter().enumerate() {
            let (number, started) = (index + 1, Instant::now());
            let (step, title) = (act.id().to_owned(), act.title().to_owned());
            observer.event(&Event::StepStarted {
                step: step.clone(),
                title: title.clone(),
                reason: format!("back to Kubernetes {}", self.to),
                number,
                of,
            });
            self.apply(act, host, inputs, observer)
                .with_context(|| format!("step {number} of {of}, `{step}` ({title}), failed"))
                .hint(RESUME)?;
            let seconds = started.elapsed().as_secs_f64();
            observer.event(&Event::StepDone { step, title, changed: true, seconds, number, of });
        }
        Ok(())
    }

    /// Does one act. Repeat it if it was cut off.
    pub fn apply(
        &self,
        act: Act,
        host: &mut Host,
        inputs: &Inputs<'_>,
        progress: &dyn StepProgress,
    ) -> anyhow::Result<()> {
        match act {
            Act::Stop => self.stop(host),
            Act::Files => self.former.bring_back(host, progress),
            Act::Runtime => host.restart_unit(containerd::UNIT).context("`journalctl -u containerd` has its log"),
            Act::Store => self.restore_store(host, inputs, progress),
            Act::Etcd => {
                host.restart_unit(etcd::layout::UNIT).context("`journalctl -u etcd` has its log")?;
                etcd::wait_until_healthy(progress, host, inputs.address())
            }
            Act::Kubelet => host.restart_unit(KUBELET_UNIT).context("`journalctl -u kubelet` has its log"),
            Act::Objects => Kubeadm { host, inputs: *inputs, progress, was_completed: true }.bring_objects_back(),
            Act::Ready => wait_until_ready(host, inputs, progress),
        }
    }

    fn stop(&self, host: &Host) -> anyhow::Result<()> {
        host.stop_unit(KUBELET_UNIT)?;
        if self.restores_store() {
            // Otherwise an API server would continue with what it remembers of the replaced data.
            for name in STATIC_PODS {
                stop_containers(host, name)?;
            }
            host.stop_unit(etcd::layout::UNIT)?;
        }
        Ok(())
    }

    /// The former etcd makes its data from the snapshot; the present data is kept until the rollback is done.
    fn restore_store(&self, host: &mut Host, inputs: &Inputs<'_>, progress: &dyn StepProgress) -> anyhow::Result<()> {
        if unfinished::has(host, Mark::StoreRestored)? {
            return Ok(());
        }
        let owner = host.user(etcd::layout::USER)?.context("the user etcd is not there")?;
        host.stop_unit(etcd::layout::UNIT)?;
        if host.exists(REPLACED_DATA) {
            // Another rollback was cut off here, or at its end; its kept data is of the same age.
            host.remove_claimed(DATA)?;
        } else if host.exists(DATA) {
            host.rename_claimed(DATA, REPLACED_DATA)?;
        }
        progress.detail(&format!("etcdutl snapshot restore {}", self.snapshot));
        restore::restore(host, inputs, FirstMembers::All, &self.snapshot, owner)?;
        unfinished::note(host, Mark::StoreRestored)
    }
}

impl Act {
    /// A short stable name.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Files => "files",
            Self::Runtime => "containerd",
            Self::Store => "etcd-restore",
            Self::Etcd => "etcd",
            Self::Kubelet => "kubelet",
            Self::Objects => "kubeadm-objects",
            Self::Ready => "ready",
        }
    }

    /// What it does, in the imperative.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Stop => "stop the kubelet, and with the snapshot the control plane and etcd",
            Self::Files => "restore the former binaries, configuration and static pods",
            Self::Runtime => "start the former containerd",
            Self::Store => "replace the data of etcd with the snapshot",
            Self::Etcd => "start the former etcd",
            Self::Kubelet => "start the former kubelet and control plane",
            Self::Objects => "restore kubeadm's settings, CoreDNS and kube-proxy",
            Self::Ready => "wait until the node is ready",
        }
    }
}

/// The list of the bundle that an unfinished upgrade leads to.
fn target(host: &Host, records: &Records) -> anyhow::Result<BundleList> {
    let Some(target) = unfinished::target(host)? else {
        return Err(anyhow!("this host has no unfinished upgrade: there is nothing to roll back"))
            .refused()
            .hint("a finished upgrade cannot be rolled back; `kinstall status` shows the state of the cluster");
    };
    if target.list_bytes == records.list_bytes {
        return Err(anyhow!("the upgrade is done except for its last records; nothing was changed"))
            .refused()
            .hint("finish it with the same bundle: `kinstall upgrade BUNDLE --key KEY`");
    }
    Ok(BundleList::parse(&target.list_bytes)?)
}

/// Whether the snapshot has to take the place of etcd's data: by choice, or since an etcd of another minor has run on it.
fn restores_store(host: &Host, inputs: &Inputs<'_>, target: &BundleList, store: Store) -> anyhow::Result<bool> {
    if !inputs.has(Role::Etcd) {
        if store == Store::Restored {
            return Err(anyhow!("this host has no member of etcd, and no snapshot of it; nothing was changed"))
                .refused()
                .hint("leave out `--restore-etcd`");
        }
        return Ok(false);
    }
    let platform = &inputs.facts.platform;
    let series = |list| versions(list, platform).etcd.map(Release::series);
    let is_migrated = unfinished::has(host, Mark::Store)? && series(inputs.list) != series(target);
    Ok(is_migrated || store == Store::Restored || unfinished::has(host, Mark::RestoringStore)?)
}

fn acts(inputs: &Inputs<'_>, restores_store: bool, has_new_objects: bool) -> Vec<Act> {
    let this = inputs.topology.this();
    let (is_node, has_etcd) = (this.is_node(), inputs.has(Role::Etcd));
    let all = [
        (is_node, Act::Stop),
        (true, Act::Files),
        (is_node, Act::Runtime),
        (restores_store, Act::Store),
        (has_etcd, Act::Etcd),
        (is_node, Act::Kubelet),
        (inputs.leads() && has_new_objects && !restores_store, Act::Objects),
        (is_node, Act::Ready),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, act)| act).collect()
}

fn wait_until_ready(host: &Host, inputs: &Inputs<'_>, progress: &dyn StepProgress) -> anyhow::Result<()> {
    let (api, name) = (Kubectl::of(host, inputs.topology.this()), inputs.node_name());
    progress.detail("waiting for the kubelet to report");
    until(progress, "the former kubelet to report that the node is ready", REPORTS_WITHIN, || {
        if let Some(said) = api_illness(&api, inputs)? {
            return Ok(Look::NotYet(said));
        }
        Ok(match api.list(&["node", &name])? {
            Err(said) => Look::NotYet(said),
            Ok(node) => not_reported(&node, inputs.list.kubernetes_version).map_or(Look::Ready(()), Look::NotYet),
        })
    })
    .context("`journalctl -u kubelet` has its log")
}

/// Why the API does not answer. On a control plane, its own API server is asked: those of other control planes say nothing about it.
fn api_illness(api: &Kubectl<'_>, inputs: &Inputs<'_>) -> anyhow::Result<Option<String>> {
    let readiness = if inputs.has(Role::ControlPlane) {
        let here = SocketAddr::new(inputs.address(), inputs.spec.api.port);
        api.readiness_at(&format!("https://{here}"))?
    } else {
        api.readiness()?
    };
    Ok(readiness.err())
}

/// A host by its records from before the upgrade, which stay until the upgrade's end.
pub struct FormerHost {
    records: Records,
    inputs: OwnedInputs<'static>,
}

impl FormerHost {
    /// Reads the records.
    ///
    /// # Errors
    /// Also when kinstall has not set the host up.
    pub fn read(host: &Host) -> anyhow::Result<Self> {
        let records = records(host)?;
        let (list, _) = records.verified_list()?;
        let spec = Cow::Owned(records.spec.clone());
        let inputs = OwnedInputs::gather(host, spec, records.name.as_deref(), Cow::Owned(list))?;
        Ok(Self { records, inputs })
    }

    /// What decisions about the host need.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'_> {
        self.inputs.inputs()
    }

    /// Decides what the rollback does.
    ///
    /// # Errors
    /// As [`Rollback::decide`].
    pub fn decide(&self, host: &Host, store: Store) -> anyhow::Result<Rollback> {
        Rollback::decide(host, &self.records, &self.inputs(), store)
    }
}

#[cfg(test)]
mod tests;
