//! Whether the hosts reach each other's ports, before anything is installed: some listen on the ports that the cluster will
//! use, others connect. The number of connections grows with the number of workers, not with its square.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use kbundle_format::Role;

use super::connection::Encoded;
use super::host::FleetHost;
use super::index::HostIndex;
use super::pool;
use super::session::Session;
use crate::agent::questions::{ListenOnPorts, TryConnections};
use crate::config::Switch;
use crate::failure::FailureReport;
use crate::ports::{ETCD_CLIENTS, ETCD_PEERS, KUBELET};
use crate::preflight::between::{self, HostFinding};
use crate::preflight::firewall::will_be_opened;
use crate::report::Event;
use crate::stage::Stage;

/// The state of the hosts' firewalls while connections are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewalls {
    /// As kinstall found them. It opens them later if the user allows that.
    Untouched,
    /// In their final state.
    Opened,
}

/// The results of connection attempts.
#[derive(Default)]
struct Attempts {
    /// What could not be reached, by the host that tried to connect.
    unreached: BTreeMap<HostIndex, Vec<String>>,
    /// The same, of hosts whose firewall is opened later.
    closed: BTreeMap<HostIndex, Vec<String>>,
    /// Hosts that could not try, or not listen.
    failed: Vec<(HostIndex, FailureReport)>,
}

impl Attempts {
    fn add(&mut self, other: Self) {
        for (all, others) in [(&mut self.unreached, other.unreached), (&mut self.closed, other.closed)] {
            for (index, targets) in others {
                all.entry(index).or_default().extend(targets);
            }
        }
        self.failed.extend(other.failed);
    }
}

impl FleetHost<'_> {
    /// The ports that other hosts will connect to.
    fn ports(&self, api: u16) -> Vec<u16> {
        let roles = [
            (self.has(Role::ControlPlane), api),
            (self.has(Role::Etcd), ETCD_CLIENTS),
            (self.has(Role::Etcd), ETCD_PEERS),
            (self.spec.is_node(), KUBELET),
        ];
        roles.into_iter().filter_map(|(wanted, port)| wanted.then_some(port)).collect()
    }

    /// The addresses that this host will connect to on `other`.
    fn targets(&self, other: &FleetHost<'_>, api: u16) -> Vec<SocketAddr> {
        let wanted = [
            (self.spec.is_node() && other.has(Role::ControlPlane), api),
            (self.has(Role::ControlPlane) && other.has(Role::Etcd), ETCD_CLIENTS),
            (self.has(Role::Etcd) && other.has(Role::Etcd), ETCD_PEERS),
            (self.has(Role::ControlPlane) && other.spec.is_node(), KUBELET),
        ];
        let ports = wanted.into_iter().filter_map(|(wanted, port)| wanted.then_some(port));
        let ports: Vec<_> = ports.collect();
        // Of both families: pods of one host reach pods of another through either.
        let addresses = other.spec.addresses();
        addresses
            .flat_map(|address| ports.iter().map(move |&port| SocketAddr::new(address, port)).collect::<Vec<_>>())
            .collect()
    }
}

