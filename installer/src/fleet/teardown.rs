//! Removes hosts from a cluster: one of them, or all.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{anyhow, bail};
use kbundle_format::Role;

use super::host::FleetHost;
use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use crate::agent::questions::{DeleteNode, DrainNode, ListEtcdMembers, RemoveEtcdMember, ResetHost, SurveyHost};
use crate::config::{ClusterSpec, DnsName, HostSpec};
use crate::drain::Purpose;
use crate::failure::{Advise, FailureReport};
use crate::report::Event;
use crate::stage::Stage;
use crate::steps::etcd::layout::peer_url;

/// How long the pods of a host that leaves may take to move.
const DRAINED_WITHIN: Duration = Duration::from_mins(3);

/// Whether work can still be done on the host that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepartingHost {
    /// It runs, and is drained and reset.
    Alive,
    /// It is gone. The work on the host itself is left out.
    Dead,
}

/// Nothing is installed, so no host needs a bundle.
pub(super) fn survey(_: &HostSpec) -> SurveyHost {
    SurveyHost { roles: Vec::new(), list: None }
}

/// Removes the cluster from all hosts of `spec`. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When hosts failed; the others are reset.
pub fn reset_all(
    spec: &ClusterSpec,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), options)?;
    begun(&fleet)?;
    fleet.connect(spec, options.password.as_ref(), survey)?;
    fleet.enter(Stage::Remove);
    let hosts = fleet.alive(|_| true);
    fleet.announce(hosts.len());
    fleet.on_each(&hosts, usize::MAX, reset);
    fleet.summary(None)
}

fn reset(fleet: &Fleet<'_>, index: HostIndex) -> Result<(), FailureReport> {
    fleet.ask(index, ResetHost {})?;
    fleet.console.event_of(fleet.host(index).name(), Stage::Remove, &Event::HostReset);
    Ok(())
}

/// Removes the host called `name` from the cluster and resets it. `begun` gets the fleet before kinstall connects to any host.
///
/// # Errors
/// When there is no such host, when the cluster cannot do without it, or when a host failed.
pub fn remove(
    spec: &ClusterSpec,
    name: &DnsName,
    state: DepartingHost,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let departing = spec.hosts.iter().find(|host| host.name == *name);
    let departing = departing.ok_or_else(|| anyhow!("cluster.yaml has no host {name}")).usage()?;
    let serves = |host: &&HostSpec| [Role::ControlPlane, Role::Etcd].iter().any(|role| host.roles.contains(role));
    let staying = spec.hosts.iter().filter(|host| host.name != *name).filter(serves);
    let hosts = staying.chain((state == DepartingHost::Alive).then_some(departing)).collect();
    let mut fleet = Fleet::new(spec, hosts, options)?;
    begun(&fleet)?;
    fleet.connect(spec, options.password.as_ref(), survey)?;
    fleet.enter(Stage::Remove);
    // Whether enough of the others are there is asked later.
    fleet.dismiss(|host| !host.is_alive() && host.name() != name);
    let index = fleet.find(|host| host.name() == name);
    if let Some(failure) = index.and_then(|index| fleet.host(index).failure.as_ref()) {
        let error = anyhow!("{name} cannot be reached: {}; nothing was changed", failure.report.error);
        return Err(error).refused().hint("if the host will not come back, add `--dead`");
    }
    Removal { fleet, departing, index }.run()
}

/// One removal.
struct Removal<'a> {
    fleet: Fleet<'a>,
    departing: &'a HostSpec,
    /// The departing host in the fleet; `None` if it is dead.
    index: Option<HostIndex>,
}

