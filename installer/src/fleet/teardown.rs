//! Taking hosts out of a cluster: one of them, or all.

use std::collections::BTreeSet;

use anyhow::{anyhow, bail};
use kbundle_format::Role;

use super::{Fleet, FleetHost, Means, astray};
use crate::agent::protocol::{Answer, Question, Reply, Request, Wanted};
use crate::config::{ClusterSpec, HostSpec};
use crate::failure::{Advise, FailureReport};
use crate::stage::Stage;

/// Whether the host that goes can still be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaver {
    /// It runs, and is drained and reset.
    Alive,
    /// It is gone; what it would have to do is left out.
    Dead,
}

/// Nothing is installed, so that the hosts need no bundle.
fn nothing(_: &HostSpec) -> Wanted {
    Wanted { roles: Vec::new(), list: None }
}

/// Removes the cluster from all hosts of `spec`. `begun` is told the fleet before anything is connected to.
pub fn reset_all(
    spec: &ClusterSpec,
    means: &Means,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::new(spec, spec.hosts.iter().collect(), means)?;
    begun(&fleet)?;
    fleet.connect(spec, means.password.as_ref(), nothing)?;
    let hosts = fleet.alive(|_| true);
    fleet.console_stage(Stage::Remove, hosts.len());
    fleet.on_each(Stage::Remove, &hosts, usize::MAX, reset);
    fleet.summary(None)
}

fn reset(fleet: &Fleet<'_>, index: usize) -> Result<(), FailureReport> {
    match fleet.request(index, Stage::Remove, &Request::Reset)? {
        Reply::Done => {
            fleet.console.line(&format!("{} is what it was before kinstall", fleet.hosts[index].name()));
            Ok(())
        }
        other => Err(super::unexpected(&other)),
    }
}

/// Takes the host called `name` out of the cluster and resets it. `begun` is told the fleet before anything is connected to.
pub fn remove(
    spec: &ClusterSpec,
    name: &str,
    leaver: Leaver,
    means: &Means,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let going = spec.hosts.iter().find(|host| host.name.as_str() == name);
    let going = going.ok_or_else(|| anyhow!("cluster.yaml has no host {name}")).usage()?;
    let serves = |host: &&HostSpec| [Role::ControlPlane, Role::Etcd].iter().any(|role| host.roles.contains(role));
    let staying = spec.hosts.iter().filter(|host| host.name != going.name).filter(serves);
    let hosts = staying.chain((leaver == Leaver::Alive).then_some(going)).collect();
    let mut fleet = Fleet::new(spec, hosts, means)?;
    begun(&fleet)?;
    fleet.connect(spec, means.password.as_ref(), nothing)?;
    let index = fleet.hosts.iter().position(|host| host.spec.name == going.name);
    if let Some(failure) = index.and_then(|index| fleet.hosts[index].failure.as_ref()) {
        let error = anyhow!("{name} cannot be reached: {}; nothing was changed", failure.told.error);
        return Err(error).refused().hint("if it will not come back, add `--dead`");
    }
    Removal { fleet, going, index }.run()
}

/// One removal.
struct Removal<'a> {
    fleet: Fleet<'a>,
    going: &'a HostSpec,
    /// The number of the host that goes; none where it is dead.
    index: Option<usize>,
}

impl Removal<'_> {
    fn run(mut self) -> anyhow::Result<()> {
        let stays = |host: &FleetHost<'_>| host.spec.name != self.going.name;
        let leader = self.fleet.alive(|host| stays(host) && host.is_control_plane()).first().copied();
        let Some(leader) = leader else {
            return Err(anyhow!("no other control plane was reached that stands; nothing was changed"))
                .refused()
                .hint("the last one goes with the whole cluster: `kinstall reset --all`");
        };
        let keeper = self.keeper()?;
        self.fleet.console_stage(Stage::Remove, 1);
        let result = self.take_out(leader, keeper);
        if let Err((index, told)) = result {
            self.fleet.fall(index, Stage::Remove, told);
        }
        self.fleet.summary(None)?;
        let name = &self.going.name;
        self.fleet.console.line(&format!(
            "{name} is no part of the cluster any more. Take it out of cluster.yaml and run `kinstall run` again, so that the \
             other hosts forget it as well."
        ));
        Ok(())
    }

    /// The host whose etcd removes the member of the one that goes; none where that has no member.
    ///
    /// # Errors
    /// When etcd would lose its majority, or has none.
    fn keeper(&self) -> anyhow::Result<Option<usize>> {
        if !self.going.roles.contains(&Role::Etcd) {
            return Ok(None);
        }
        let stays = |host: &FleetHost<'_>| host.spec.name != self.going.name;
        let well = self.fleet.alive(|host| stays(host) && host.has_etcd());
        let Some(&keeper) = well.first() else {
            return Err(anyhow!("no other member of etcd was reached; nothing was changed"))
                .refused()
                .hint("etcd's last member goes with the whole cluster: `kinstall reset --all`");
        };
        let here = self.fleet.hosts[keeper].spec.address;
        let members = match self.fleet.ask(keeper, Stage::Remove, Question::EtcdMembers { here }) {
            Ok(Answer::EtcdMembers(members)) => members,
            Ok(_) => bail!("{}", astray().error),
            Err(told) => bail!("etcd does not tell its members: {}; {}", told.error, told.causes.join("; ")),
        };
        let urls: BTreeSet<_> = members.into_iter().map(|member| member.peer_url).collect();
        let url = |host: &FleetHost<'_>| crate::steps::etcd::layout::peer_url(host.spec.address);
        let running = well.iter().filter(|&&index| urls.contains(&url(&self.fleet.hosts[index]))).count();
        let own = crate::steps::etcd::layout::peer_url(self.going.address);
        let left = urls.iter().filter(|url| **url != own).count();
        if keeps_majority(running, left) {
            return Ok(Some(keeper));
        }
        Err(anyhow!("of etcd's {left} other members {running} were reached, which is no majority; nothing was changed"))
            .refused()
            .hint("bring the others back first")
    }

    /// Says also which host failed.
    fn take_out(&self, leader: usize, keeper: Option<usize>) -> Result<(), (usize, FailureReport)> {
        let ask = |index, question| {
            let answer = self.fleet.ask(index, Stage::Remove, question);
            answer.map(drop).map_err(|told| (index, told))
        };
        let name = self.going.name.to_string();
        if self.index.is_some() {
            self.fleet.console.line(&format!("moving the pods of {name} to other nodes"));
            ask(leader, Question::DrainNode { name: name.clone() })?;
        }
        if let Some(keeper) = keeper {
            self.fleet.console.line(&format!("removing the member of etcd on {name}"));
            let here = self.fleet.hosts[keeper].spec.address;
            ask(keeper, Question::RemoveEtcdMember { here, address: self.going.address })?;
        }
        if let Some(index) = self.index {
            reset(&self.fleet, index).map_err(|told| (index, told))?;
        }
        // Last, since a kubelet that still runs would look for it.
        ask(leader, Question::DeleteNode { name })
    }
}

/// Whether `running` of the `left` members that stay are a majority of them.
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
