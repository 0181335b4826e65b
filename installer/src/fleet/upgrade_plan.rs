//! Everything that is decided before an upgrade of several hosts changes anything, and how it is shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use kbundle_format::{BundleList, Digest, Role};

use super::index::HostIndex;
use super::text::few;
use super::upgrade::Upgrade;
use crate::agent::questions::{ReadClusterState, ReadStanding};
use crate::config::DnsName;
use crate::failure::{Advise, FailureReport};
use crate::report::Event;
use crate::stage::Stage;
use crate::upgrade::api_use::ApiUse;
use crate::upgrade::cluster_state::{ClusterState, NodeState};
use crate::upgrade::outline::{Outline, Surroundings, disturbs_pods, versions};
use crate::upgrade::rules;
use crate::upgrade::standing::{Standing, refuse_incomplete};

impl Upgrade<'_> {
    /// Records which hosts have something to do.
    ///
    /// # Errors
    /// When the upgrade is refused; nothing was changed then.
    pub(super) fn decide(&mut self) -> anyhow::Result<()> {
        self.leader.session.fleet.refuse_absent()?;
        let standings = self.read_standings()?;
        let is_resumed = self.note_pending(standings)?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let former = self.former_list()?;
        self.refuse_versions(&former, &ClusterState::default())?;
        self.leader.session.check()?;
        self.leader.plan()?;
        self.note_drained(&former);
        let state = self.look_at_cluster(&former, is_resumed)?;
        self.show(&former, &state);
        Ok(())
    }

    fn read_standings(&mut self) -> anyhow::Result<Vec<(HostIndex, Standing)>> {
        let session = &mut self.leader.session;
        session.fleet.enter(Stage::Preflight);
        let (all, shares) = (session.fleet.alive(|_| true), &session.shares);
        let found = session.fleet.on_each(&all, usize::MAX, |fleet, index| {
            let host = fleet.host(index);
            fleet.ask(index, ReadStanding { host: host.name().clone(), spec: Box::new(shares.of(host.spec)) })
        });
        session.fleet.summary(Some("all hosts are upgraded or none; nothing was changed")).refused()?;
        Ok(found)
    }

    /// Records the hosts that have something to do. Returns whether an upgrade to this bundle is under way.
    fn note_pending(&mut self, standings: Vec<(HostIndex, Standing)>) -> anyhow::Result<bool> {
        let target = Digest::of(&self.request.install.bundle.head().list_bytes);
        let mut is_resumed = false;
        for (index, standing) in standings {
            let name = self.leader.host(index).name();
            if standing.target.is_some_and(|begun| begun != target) {
                return Err(anyhow!("an upgrade of {name} to another bundle is not finished; nothing was changed"))
                    .refused()
                    .hint("finish it with that bundle first");
            }
            refuse_incomplete(&standing.incomplete, name.as_str())?;
            let is_done = standing.target.is_none() && Digest::of(standing.list.as_bytes()) == target;
            is_resumed |= is_done || standing.target.is_some();
            if !is_done {
                self.pending.insert(index, standing);
            }
        }
        Ok(is_resumed)
    }

    /// The list that hosts were set up from. It is the new list if all hosts have it already, and the end of the upgrade was cut off.
    fn former_list(&self) -> anyhow::Result<BundleList> {
        let new = &self.request.install.bundle.head().list_bytes;
        let mut lists: BTreeMap<&str, Vec<&DnsName>> = BTreeMap::new();
        for (index, standing) in self.pending.iter().filter(|(_, standing)| standing.list.as_bytes() != new.as_slice())
        {
            lists.entry(&standing.list).or_default().push(self.leader.host(*index).name());
        }
        if lists.len() > 1 {
            let sides: Vec<_> = lists.values().map(|names| few(names)).collect();
            return Err(anyhow!("hosts were set up from different bundles: {}; nothing was changed", sides.join("; ")))
                .refused()
                .hint("`kinstall status` on a host shows its bundle; bring all hosts to one of them first");
        }
        let list = lists.keys().next().map_or(new.as_slice(), |list| list.as_bytes());
        Ok(BundleList::parse(list)?)
    }

    fn refuse_versions(&self, former: &BundleList, state: &ClusterState) -> anyhow::Result<()> {
        let new = self.request.install.bundle.list();
        let mut found = Vec::new();
        for &index in self.pending.keys() {
            let platform = &self.leader.host(index).facts().platform;
            let refusals = rules::refusals(&versions(former, platform), &versions(new, platform), &state.kubelets());
            for refusal in refusals.iter().map(ToString::to_string) {
                if !found.contains(&refusal) {
                    found.push(refusal);
                }
            }
        }
        rules::refuse(&found)
    }

    /// A node is drained if its pods notice the change and other nodes can take them.
    fn note_drained(&mut self, former: &BundleList) {
        let new = self.request.install.bundle.list();
        let is_node = |roles: &BTreeSet<Role>| *roles != BTreeSet::from([Role::Etcd]);
        let nodes = self.leader.alive(|host| is_node(&host.spec.roles)).len();
        let disturbs = |index: &HostIndex| disturbs_pods(former, new, &self.leader.host(*index).facts().platform);
        self.drained =
            if nodes > 1 { self.members(is_node).into_iter().filter(disturbs).collect() } else { BTreeSet::new() };
    }

    /// A cluster that is not healthy is not upgraded, unless an upgrade resumes: then the interrupted upgrade may be the cause.
    fn look_at_cluster(&self, former: &BundleList, is_resumed: bool) -> anyhow::Result<ClusterState> {
        let question = ReadClusterState { kubernetes: self.request.install.bundle.list().kubernetes_version };
        let state = self.leader.ask(self.leader.session.first, question).map_err(|report| failed(&report)).refused()?;
        if is_resumed {
            return Ok(state);
        }
        state.refuse_ill()?;
        if let Some((index, report)) = self.ill_members().into_iter().next() {
            let name = self.leader.host(index).name();
            let said = report.causes.last().unwrap_or(&report.error).clone();
            return Err(anyhow!("the member of etcd on {name} is not healthy: {said}; nothing was changed"))
                .refused()
                .hint("a cluster has to be healthy before it is upgraded: `journalctl -u etcd` on the host");
        }
        self.refuse_versions(former, &state)?;
        self.refuse_lone_pods(&state)?;
        Ok(state)
    }

    fn refuse_lone_pods(&self, state: &ClusterState) -> anyhow::Result<()> {
        let is_drained =
            |node: &&NodeState| self.drained.iter().any(|&index| self.leader.host(index).name().as_str() == node.name);
        let lone = state
            .nodes
            .iter()
            .filter(is_drained)
            .flat_map(|node| node.lone_pods.iter().map(|pod| format!("{pod} on {}", node.name)));
        let lone: Vec<_> = lone.collect();
        if lone.is_empty() {
            return Ok(());
        }
        Err(anyhow!(
            "pods without a controller would be lost when their nodes are drained: {}; nothing was changed",
            lone.join(", ")
        ))
        .refused()
        .hint("delete them (`kubectl delete pod`), or let a Deployment or a Job have them")
    }

    /// Programs get every host's outline; people get those that differ, each with its hosts.
    fn show(&self, former: &BundleList, state: &ClusterState) {
        let fleet = &self.leader.session.fleet;
        let mut outlines: Vec<(Outline, Vec<&DnsName>)> = Vec::new();
        for &index in self.pending.keys() {
            let host = self.leader.host(index);
            let outline = self.outline(former, index, state);
            fleet.console.event_for_programs(host.name(), Stage::Preflight, &Event::Outlined(outline.clone()));
            match outlines.iter_mut().find(|(known, _)| *known == outline) {
                Some((_, hosts)) => hosts.push(host.name()),
                None => outlines.push((outline, vec![host.name()])),
            }
        }
        for (outline, hosts) in outlines {
            let names: Vec<_> = hosts.iter().map(|name| name.as_str()).collect();
            fleet.console.result(&format!("{}:\n{outline}\n\n", names.join(", ")));
        }
        let names =
            |hosts: Vec<HostIndex>| hosts.into_iter().map(|index| self.leader.host(index).name().clone()).collect();
        fleet.console.event(&Event::OrderPlanned {
            etcd: names(self.members(|roles| roles.contains(&Role::Etcd))),
            servers: names(self.servers()),
            workers: names(self.workers()),
            max_unavailable: self.request.max_unavailable,
        });
        let spec = self.request.install.spec;
        let is_foreign = |node: &&NodeState| !spec.hosts.iter().any(|host| host.name.as_str() == node.name);
        for node in state.nodes.iter().filter(is_foreign) {
            fleet.console.line(&format!("note: cluster.yaml has no host {}: that node keeps its versions", node.name));
        }
    }

    fn outline(&self, former: &BundleList, index: HostIndex, state: &ClusterState) -> Outline {
        let (host, new) = (self.leader.host(index), self.request.install.bundle.list());
        let is_control_plane = host.has(Role::ControlPlane);
        let apis = if is_control_plane { state.apis.clone() } else { ApiUse::default() };
        let roles = &host.spec.roles;
        Outline::of_host(former, new, &host.facts().platform, roles, Surroundings::Among, apis)
    }
}

fn failed(report: &FailureReport) -> anyhow::Error {
    let causes: Vec<_> = std::iter::once(&report.error).chain(&report.causes).map(String::as_str).collect();
    anyhow!("the state of the cluster is unknown: {}; nothing was changed", causes.join(": "))
}