impl Removal<'_> {
    fn run(mut self) -> anyhow::Result<()> {
        let leader = self.fleet.alive(|host| self.stays(host) && host.is_control_plane()).first().copied();
        let Some(leader) = leader else {
            return Err(anyhow!("no other control plane of the cluster was reached; nothing was changed"))
                .refused()
                .hint("to remove the last control plane, remove the whole cluster: `kinstall reset --all`");
        };
        let keeper = self.keeper()?;
        self.fleet.announce(1);
        if let Err((index, report)) = self.take_out(leader, keeper) {
            self.fleet.fail(index, Stage::Remove, report);
        }
        self.fleet.summary(None)?;
        self.fleet.console.event(&Event::HostRemoved { name: self.departing.name.clone() });
        Ok(())
    }

    fn stays(&self, host: &FleetHost<'_>) -> bool {
        host.name() != &self.departing.name
    }

    /// The host whose etcd removes the departing host's member; `None` if that host has no member.
    ///
    /// # Errors
    /// When etcd would lose its majority, or has none.
    fn keeper(&self) -> anyhow::Result<Option<HostIndex>> {
        if !self.departing.roles.contains(&Role::Etcd) {
            return Ok(None);
        }
        let reached = self.fleet.alive(|host| self.stays(host) && host.has_etcd());
        let Some(&keeper) = reached.first() else {
            return Err(anyhow!("no other member of etcd was reached; nothing was changed"))
                .refused()
                .hint("to remove the last member of etcd, remove the whole cluster: `kinstall reset --all`");
        };
        let here = self.fleet.host(keeper).spec.address;
        let members = match self.fleet.ask(keeper, ListEtcdMembers { here }) {
            Ok(members) => members,
            Err(report) => bail!("cannot list the members of etcd: {}; {}", report.error, report.causes.join("; ")),
        };
        let urls: BTreeSet<_> = members.into_iter().map(|member| member.peer_url).collect();
        let is_member = |index: HostIndex| urls.contains(&peer_url(self.fleet.host(index).spec.address));
        let running = reached.iter().filter(|&&index| is_member(index)).count();
        let own = peer_url(self.departing.address);
        let left = urls.iter().filter(|url| **url != own).count();
        if keeps_majority(running, left) {
            return Ok(Some(keeper));
        }
        Err(anyhow!(
            "only {running} of etcd's {left} other members were reached, which is not a majority; nothing was changed"
        ))
        .refused()
        .hint("start the other members first")
    }

    /// Removes the host. An error also says which host failed.
    fn take_out(&self, leader: HostIndex, keeper: Option<HostIndex>) -> Result<(), (HostIndex, FailureReport)> {
        let name = &self.departing.name;
        if self.index.is_some() {
            self.fleet.console.line(&format!("moving the pods of {name} to other nodes"));
            let timeout_seconds = DRAINED_WITHIN.as_secs();
            let question = DrainNode { name: name.clone(), purpose: Purpose::Removal, timeout_seconds };
            self.fleet.ask(leader, question).map_err(|report| (leader, report))?;
        }
        if let Some(keeper) = keeper {
            self.fleet.console.line(&format!("removing the member of etcd on {name}"));
            let here = self.fleet.host(keeper).spec.address;
            let question = RemoveEtcdMember { here, address: self.departing.address };
            self.fleet.ask(keeper, question).map_err(|report| (keeper, report))?;
        }
        if let Some(index) = self.index {
            reset(&self.fleet, index).map_err(|report| (index, report))?;
        }
        // Last, since a kubelet that still runs would register again.
        self.fleet.ask(leader, DeleteNode { name: name.clone() }).map_err(|report| (leader, report))
    }
}

/// Whether the `running` ones are a majority of the `left` members that remain.
fn keeps_majority(running: usize, left: usize) -> bool {
    running > left / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_etcd_needs_a_majority() {
        let all = |left: usize| (0..=left).filter(|&running| keeps_majority(running, left)).collect::<Vec<_>>();
        assert_eq!(all(0), Vec::<usize>::new());
        assert_eq!(all(1), [1]);
        assert_eq!(all(2), [2]);
        assert_eq!(all(4), [3, 4]);
    }
}
