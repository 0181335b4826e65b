//! The stages of an installation that change hosts, and what passes between hosts from one stage to the next. The stages of etcd are in
//! [`etcd`](super::etcd), the stage of a load balancer is in [`balancer`](super::balancer).

use std::collections::BTreeMap;
use std::time::Instant;

use kbundle_format::Role;

use super::host::FleetHost;
use super::index::HostIndex;
use super::lead::Leader;
use super::policy::Decision;
use super::reach::Firewalls;
use super::settings::IN_TURN;
use crate::agent::questions::{CreateJoinCredentials, ReadPodNetworks, ReadSharedFiles, ReceiveBundle};
use crate::config::{Cni, Switch};
use crate::failure::FailureReport;
use crate::host::StepState;
use crate::join_material::{JoinCredentials, JoinMaterial, SharedFile};
use crate::preflight::between::{self, HostFinding};
use crate::report::Event;
use crate::stage::Stage;

/// How many hosts are sent their part of the bundle at the same time. They share one link: with more hosts, each gets its part later; with
/// one host, the link is idle while that host still verifies its part.
const UPLOADS: usize = 4;

const STAYED_CLOSED: &str =
    "the hosts' own firewalls are open for it now: allow these TCP ports in those between the hosts";

impl Leader<'_> {
    /// Goes through the stages. Returns the reason why hosts that did not fail stopped early, if they did.
    pub(super) fn install(&mut self) -> Option<&'static str> {
        for stage in Stage::INSTALLATION {
            self.session.fleet.enter(stage);
            match stage {
                Stage::Bundle => {
                    self.send_bundle();
                    self.begin_restoration();
                }
                Stage::Prepare => self.prepare(),
                Stage::Etcd => self.etcd(),
                Stage::FirstControlPlane => self.first_control_plane(),
                Stage::ControlPlanes => self.other_control_planes(),
                Stage::LoadBalancer => self.probe_balancer(),
                Stage::Workers => self.workers(),
                Stage::Network => self.network(),
                Stage::Finish => self.finish(),
                Stage::Connect
                | Stage::Preflight
                | Stage::Preload
                | Stage::Snapshot
                | Stage::Remove
                | Stage::Certificates
                | Stage::Support
                | Stage::Rollback
                | Stage::Recovery
                | Stage::Audit
                | Stage::Status => {}
            }
            if self.failed_in_turn {
                return Some(IN_TURN);
            }
            match self.session.decide(stage) {
                // After the last stage nothing is left to stop.
                Decision::Stop(reason) if stage != Stage::Finish => return Some(reason),
                _ => {}
            }
        }
        for (index, report) in std::mem::take(&mut self.unbalanced) {
            self.fail(index, Stage::LoadBalancer, report);
        }
        None
    }

    pub(super) fn send_bundle(&mut self) {
        let lacking = self.alive(|host| !host.surveyed(|survey| survey.holds_bundle));
        if lacking.is_empty() {
            return;
        }
        self.session.fleet.announce(lacking.len());
        let (parts, trust) = (&self.parts, self.request.trust);
        self.session.fleet.on_each(&lacking, UPLOADS, |fleet, index| {
            let started = Instant::now();
            let host = fleet.host(index);
            let part = parts.for_host(host.spec);
            let question = ReceiveBundle { trust: trust.clone() };
            fleet.send(index, question, part.content_bytes(), |input| part.write_to(input))?;
            let event = Event::BundleSent { bytes: part.size_bytes(), seconds: started.elapsed().as_secs_f64() };
            fleet.console.event_of(host.name(), Stage::Bundle, &event);
            Ok(())
        });
    }

    fn prepare(&mut self) {
        let hosts = self.concerned();
        if !hosts.is_empty() {
            self.session.fleet.announce(hosts.len());
        }
        let (in_turn, others): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|host| self.restarting.contains(host));
        if !self.apply_in_turn(&in_turn, |_| JoinMaterial::default()) {
            return;
        }
        self.apply_quietly(&others, |_| JoinMaterial::default());
        if self.request.spec.host_preparation == Switch::Enabled {
            self.refuse_what_stayed_closed();
        }
    }

    /// kinstall opens firewalls on hosts, not between hosts. Which of them closes a port shows only after those on hosts are open.
    fn refuse_what_stayed_closed(&mut self) {
        let findings = self.session.check_reach(Firewalls::Opened);
        for HostFinding { host, finding } in between::rejections(&findings) {
            let index = self.session.fleet.find(|found| found.name() == host);
            let report = FailureReport {
                error: finding.found.clone(),
                causes: Vec::new(),
                hint: Some(STAYED_CLOSED.to_owned()),
            };
            if let Some(index) = index {
                self.fail(index, Stage::Prepare, report);
            }
        }
    }

    fn first_control_plane(&mut self) {
        let first = self.session.first;
        match self.etcd_client(first) {
            Err(report) => self.fail(first, Stage::FirstControlPlane, report),
            Ok(etcd_client) => {
                let restored = match self.restored_material() {
                    Ok(restored) => restored,
                    Err(report) => return self.fail(first, Stage::FirstControlPlane, report),
                };
                let material = JoinMaterial { etcd_client, ..restored };
                self.apply(&[first], |_| material.clone());
            }
        }
    }

    fn other_control_planes(&mut self) {
        let first = self.session.first;
        let others: Vec<_> = self.concerned().into_iter().filter(|&index| index != first).collect();
        let joining: Vec<_> = others.iter().copied().filter(|&index| !self.host(index).is_control_plane()).collect();
        let (shared_files, join) = match self.keys(&joining) {
            Ok(keys) => keys,
            Err(report) => return self.fail(first, Stage::ControlPlanes, report),
        };
        let mut materials = BTreeMap::new();
        for &index in &others {
            match self.etcd_client(index) {
                Err(report) => self.fail(index, Stage::ControlPlanes, report),
                Ok(etcd_client) => {
                    let (join, shared_files) = (join.clone(), shared_files.clone());
                    let material = JoinMaterial { etcd_client, shared_files, join, ..JoinMaterial::default() };
                    materials.insert(index, material);
                }
            }
        }
        let others: Vec<_> = materials.keys().copied().collect();
        if others.is_empty() {
            return;
        }
        self.session.fleet.announce(others.len());
        // While an API server restarts, the others take its requests.
        let (standing, joining): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|&index| self.host(index).is_control_plane());
        if self.apply_in_turn(&standing, |index| materials[&index].clone()) {
            self.apply_quietly(&joining, |index| materials[&index].clone());
        }
    }

    /// What control planes need to join; empty if none joins.
    fn keys(&self, joining: &[HostIndex]) -> Result<(Vec<SharedFile>, Option<JoinCredentials>), FailureReport> {
        if joining.is_empty() {
            return Ok((Vec::new(), None));
        }
        let files = self.ask(self.session.first, ReadSharedFiles { work: self.work_of_first() })?;
        Ok((files, self.credentials(joining)?))
    }

    /// Credentials to join with; `None` if no host joins, since they hold a token that works for a while.
    fn credentials(&self, joining: &[HostIndex]) -> Result<Option<JoinCredentials>, FailureReport> {
        if joining.is_empty() {
            return Ok(None);
        }
        self.ask(self.session.first, CreateJoinCredentials { work: self.work_of_first() }).map(Some)
    }

    /// Control planes set up their bridge for pods in this stage as well.
    fn workers(&mut self) {
        let workers = self.concerned();
        let joins = |host: &FleetHost<'_>| {
            !host.has(Role::ControlPlane) && host.surveyed(|survey| survey.join != StepState::Done)
        };
        let joining: Vec<_> = workers.iter().copied().filter(|&index| joins(self.host(index))).collect();
        match self.credentials(&joining) {
            Err(report) => self.fail(self.session.first, Stage::Workers, report),
            Ok(join) => {
                let material = JoinMaterial { join, ..JoinMaterial::default() };
                self.apply(&workers, |_| material.clone());
            }
        }
    }

    fn network(&mut self) {
        match self.pod_networks() {
            Err(report) => self.fail(self.session.first, Stage::Network, report),
            Ok(material) => {
                let hosts = self.concerned();
                self.apply(&hosts, |_| material.clone());
            }
        }
    }

    /// The pod networks of the nodes, for hosts that connect them by their own routes.
    pub(super) fn pod_networks(&self) -> Result<JoinMaterial, FailureReport> {
        let mut material = JoinMaterial::default();
        if self.request.spec.network.cni == Some(Cni::Bridge) {
            let nodes = self.concerned().iter().map(|&index| self.host(index).name().clone()).collect();
            material.pod_networks = self.ask(self.session.first, ReadPodNetworks { nodes })?;
        }
        Ok(material)
    }

    /// The first control plane comes last: it waits for all nodes, except those that failed.
    fn finish(&mut self) {
        let first = self.session.first;
        let all = self.concerned();
        self.session.fleet.announce(all.len());
        let others: Vec<_> = all.into_iter().filter(|&index| index != first).collect();
        self.apply_quietly(&others, |_| JoinMaterial::default());
        let failed = self.session.fleet.hosts().filter(|(_, host)| !host.is_alive());
        let absent = failed.map(|(_, host)| host.name().to_string()).collect();
        let addon_data = self.request.addon_data;
        let material = JoinMaterial { absent, addon_data, ..JoinMaterial::default() };
        self.apply_quietly(&[first], |_| material.clone());
    }
}
