//! The stages of an installation that change hosts, and what has to be handed from one host to another between them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use kbundle_format::Role;

use super::lead::Leader;
use super::policy::{Course, Stage};
use super::{Asked, FleetHost, astray, seconds, unexpected};
use crate::agent::protocol::{Answer, Progress, Question, Reply, Request, Work};
use crate::config::Cni;
use crate::failure::Told;
use crate::join_material::{EtcdClient, JoinCredentials, JoinMaterial, Pair, SharedFile};
use crate::plan::Phase;
use crate::steps::etcd::layout::peer_url;

/// Hosts that are sent their part of the bundle at the same time. They share one link, so that more would get it later, all
/// of them; one alone leaves the link idle while the host still checks what it got.
const UPLOADS: usize = 4;

impl Leader<'_> {
    /// Goes through the stages. The answer is why the hosts that did not fail stopped early.
    pub(super) fn install(&mut self) -> Option<&'static str> {
        use Stage::{Bundle, ControlPlanes, Etcd, Finish, FirstControlPlane, LoadBalancer, Network, Prepare, Workers};
        for stage in [Bundle, Prepare, Etcd, FirstControlPlane, ControlPlanes, LoadBalancer, Workers, Network, Finish] {
            match stage {
                Bundle => self.send_bundle(),
                Prepare => self.prepare(),
                Etcd => self.etcd(),
                FirstControlPlane => self.first_control_plane(),
                ControlPlanes => self.other_control_planes(),
                LoadBalancer => self.ask_through_balancer(),
                Workers => self.workers(),
                Network => self.network(),
                _ => self.finish(),
            }
            match self.visit.course(stage) {
                // After the last stage nothing is left to stop.
                Course::Stop(reason) if stage != Finish => return Some(reason),
                _ => {}
            }
        }
        for (index, told) in std::mem::take(&mut self.unbalanced) {
            self.visit.fleet.fall(index, LoadBalancer, told);
        }
        None
    }

    fn send_bundle(&mut self) {
        let lacking = self.visit.fleet.alive(|host| host.survey.as_ref().is_some_and(|survey| !survey.holds_bundle));
        if lacking.is_empty() {
            return;
        }
        self.visit.fleet.display.stage(Stage::Bundle, lacking.len());
        let request = Request::Receive { trust: self.orders.trust.clone() };
        let parts = &self.parts;
        self.visit.fleet.on_each(Stage::Bundle, &lacking, UPLOADS, |fleet, index| {
            let started = Instant::now();
            let host = &fleet.hosts[index];
            let excerpt = parts.for_host(host.spec);
            let reply = fleet.send(index, &request, excerpt.content_bytes(), |input| excerpt.write_to(input))?;
            let watch = fleet.display.watch(host.name(), Stage::Bundle, None);
            watch.received(excerpt.size_bytes(), seconds(started));
            expect_done(&reply)
        });
    }

    fn prepare(&mut self) {
        let hosts = self.concerned(Phase::Prepare);
        self.apply(Stage::Prepare, Phase::Prepare, &hosts, |_| JoinMaterial::default());
    }

    fn etcd(&mut self) {
        let members = self.visit.fleet.alive(|host| host.has(Role::Etcd));
        let alone = members.len() == 1 && self.visit.fleet.alive(|host| host.has(Role::ControlPlane)) == members;
        let running = members.iter().copied().find(|&index| self.visit.fleet.hosts[index].has_etcd());
        let Some(&asked) = running.as_ref().or(members.first()) else { return };
        let authority = if alone { None } else { self.etcd_authority(asked) };
        if !self.visit.fleet.is_alive(asked) {
            return;
        }
        let handed = JoinMaterial { etcd_authority: authority, ..JoinMaterial::default() };
        let Some(running) = running else {
            return self.apply(Stage::Etcd, Phase::Etcd, &members, |_| handed.clone());
        };
        let (there, missing): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|&index| self.visit.fleet.hosts[index].has_etcd());
        self.apply(Stage::Etcd, Phase::Etcd, &there, |_| handed.clone());
        self.add_members(running, &missing, &handed);
    }

    fn etcd_authority(&mut self, asked: usize) -> Option<Pair> {
        match self.visit.fleet.ask(asked, Stage::Etcd, Question::EtcdAuthority) {
            Ok(Answer::EtcdAuthority(pair)) => Some(pair),
            Ok(_) => None,
            Err(told) => {
                self.visit.fleet.fall(asked, Stage::Etcd, told);
                None
            }
        }
    }

    /// Adds members to an etcd that runs: one at a time, each well before the next, since each counts as one that is down until
    /// it runs.
    fn add_members(&mut self, running: usize, missing: &[usize], handed: &JoinMaterial) {
        for (place, &index) in missing.iter().enumerate() {
            match self.make_room(running, index) {
                Err(told) => self.visit.fleet.fall(index, Stage::Etcd, told),
                Ok(members) => {
                    let handed = JoinMaterial { etcd_members: Some(members), ..handed.clone() };
                    self.apply(Stage::Etcd, Phase::Etcd, &[index], |_| handed.clone());
                }
            }
            if !self.visit.fleet.is_alive(index) {
                for &waiting in &missing[place + 1..] {
                    let error = format!(
                        "not begun: etcd takes no member before {} is well",
                        self.visit.fleet.hosts[index].name()
                    );
                    self.visit.fleet.fall(waiting, Stage::Etcd, Told { error, causes: vec![], hint: None });
                }
                return;
            }
        }
    }

    fn make_room(&self, running: usize, index: usize) -> Asked<BTreeMap<String, String>> {
        let host = &self.visit.fleet.hosts[index];
        let (here, address) = (self.visit.fleet.hosts[running].spec.address, host.spec.address);
        let begun = host.survey.as_ref().is_some_and(|survey| survey.etcd != Progress::None);
        if !begun && self.is_listed(running, address)? {
            // It lost what it had, so that it must not come back as the one that it was.
            self.visit.fleet.ask(running, Stage::Etcd, Question::RemoveEtcdMember { here, address })?;
        }
        let name = host.name().to_owned();
        match self.visit.fleet.ask(running, Stage::Etcd, Question::AddEtcdMember { here, name, address })? {
            Answer::EtcdMembers(all) => Ok(all.into_iter().map(|member| (member.name, member.peer_url)).collect()),
            _ => Err(astray()),
        }
    }

    fn is_listed(&self, running: usize, address: IpAddr) -> Asked<bool> {
        let here = self.visit.fleet.hosts[running].spec.address;
        match self.visit.fleet.ask(running, Stage::Etcd, Question::EtcdMembers { here })? {
            Answer::EtcdMembers(all) => Ok(all.iter().any(|member| member.peer_url == peer_url(address))),
            _ => Err(astray()),
        }
    }

    fn first_control_plane(&mut self) {
        let first = self.visit.first;
        match self.etcd_client(first) {
            Err(told) => self.visit.fleet.fall(first, Stage::FirstControlPlane, told),
            Ok(etcd_client) => {
                let handed = JoinMaterial { etcd_client, ..JoinMaterial::default() };
                self.apply(Stage::FirstControlPlane, Phase::ControlPlane, &[first], |_| handed.clone());
            }
        }
    }

    /// What the API server of a host without etcd needs to speak to it; nothing where it has that already.
    fn etcd_client(&self, index: usize) -> Asked<Option<EtcdClient>> {
        let host = &self.visit.fleet.hosts[index];
        if host.has(Role::Etcd) || host.is_control_plane() {
            return Ok(None);
        }
        let members = self.visit.fleet.alive(|host| host.has(Role::Etcd));
        let Some(&member) = members.first() else { return Ok(None) };
        match self.visit.fleet.ask(member, Stage::Etcd, Question::EtcdClient)? {
            Answer::EtcdClient(client) => Ok(Some(client)),
            _ => Err(astray()),
        }
    }

    fn other_control_planes(&mut self) {
        let first = self.visit.first;
        let others: Vec<_> = self.concerned(Phase::ControlPlane).into_iter().filter(|&index| index != first).collect();
        let joining: Vec<_> =
            others.iter().copied().filter(|&index| !self.visit.fleet.hosts[index].is_control_plane()).collect();
        let (shared_files, join) = match self.keys(&joining) {
            Ok(keys) => keys,
            Err(told) => return self.visit.fleet.fall(first, Stage::ControlPlanes, told),
        };
        let mut handed = BTreeMap::new();
        for &index in &others {
            match self.etcd_client(index) {
                Err(told) => self.visit.fleet.fall(index, Stage::ControlPlanes, told),
                Ok(etcd_client) => {
                    let (join, shared_files) = (join.clone(), shared_files.clone());
                    handed.insert(index, JoinMaterial { etcd_client, shared_files, join, ..JoinMaterial::default() });
                }
            }
        }
        let others: Vec<_> = handed.keys().copied().collect();
        self.apply(Stage::ControlPlanes, Phase::ControlPlane, &others, |index| handed[&index].clone());
    }

    /// What control planes that join are handed; nothing where none joins.
    fn keys(&self, joining: &[usize]) -> Asked<(Vec<SharedFile>, Option<JoinCredentials>)> {
        if joining.is_empty() {
            return Ok((Vec::new(), None));
        }
        match self.visit.fleet.ask(
            self.visit.first,
            Stage::ControlPlanes,
            Question::SharedFiles(Box::new(self.work(self.visit.first))),
        )? {
            Answer::SharedFiles(files) => Ok((files, self.credentials(Stage::ControlPlanes, joining)?)),
            _ => Err(astray()),
        }
    }

    /// Credentials to join with; nothing where no host joins, since each is a token that works for a while.
    fn credentials(&self, stage: Stage, joining: &[usize]) -> Asked<Option<JoinCredentials>> {
        if joining.is_empty() {
            return Ok(None);
        }
        match self.visit.fleet.ask(
            self.visit.first,
            stage,
            Question::JoinCredentials(Box::new(self.work(self.visit.first))),
        )? {
            Answer::JoinCredentials(credentials) => Ok(Some(credentials)),
            _ => Err(astray()),
        }
    }

    /// The control planes get their bridge for pods meanwhile.
    fn workers(&mut self) {
        let workers = self.concerned(Phase::Worker);
        let joins = |host: &FleetHost<'_>| {
            !host.has(Role::ControlPlane) && host.survey.as_ref().is_some_and(|survey| survey.join != Progress::Done)
        };
        let joining: Vec<_> = workers.iter().copied().filter(|&index| joins(&self.visit.fleet.hosts[index])).collect();
        match self.credentials(Stage::Workers, &joining) {
            Err(told) => self.visit.fleet.fall(self.visit.first, Stage::Workers, told),
            Ok(join) => {
                let handed = JoinMaterial { join, ..JoinMaterial::default() };
                self.apply(Stage::Workers, Phase::Worker, &workers, |_| handed.clone());
            }
        }
    }

    fn network(&mut self) {
        let hosts = self.concerned(Phase::Network);
        let mut handed = JoinMaterial::default();
        if self.orders.spec.network.cni == Some(Cni::Bridge) {
            let nodes = hosts.iter().map(|&index| self.visit.fleet.hosts[index].name().to_owned()).collect();
            match self.visit.fleet.ask(self.visit.first, Stage::Network, Question::PodNetworks { nodes }) {
                Ok(Answer::PodNetworks(networks)) => handed.pod_networks = networks,
                Ok(_) => return self.visit.fleet.fall(self.visit.first, Stage::Network, astray()),
                Err(told) => return self.visit.fleet.fall(self.visit.first, Stage::Network, told),
            }
        }
        self.apply(Stage::Network, Phase::Network, &hosts, |_| handed.clone());
    }

    /// The first control plane comes last: it waits for all nodes, except those that failed.
    fn finish(&mut self) {
        let first = self.visit.first;
        let all = self.concerned(Phase::Finish);
        self.visit.fleet.display.stage(Stage::Finish, all.len());
        let others: Vec<_> = all.into_iter().filter(|&index| index != first).collect();
        self.apply_quietly(Stage::Finish, Phase::Finish, &others, |_| JoinMaterial::default());
        let fallen = self.visit.fleet.hosts.iter().filter(|host| host.failure.is_some());
        let absent = fallen.map(|host| host.name().to_owned()).collect();
        let handed = JoinMaterial { absent, ..JoinMaterial::default() };
        self.apply_quietly(Stage::Finish, Phase::Finish, &[first], |_| handed.clone());
    }

    /// The hosts that have not failed and have something to do in a phase.
    fn concerned(&self, phase: Phase) -> Vec<usize> {
        self.visit.fleet.alive(|_| true).into_iter().filter(|&index| self.concerns(index, phase)).collect()
    }

    /// Has these hosts do a phase at the same time.
    fn apply(&mut self, stage: Stage, phase: Phase, hosts: &[usize], handed: impl Fn(usize) -> JoinMaterial + Sync) {
        if !hosts.is_empty() {
            self.visit.fleet.display.stage(stage, hosts.len());
            self.apply_quietly(stage, phase, hosts, handed);
        }
    }

    fn apply_quietly(
        &mut self,
        stage: Stage,
        phase: Phase,
        hosts: &[usize],
        handed: impl Fn(usize) -> JoinMaterial + Sync,
    ) {
        let (shares, trust) = (&self.visit.shares, self.orders.trust);
        let done = self.visit.fleet.on_each(stage, hosts, usize::MAX, |fleet, index| {
            let host = fleet.hosts[index].spec;
            let (name, trust) = (host.name.to_string(), trust.clone());
            let work = Work { host: name, spec: shares.of(host), trust, handed: handed(index) };
            phase_on(fleet, index, stage, phase, work)
        });
        self.note_changes(done);
    }

    fn note_changes(&mut self, done: Vec<(usize, Vec<String>)>) {
        for (index, changed) in done {
            self.visit.fleet.hosts[index].changed.extend(changed);
        }
    }
}

/// Has a host do a phase, and returns the steps that changed something.
fn phase_on(
    fleet: &super::Fleet<'_>,
    index: usize,
    stage: Stage,
    phase: Phase,
    work: Work,
) -> Result<Vec<String>, Told> {
    let request = Request::Apply { phase, work: Box::new(work) };
    match fleet.request(index, stage, &request)? {
        Reply::Applied { changed } => Ok(changed),
        other => Err(unexpected(&other)),
    }
}

fn expect_done(reply: &Reply) -> Result<(), Told> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(other)),
    }
}
