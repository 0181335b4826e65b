//! Whether the hosts reach each other where they will have to, before anything is installed: some listen on the ports that will
//! be in use, others connect. How many connections are tried grows as the number of workers does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::visit::Visit;
use super::{FleetHost, gang, unexpected};
use crate::agent::protocol::{Reply, Request};
use crate::failure::FailureReport;
use crate::preflight::between::{self, HostFinding};
use crate::report::Event;
use crate::stage::Stage;
use kbundle_format::Role;

const ETCD_CLIENTS: u16 = 2379;
const ETCD_PEERS: u16 = 2380;
const KUBELET: u16 = 10250;

/// What came of trying.
#[derive(Default)]
struct Tried {
    /// What could not be reached, by the number of the host that tried.
    unreached: BTreeMap<usize, Vec<String>>,
    /// Hosts that could not even try, or not listen.
    failed: Vec<(usize, FailureReport)>,
}

impl Tried {
    fn add(&mut self, other: Self) {
        for (index, targets) in other.unreached {
            self.unreached.entry(index).or_default().extend(targets);
        }
        self.failed.extend(other.failed);
    }
}

impl FleetHost<'_> {
    fn is_node(&self) -> bool {
        self.has(Role::ControlPlane) || self.has(Role::Worker)
    }

    /// The ports that others will connect to.
    fn ports(&self, api: u16) -> Vec<u16> {
        let roles = [
            (self.has(Role::ControlPlane), api),
            (self.has(Role::Etcd), ETCD_CLIENTS),
            (self.has(Role::Etcd), ETCD_PEERS),
            (self.is_node(), KUBELET),
        ];
        roles.into_iter().filter_map(|(wanted, port)| wanted.then_some(port)).collect()
    }

    /// Where this host will connect to on `other`.
    fn targets(&self, other: &FleetHost<'_>, api: u16) -> Vec<SocketAddr> {
        let wanted = [
            (self.is_node() && other.has(Role::ControlPlane), api),
            (self.has(Role::ControlPlane) && other.has(Role::Etcd), ETCD_CLIENTS),
            (self.has(Role::Etcd) && other.has(Role::Etcd), ETCD_PEERS),
            (self.has(Role::ControlPlane) && other.is_node(), KUBELET),
        ];
        let ports = wanted.into_iter().filter_map(|(wanted, port)| wanted.then_some(port));
        ports.map(|port| SocketAddr::new(other.spec.address, port)).collect()
    }
}

impl Visit<'_> {
    /// Tries the connections that a cluster with a host more than before will make.
    pub(super) fn reach(&mut self) -> Vec<HostFinding> {
        if self.fleet.alive(FleetHost::is_new).is_empty() {
            return Vec::new();
        }
        let serves = |host: &FleetHost<'_>| host.has(Role::ControlPlane) || host.has(Role::Etcd);
        let (servers, workers): (Vec<_>, Vec<_>) =
            self.fleet.alive(|_| true).into_iter().partition(|&index| serves(&self.fleet.hosts[index]));
        let tried = self.while_listening(&servers, |this| {
            let mut tried = this.connect(&servers, &servers);
            for some in workers.chunks(this.fleet.parallel) {
                tried.add(this.while_listening(some, |this| {
                    let mut tried = this.connect(some, &servers);
                    tried.add(this.connect(&servers, some));
                    tried
                }));
            }
            tried
        });
        for (index, told) in tried.failed {
            self.fleet.fall(index, Stage::Preflight, told);
        }
        let finding = |index: usize| {
            let failures = tried.unreached.get(&index).map_or(&[][..], Vec::as_slice);
            between::reach(self.fleet.hosts[index].name(), failures, self.ignored)
        };
        servers.into_iter().chain(workers).map(finding).collect()
    }

    /// Has `from` connect to what they will need on `to`.
    fn connect(&self, from: &[usize], to: &[usize]) -> Tried {
        let hosts = &self.fleet.hosts;
        let api = self.spec.api.port;
        let names: BTreeMap<_, _> = to.iter().map(|&index| (hosts[index].spec.address, hosts[index].name())).collect();
        let results = gang::each(from, self.fleet.parallel, |&index| {
            let others = to.iter().filter(|&&other| other != index);
            let targets: Vec<_> = others.flat_map(|&other| hosts[index].targets(&hosts[other], api)).collect();
            if targets.is_empty() {
                return Ok(Vec::new());
            }
            match self.fleet.request(index, Stage::Preflight, &Request::Connect { targets })? {
                Reply::Unreached { failures } => Ok(failures),
                other => Err(unexpected(&other)),
            }
        });
        let mut tried = Tried::default();
        for (&index, result) in from.iter().zip(results) {
            match result {
                Ok(failures) => {
                    let told = failures.iter().map(|(target, why)| {
                        format!("{} at {target} ({why})", names.get(&target.ip()).map_or("", |name| name.as_str()))
                    });
                    tried.unreached.entry(index).or_default().extend(told);
                }
                Err(told) => tried.failed.push((index, told)),
            }
        }
        tried
    }

    /// Does `work` while these hosts listen on their ports, and adds those that could not.
    fn while_listening(&self, hosts: &[usize], work: impl FnOnce(&Self) -> Tried) -> Tried {
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
            // One that fails drops its end, which ends the waiting as well.
            for (_, _, wait, _) in &listening {
                let _ = wait.recv();
            }
            let mut tried = work(self);
            for (index, end, _, listener) in listening {
                drop(end);
                if let Err(told) = listener.join().expect("listening does not panic") {
                    tried.failed.push((index, told));
                }
            }
            tried
        })
    }

    /// Has a host listen until `ended` is.
    fn listen(&self, index: usize, ended: Receiver<()>, ready: &Sender<()>) -> Result<(), FailureReport> {
        let host = &self.fleet.hosts[index];
        let connection = host.connection.as_ref().expect("only hosts that were reached are worked on");
        let request = Request::Listen { ports: host.ports(self.spec.api.port) };
        let wait = move |_: &mut _| {
            // Nothing is ever sent: the other end goes when it is time.
            let _ = ended.recv();
            Ok(())
        };
        let reply = connection.converse(&request, wait, &mut |event: &Event| {
            if *event == Event::Listening {
                let _ = ready.send(());
            }
        })?;
        match self.fleet.judge(index, reply)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}
