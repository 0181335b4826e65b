//! Brings etcd back after most of its members are lost: from the data of one member that is left, which the others that are there join
//! as new ones. Where etcd runs, only those join that it does not have any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::anyhow;
use kbundle_format::Role;

use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use super::recovery_course::{Course, Found, course};
use super::teardown::survey;
use super::text::few;
use crate::agent::questions::{AddEtcdMember, ListEtcdMembers, LookAtMember, PromoteEtcdMember, Recover};
use crate::config::{ClusterSpec, DnsName, HostSpec};
use crate::failure::{Advise, FailureReport};
use crate::recovery::Part;
use crate::recovery::act::Act;
use crate::recovery::look::MemberState;
use crate::report::Event;
use crate::stage::Stage;
use crate::steps::etcd::layout::peer_url;
use crate::steps::etcd::{EtcdMember, NewMember};

/// Why the others do not go on after one that failed.
const ONE_BY_ONE: &str = "etcd takes a new member only when the one before has all data";
const NEEDED: &str = "they join the etcd of that host";
const UNKNOWN: &str = "all hosts that were reached have to say how they are first; nothing was changed";

/// What is recovered, and how.
pub struct RecoveryRequest<'a> {
    /// The cluster.
    pub spec: &'a ClusterSpec,
    /// The host whose data are gone on with, where the user names it.
    pub survivor: Option<&'a DnsName>,
    /// Hosts that are off.
    pub lost: &'a [DnsName],
    /// Show the plan, and change nothing.
    pub dry_run: bool,
}

/// Recovers etcd. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When it was refused and nothing was changed, or when a host failed.
pub fn lead_recovery(
    request: &RecoveryRequest<'_>,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    refuse_wrong_use(request)?;
    let serves = |host: &&HostSpec| [Role::ControlPlane, Role::Etcd].iter().any(|role| host.roles.contains(role));
    let mut fleet = Fleet::new(request.spec, request.spec.hosts.iter().filter(serves).collect(), options)?;
    begun(&fleet)?;
    fleet.connect(request.spec, options.password.as_ref(), survey)?;
    fleet.enter(Stage::Recovery);
    let decided = WayUp::decide(&mut fleet, request);
    fleet.withdraw();
    let way_up = decided?;
    if request.dry_run {
        way_up.show(&fleet);
        return Ok(());
    }
    way_up.take(&mut fleet)?;
    fleet.report_end(started);
    Ok(())
}

fn refuse_wrong_use(request: &RecoveryRequest<'_>) -> anyhow::Result<()> {
    let is_host = |name: &DnsName| request.spec.hosts.iter().any(|host| host.name == *name);
    if let Some(name) = request.survivor.into_iter().chain(request.lost).find(|name| !is_host(name)) {
        return Err(anyhow!("cluster.yaml has no host {name}")).usage();
    }
    if request.spec.etcd.external.is_some() {
        return Err(anyhow!("the cluster's state is in an etcd of the site, which kinstall does not recover"))
            .refused()
            .hint("recover that etcd with its own tools: etcd's documentation, \"Disaster recovery\"");
    }
    Ok(())
}

/// All that is decided before anything is changed.
struct WayUp {
    /// The host whose data etcd goes on with; none where it runs.
    survivor: Option<HostIndex>,
    /// Through whose member of etcd others are added.
    keeper: HostIndex,
    /// Why this survivor, for people.
    reason: String,
    /// What each host does.
    parts: BTreeMap<HostIndex, Part>,
    /// Hosts whose member does its work, and that have only to come to their end.
    healthy: BTreeSet<HostIndex>,
}

impl WayUp {
    fn decide(fleet: &mut Fleet<'_>, request: &RecoveryRequest<'_>) -> anyhow::Result<Self> {
        refuse_unnamed(fleet, request.lost)?;
        fleet.dismiss(|host| !host.is_alive());
        let set_up = fleet.alive(|host| host.has_etcd() || host.is_control_plane());
        let states: BTreeMap<_, _> = fleet
            .on_each(&set_up, usize::MAX, |fleet, index| {
                fleet.ask(index, LookAtMember { host: fleet.host(index).name().clone() })
            })
            .into_iter()
            .collect();
        fleet.summary(Some(UNKNOWN)).refused()?;
        let found: Vec<_> = states
            .iter()
            .filter(|(index, _)| fleet.host(**index).has_etcd())
            .map(|(&index, state)| Found { index, name: fleet.host(index).name(), state })
            .collect();
        match course(&found, request.survivor)? {
            Course::Restart { survivor, reason } => Ok(Self::restart(fleet, &states, survivor, reason)),
            Course::Runs(healthy) => Self::bring_back(fleet, &states, healthy),
        }
    }

