//! The stage of etcd: its authority, and its members, the first ones or additional ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kbundle_format::Role;

use super::host::FleetHost;
use super::index::HostIndex;
use super::lead::Leader;
use crate::agent::questions::{AddEtcdMember, IssueEtcdClient, ListEtcdMembers, MakeEtcdAuthority, RemoveEtcdMember};
use crate::failure::FailureReport;
use crate::host::StepState;
use crate::join_material::{EtcdClient, JoinMaterial};
use crate::restoration_records::RestorationMark;
use crate::stage::Stage;
use crate::steps::etcd::NewMember;
use crate::steps::etcd::layout::peer_url;

impl Leader<'_> {
    /// Sets up all members of a new etcd at the same time, or adds the missing ones to an etcd that runs.
    ///
    /// In a restoration, the authority of etcd is the backup's.
    pub(super) fn etcd(&mut self) {
        let members = self.alive(|host| host.has(Role::Etcd));
        let running = members.iter().copied().find(|&index| self.host(index).has_etcd());
        let Some(asked) = running.or(members.first().copied()) else { return };
        let restored = match self.restored_material() {
            Ok(restored) => restored,
            Err(report) => return self.fail(asked, Stage::Etcd, report),
        };
        let mut material = JoinMaterial { etcd_authority: restored.etcd_authority, ..JoinMaterial::default() };
        // A single host with all roles makes its authority itself.
        let is_single = members.len() == 1 && self.alive(|host| host.has(Role::ControlPlane)) == members;
        if !is_single && material.etcd_authority.is_none() {
            match self.ask(asked, MakeEtcdAuthority {}) {
                Ok(authority) => material.etcd_authority = Some(authority),
                Err(report) => return self.fail(asked, Stage::Etcd, report),
            }
        }
        let Some(running) = running else {
            return self.apply(&members, |_| material.clone());
        };
        let (present, missing): (Vec<_>, Vec<_>) = members.into_iter().partition(|&index| self.host(index).has_etcd());
        self.apply(&present, |_| material.clone());
        self.add_members(running, &missing, &material);
    }

    /// Adds members to an etcd that runs, one at a time: each counts as a failed member until it runs, so the next one waits for it.
    fn add_members(&mut self, running: HostIndex, missing: &[HostIndex], material: &JoinMaterial) {
        for (place, &index) in missing.iter().enumerate() {
            match self.make_room(running, index) {
                Err(report) => self.fail(index, Stage::Etcd, report),
                Ok(members) => {
                    let material = JoinMaterial { etcd_members: Some(members), ..material.clone() };
                    self.apply(&[index], |_| material.clone());
                }
            }
            if !self.host(index).is_alive() {
                let error = format!("not begun: etcd takes no new member before {} runs", self.host(index).name());
                for &waiting in &missing[place + 1..] {
                    let report = FailureReport { error: error.clone(), causes: vec![], hint: None };
                    self.fail(waiting, Stage::Etcd, report);
                }
                return;
            }
        }
    }

    /// Adds a host's member to etcd's list. Returns all members, each name with its peer URL.
    fn make_room(&self, running: HostIndex, index: HostIndex) -> Result<BTreeMap<String, String>, FailureReport> {
        let host = self.host(index);
        let (here, address) = (self.host(running).spec.address, host.spec.address);
        let has_data = |mark: &RestorationMark| mark.share.data;
        let begun = host
            .surveyed(|survey| survey.etcd != StepState::NotBegun || survey.restoration.as_ref().is_some_and(has_data));
        if !begun && self.is_listed(running, address)? {
            // A member that lost its data must not come back as the same member.
            self.ask(running, RemoveEtcdMember { here, address })?;
        }
        let members =
            self.ask(running, AddEtcdMember { here, name: host.name().clone(), address, new: NewMember::Voter })?;
        Ok(members.into_iter().map(|member| (member.name, member.peer_url)).collect())
    }

    fn is_listed(&self, running: HostIndex, address: IpAddr) -> Result<bool, FailureReport> {
        let here = self.host(running).spec.address;
        let members = self.ask(running, ListEtcdMembers { here })?;
        Ok(members.iter().any(|member| member.peer_url == peer_url(address)))
    }

    /// What the API server of a host without etcd needs to connect to it; `None` if it has that already.
    pub(super) fn etcd_client(&self, index: HostIndex) -> Result<Option<EtcdClient>, FailureReport> {
        let has_client = |host: &FleetHost<'_>| host.has(Role::Etcd) || host.is_control_plane();
        let members = self.alive(|host| host.has(Role::Etcd));
        match members.first() {
            Some(&member) if !has_client(self.host(index)) => self.ask(member, IssueEtcdClient {}).map(Some),
            _ => Ok(None),
        }
    }
}