impl Session<'_> {
    /// Tries the connections that the cluster will make, if any host is new.
    pub fn check_reach(&mut self, firewalls: Firewalls) -> Vec<HostFinding> {
        if self.fleet.alive(FleetHost::is_new).is_empty() {
            return Vec::new();
        }
        let serves = |host: &FleetHost<'_>| host.has(Role::ControlPlane) || host.has(Role::Etcd);
        let servers = self.fleet.alive(serves);
        let workers = self.fleet.alive(|host| !serves(host));
        let attempts = self.while_listening(&servers, |this| {
            let mut attempts = this.connect(&servers, &servers, firewalls);
            for some in workers.chunks(this.fleet.parallel) {
                attempts.add(this.while_listening(some, |this| {
                    let mut attempts = this.connect(some, &servers, firewalls);
                    attempts.add(this.connect(&servers, some, firewalls));
                    attempts
                }));
            }
            attempts
        });
        for (index, report) in attempts.failed {
            self.fleet.fail(index, Stage::Preflight, report);
        }
        let finding = |index: HostIndex| {
            let of_host = |all: &BTreeMap<HostIndex, Vec<String>>| all.get(&index).cloned().unwrap_or_default();
            let (failures, closed) = (of_host(&attempts.unreached), of_host(&attempts.closed));
            between::reach(self.fleet.host(index).name(), &failures, &closed, self.ignored)
        };
        servers.into_iter().chain(workers).map(finding).collect()
    }

    /// Has `from` connect to the ports that they will need on `to`.
    fn connect(&self, from: &[HostIndex], to: &[HostIndex], firewalls: Firewalls) -> Attempts {
        let is_opened = firewalls == Firewalls::Untouched && self.spec.host_preparation == Switch::Enabled;
        let targets = || to.iter().map(|&index| self.fleet.host(index));
        let names: BTreeMap<_, _> =
            targets().flat_map(|host| host.spec.addresses().map(|address| (address, host.name()))).collect();
        let opened: BTreeSet<_> = targets()
            .filter(|host| is_opened && will_be_opened(host.facts()))
            .flat_map(|host| host.spec.addresses())
            .collect();
        let results = pool::each(from, self.fleet.parallel, |&index| {
            let others = to.iter().filter(|&&other| other != index).map(|&other| self.fleet.host(other));
            let api = self.spec.api.port;
            let targets: Vec<_> = others.flat_map(|other| self.fleet.host(index).targets(other, api)).collect();
            if targets.is_empty() { Ok(Vec::new()) } else { self.fleet.ask(index, TryConnections { targets }) }
        });
        let mut attempts = Attempts::default();
        for (&index, result) in from.iter().zip(results) {
            match result {
                Ok(failures) => {
                    for (target, reason) in failures {
                        let name = names.get(&target.ip()).map_or("", |name| name.as_str());
                        let is_opened = opened.contains(&target.ip());
                        let all = if is_opened { &mut attempts.closed } else { &mut attempts.unreached };
                        all.entry(index).or_default().push(format!("{name} at {target} ({reason})"));
                    }
                }
                Err(report) => attempts.failed.push((index, report)),
            }
        }
        attempts
    }

    /// Does `work` while these hosts listen on their ports, and adds those that could not listen.
    fn while_listening(&self, hosts: &[HostIndex], work: impl FnOnce(&Self) -> Attempts) -> Attempts {
        thread::scope(|scope| {
            let listening: Vec<_> = hosts
                .iter()
                .map(|&index| {
                    let (end, ended) = mpsc::channel::<()>();
                    let (ready, wait) = mpsc::channel::<()>();
                    let listener = scope.spawn(move || self.listen(index, ended, &ready));
                    (index, end, wait, listener)
                })
                .collect();
            // A host that fails drops its end, which ends the waiting as well.
            for (_, _, wait, _) in &listening {
                let _ = wait.recv();
            }
            let mut attempts = work(self);
            for (index, end, _, listener) in listening {
                drop(end);
                if let Err(report) = listener.join().expect("listening does not panic") {
                    attempts.failed.push((index, report));
                }
            }
            attempts
        })
    }

    /// Lets a host listen until the other end of `ended` is dropped.
    fn listen(&self, index: HostIndex, ended: Receiver<()>, ready: &Sender<()>) -> Result<(), FailureReport> {
        let host = self.fleet.host(index);
        let question = Encoded::of(ListenOnPorts { ports: host.ports(self.spec.api.port) });
        let wait = move |_: &mut _| {
            // Nothing is ever sent: the other end is dropped when the listening ends.
            let _ = ended.recv();
            Ok(())
        };
        let answer = host.reached().connection.ask(&question, wait, &mut |event| {
            if *event == Event::Listening {
                let _ = ready.send(());
            }
        });
        Ok(answer?)
    }
}