    fn restart(
        fleet: &Fleet<'_>,
        states: &BTreeMap<HostIndex, MemberState>,
        survivor: HostIndex,
        reason: String,
    ) -> Self {
        let part = |index: HostIndex| match fleet.host(index).has_etcd() {
            _ if index == survivor => Part::Survivor,
            true => Part::Rejoins,
            false => Part::Restarts,
        };
        let parts = states.keys().map(|&index| (index, part(index))).collect();
        Self { survivor: Some(survivor), keeper: survivor, reason, parts, healthy: BTreeSet::new() }
    }

    /// etcd runs on the `healthy` ones. Members that it does not have any more come back to it.
    fn bring_back(
        fleet: &Fleet<'_>,
        states: &BTreeMap<HostIndex, MemberState>,
        healthy: Vec<HostIndex>,
    ) -> anyhow::Result<Self> {
        let listed = agreed_members(fleet, &healthy)?;
        let part = |(&index, state): (&HostIndex, &MemberState)| {
            let host = fleet.host(index);
            let is_missing = host.has_etcd() && !listed.contains(&peer_url(host.spec.address));
            match (host.has_etcd(), is_missing || state.unfinished.is_some()) {
                (_, false) => None,
                (true, true) => Some((index, Part::Rejoins)),
                (false, true) => Some((index, Part::Restarts)),
            }
        };
        let parts: BTreeMap<_, _> = states.iter().filter_map(part).collect();
        if parts.is_empty() {
            let names: Vec<_> = healthy.iter().map(|&index| fleet.host(index).name()).collect();
            return Err(anyhow!("etcd does its work on {}: there is nothing to recover", few(&names)))
                .refused()
                .hint("take hosts that are lost out of the cluster with `kinstall remove HOST --dead`; add new ones with `kinstall run`");
        }
        let reason = "etcd runs, and does not have this member any more".to_owned();
        let keeper = healthy[0];
        Ok(Self { survivor: None, keeper, reason, parts, healthy: healthy.into_iter().collect() })
    }

    /// What is done on which host.
    fn show(&self, fleet: &Fleet<'_>) {
        for (&index, &part) in &self.parts {
            for act in Act::of(part).into_iter().filter(|act| !self.is_at_end(index) || *act == Act::Start) {
                let (step, title) = (act.id().to_owned(), act.title().to_owned());
                let planned = Event::StepPlanned { step, title, reason: Some(self.reason.clone()) };
                fleet.console.event_of(fleet.host(index).name(), Stage::Recovery, &planned);
            }
        }
    }

    /// Whether only the last act is left.
    fn is_at_end(&self, index: HostIndex) -> bool {
        self.survivor.is_none() && self.healthy.contains(&index)
    }

    fn with(&self, part: Part) -> impl Iterator<Item = HostIndex> {
        self.parts.iter().filter(move |(_, its)| **its == part).map(|(&index, _)| index)
    }

    fn take(&self, fleet: &mut Fleet<'_>) -> anyhow::Result<()> {
        fleet.announce(self.parts.len());
        if let Some(survivor) = self.survivor {
            let remark = Event::StepRemark { text: self.reason.clone() };
            fleet.console.event_of(fleet.host(survivor).name(), Stage::Recovery, &remark);
        }
        // All at once: from here on nobody writes.
        let running: Vec<_> = self.parts.keys().copied().filter(|&index| !self.is_at_end(index)).collect();
        self.on_hosts(fleet, &running, |index| Act::Stop(self.parts[&index]));
        if let Some(survivor) = self.survivor {
            for act in [Act::Save, Act::Restore, Act::Start] {
                if fleet.host(survivor).is_alive() {
                    self.on_hosts(fleet, &[survivor], |_| act.clone());
                }
            }
            if !fleet.host(survivor).is_alive() {
                return fleet.summary(Some(NEEDED));
            }
        }
        let restarting: Vec<_> = self.with(Part::Restarts).filter(|&index| fleet.host(index).is_alive()).collect();
        self.on_hosts(fleet, &restarting, |_| Act::Start);
        for index in self.with(Part::Rejoins).filter(|&index| fleet.host(index).is_alive()).collect::<Vec<_>>() {
            let done = fleet.on_each(&[index], 1, |fleet, index| self.rejoin(fleet, index));
            let Some((_, acts)) = done.into_iter().next() else { return fleet.summary(Some(ONE_BY_ONE)) };
            fleet.host_mut(index).changed.extend(acts);
        }
        fleet.summary(None)
    }

