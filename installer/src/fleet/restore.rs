//! What is different if a cluster of several hosts comes from a backup: which hosts may be part of it, and what of the backup each host
//! gets. Everything else is done as in any installation.

use std::io;

use anyhow::anyhow;
use kbundle_cluster::needs::Mismatch;
use kbundle_format::{Digest, Role};

use super::host::FleetHost;
use super::index::HostIndex;
use super::lead::Leader;
use super::text::few;
use crate::agent::questions::{BeginRestoration, Origin};
use crate::failure::{Advise, FailureReport};
use crate::inputs::Inputs;
use crate::join_material::JoinMaterial;
use crate::plan::{Plan, plan};
use crate::restoration::Restoration;
use crate::restoration_records::{RestorationMark, Share};
use crate::stage::Stage;

impl Leader<'_> {
    /// Where the cluster comes from.
    pub(super) fn origin(&self) -> Origin {
        self.request.restoration.map_or(Origin::Installation, |_| Origin::Backup)
    }

    /// Refuses hosts that contain anything but the beginning of this restoration, and a first host that could not hold the data.
    pub(super) fn refuse_unrestorable(&self) -> anyhow::Result<()> {
        if self.request.restoration.is_none() {
            return Ok(());
        }
        let is_other =
            |host: &FleetHost<'_>| host.surveyed(|survey| survey.installed.is_some()) && self.mark(host).is_none();
        let others = self.alive(is_other);
        if !others.is_empty() {
            let names: Vec<_> = others.iter().map(|&index| self.host(index).name()).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            return Err(anyhow!(
                "{} {verb} set up already, and not from this backup; nothing was changed",
                few(&names)
            ))
            .refused()
            .hint("restore on new hosts, or give up what is on these with `kinstall reset` on each");
        }
        let first = self.host(self.session.first);
        if first.has(Role::Etcd) {
            return Ok(());
        }
        Err(anyhow!(
            "{} is the first control plane and no member of etcd, so that the cluster cannot begin there; nothing was changed",
            first.name()
        ))
        .refused()
        .hint("put a host with the roles control-plane and etcd first in cluster.yaml")
    }

    /// The part of the backup that a host gets, or has got.
    fn share_of(&self, index: HostIndex) -> Share {
        let host = self.host(index);
        let mark = self.mark(host);
        // A member that is added to running members gets its data from them.
        let takes_data = host.has(Role::Etcd) && !self.session.completed.etcd;
        Share {
            data: mark.is_some_and(|mark| mark.share.data) || takes_data,
            begins: mark.is_some_and(|mark| mark.share.begins)
                || index == self.session.first && !host.is_control_plane(),
        }
    }

    /// The plan of a host.
    pub(super) fn plan_of(&self, index: HostIndex, inputs: &Inputs<'_>) -> Result<Plan, Mismatch> {
        let plan = plan(inputs)?;
        Ok(match self.request.restoration {
            None => plan,
            Some(_) => Restoration::extend(plan, inputs, self.share_of(index)),
        })
    }

    /// The size of the snapshot, for a host that gets it; else 0.
    pub(super) fn snapshot_bytes(&self, index: HostIndex) -> u64 {
        let restoration = self.request.restoration.filter(|_| self.share_of(index).data);
        restoration.map_or(0, |restoration| restoration.list().snapshot().size_bytes)
    }

    /// Tells every host which backup it is set up from, and sends the snapshot of etcd to the hosts that start with it.
    pub(super) fn begin_restoration(&mut self) {
        let Some(restoration) = self.request.restoration else { return };
        for index in self.alive(|_| true) {
            if let Err(report) = self.begin_on(index, restoration) {
                self.fail(index, Stage::Bundle, report);
            }
        }
    }

    /// One host at a time: the backup is read and verified again for each host that gets the snapshot.
    fn begin_on(&self, index: HostIndex, restoration: &Restoration) -> Result<(), FailureReport> {
        let share = self.share_of(index);
        let question = BeginRestoration { list: Box::new(restoration.list().clone()), share };
        let is_made = self.mark(self.host(index)).is_some_and(|mark| mark.is_data_made);
        if !share.data || is_made {
            return self.ask(index, question);
        }
        let total = restoration.list().snapshot().size_bytes;
        self.session.fleet.send(index, question, total, |input| {
            restoration.copy_snapshot(input).map_err(|error| io::Error::other(format!("{error:#}")))
        })
    }

    /// The keys of the backup, for the host that begins the cluster; empty if the cluster does not come from a backup.
    pub(super) fn restored_material(&self) -> Result<JoinMaterial, FailureReport> {
        let Some(restoration) = self.request.restoration else { return Ok(JoinMaterial::default()) };
        restoration.join_material(self.request.spec).map_err(|error| FailureReport::from(&error))
    }

    /// The mark of this restoration on a host, if the restoration has begun there.
    fn mark<'h>(&self, host: &'h FleetHost<'_>) -> Option<&'h RestorationMark> {
        let list = Digest::of(&self.request.restoration?.list().to_bytes());
        host.reached.as_ref()?.survey.restoration.as_ref().filter(|mark| mark.list == list)
    }
}