    /// Has these hosts do something at the same time.
    fn on_hosts(&self, fleet: &mut Fleet<'_>, hosts: &[HostIndex], act: impl Fn(HostIndex) -> Act + Sync) {
        let done = fleet.on_each(hosts, usize::MAX, |fleet, index| self.ask(fleet, index, act(index)));
        for (index, act) in done {
            fleet.host_mut(index).changed.push(act);
        }
    }

    fn ask(&self, fleet: &Fleet<'_>, index: HostIndex, act: Act) -> Result<String, FailureReport> {
        let id = act.id().to_owned();
        fleet.ask(index, Recover { act, part: self.parts[&index] })?;
        Ok(id)
    }

    /// It joins as a learner: one that does not come up takes the majority from nobody.
    fn rejoin(&self, fleet: &Fleet<'_>, index: HostIndex) -> Result<Vec<String>, FailureReport> {
        if self.is_at_end(index) {
            return Ok(vec![self.ask(fleet, index, Act::Start)?]);
        }
        let host = fleet.host(index);
        let (here, address) = (fleet.host(self.keeper).spec.address, host.spec.address);
        let mut done = Vec::new();
        let members = fleet.ask(self.keeper, ListEtcdMembers { here })?;
        if !members.iter().any(|member| member.peer_url == peer_url(address)) {
            done.push(self.ask(fleet, index, Act::SetAside)?);
        }
        let question = AddEtcdMember { here, name: host.name().clone(), address, new: NewMember::Learner };
        let members = fleet.ask(self.keeper, question)?;
        let members = members.into_iter().map(|EtcdMember { name, peer_url, .. }| (name, peer_url)).collect();
        done.push(self.ask(fleet, index, Act::Rejoin(members))?);
        fleet.ask(self.keeper, PromoteEtcdMember { here, address })?;
        done.push(self.ask(fleet, index, Act::Start)?);
        Ok(done)
    }
}

/// Refuses to begin while a host is away that the user did not call lost: with others it may have a majority, and serve as well.
fn refuse_unnamed(fleet: &Fleet<'_>, lost: &[DnsName]) -> anyhow::Result<()> {
    let absent: Vec<_> = fleet.hosts().filter_map(|(_, host)| Some((host, host.failure.as_ref()?))).collect();
    if let Some((host, failure)) = absent.iter().find(|(host, _)| !lost.contains(host.name())) {
        let names: Vec<_> = absent.iter().map(|(host, _)| format!("--lost {}", host.name())).collect();
        return Err(anyhow!("{} cannot be reached: {}; nothing was changed", host.name(), failure.report.error))
            .refused()
            .hint(format!("bring the host up; or, if it is off and stays off: `{}`", names.join(" ")));
    }
    let there = fleet.hosts().find(|(_, host)| host.is_alive() && lost.contains(host.name()));
    let Some((_, host)) = there else { return Ok(()) };
    Err(anyhow!("{} is called lost, and it answers; nothing was changed", host.name()))
        .refused()
        .hint(format!("leave out `--lost {}`: its member joins the others", host.name()))
}

/// The peer URLs of etcd's members.
///
/// # Errors
/// Where the healthy members are of different clusters: lost ones came back with the data of before.
fn agreed_members(fleet: &Fleet<'_>, healthy: &[HostIndex]) -> anyhow::Result<BTreeSet<String>> {
    let mut lists = BTreeMap::new();
    for &index in healthy {
        let here = fleet.host(index).spec.address;
        let members = fleet.ask(index, ListEtcdMembers { here }).map_err(|report| anyhow!(report.error)).refused()?;
        let ids: BTreeSet<_> = members.iter().map(|member| member.id.clone()).collect();
        let urls: BTreeSet<_> = members.into_iter().map(|member| member.peer_url).collect();
        lists.entry(ids).or_insert_with(|| (urls, Vec::new())).1.push(fleet.host(index).name());
    }
    if lists.len() > 1 {
        let groups: Vec<_> = lists.values().map(|(_, names)| few(names)).collect();
        return Err(anyhow!(
            "there are {} clusters of etcd that do their work, each without the others: on {}; nothing was changed",
            groups.len(),
            groups.join(", and on ")
        ))
        .refused()
        .hint("decide which data to go on with, and run `systemctl stop etcd` on the other hosts; then run the same command again");
    }
    Ok(lists.into_values().next().map(|(urls, _)| urls).unwrap_or_default())
}
