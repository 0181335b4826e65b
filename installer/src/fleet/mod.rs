//! Many hosts, led from one: goes there over OpenSSH, has the [`agent`](crate::agent) on each do the same work as on a single
//! host, one stage after the other, and shows how all of them fare.
//!
//! What happened to a host is noted at that host, so that one that fails does not end what the others do.

mod balancer;
mod connection;
mod contact;
mod gang;
mod lead;
mod logs;
pub mod password;
pub mod policy;
mod preflight;
mod reach;
mod shares;
mod stages;
mod teardown;
mod text;
mod transport;
mod visit;

use std::io;
use std::process::ChildStdin;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use kbundle_format::Role;
use time::OffsetDateTime;

use crate::agent::protocol::{Answer, Progress, Question, Reply, Request, Survey, Wanted};
use crate::cli::OutputFormat;
use crate::config::{ClusterSpec, DnsName, HostSpec, Sudo};
use crate::facts::Installation;
use crate::failure::{Advise, FailureReport};
use crate::report::{Console, Event, Observer as _};
use crate::stage::Stage;
use connection::{Connection, Program};
use contact::ContactError;
use logs::Logs;
use password::Password;
use text::few;
use transport::{Masters, Transport};

pub use lead::{Orders, lead};
pub use teardown::{Leaver, remove, reset_all};
pub use visit::preflight;

/// How hosts are worked on.
pub struct Means {
    /// Hosts that are worked on at the same time.
    pub parallel: usize,
    /// How it is shown.
    pub output: OutputFormat,
    /// The password for `sudo`, where a host asks for one.
    pub password: Option<Password>,
}

/// Whether any host's user needs a password to become root.
#[must_use]
pub fn needs_password(spec: &ClusterSpec) -> bool {
    spec.hosts.iter().any(|host| host.ssh.or(&spec.ssh).sudo == Some(Sudo::Password))
}

/// The hosts of a cluster, as far as they could be reached.
pub struct Fleet<'a> {
    hosts: Vec<FleetHost<'a>>,
    console: Console,
    logs: Logs,
    parallel: usize,
    /// Last, so that connections end after all else.
    masters: Arc<Masters>,
}

/// A host, and what happened to it.
pub struct FleetHost<'a> {
    spec: &'a HostSpec,
    connection: Option<Connection>,
    survey: Option<Survey>,
    clock_offset_seconds: f64,
    failure: Option<Failure>,
    changed: Vec<String>,
}

/// Why a host was gone no further with.
#[derive(Clone, Debug)]
struct Failure {
    stage: Stage,
    told: FailureReport,
}

impl FleetHost<'_> {
    fn name(&self) -> &DnsName {
        &self.spec.name
    }

    fn is_control_plane(&self) -> bool {
        self.survey.as_ref().is_some_and(|survey| survey.control_plane == Progress::Done)
    }

    fn has_etcd(&self) -> bool {
        self.survey.as_ref().is_some_and(|survey| survey.etcd == Progress::Done)
    }

    fn has(&self, role: Role) -> bool {
        self.spec.roles.contains(&role)
    }

    fn is_new(&self) -> bool {
        self.survey.as_ref().is_none_or(|survey| survey.facts.installation == Installation::None)
    }
}

impl From<ContactError> for FailureReport {
    fn from(error: ContactError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::from(&anyhow::Error::new(error)) }
    }
}

impl<'a> Fleet<'a> {
    /// Gets ready to go to `hosts`, which are hosts of `spec`.
    pub fn new(spec: &ClusterSpec, hosts: Vec<&'a HostSpec>, means: &Means) -> anyhow::Result<Self> {
        let console = Console::new(means.output, hosts.iter().map(|host| &host.name));
        let fresh = |spec| FleetHost {
            spec,
            connection: None,
            survey: None,
            clock_offset_seconds: 0.0,
            failure: None,
            changed: Vec::new(),
        };
        Ok(Self {
            hosts: hosts.into_iter().map(fresh).collect(),
            console,
            logs: Logs::begin(spec.name.as_str(), OffsetDateTime::now_utc())?,
            parallel: means.parallel,
            masters: Arc::new(Masters::new()?),
        })
    }

    /// The connections, to end them when the program is interrupted.
    #[must_use]
    pub fn masters(&self) -> Arc<Masters> {
        Arc::clone(&self.masters)
    }

    /// Goes to every host and looks at it. `wanted` is what each is wanted for.
    pub fn connect(
        &mut self,
        spec: &ClusterSpec,
        password: Option<&Password>,
        wanted: impl Fn(&HostSpec) -> Wanted + Sync,
    ) -> anyhow::Result<()> {
        let program = Program::this()?;
        let all: Vec<_> = (0..self.hosts.len()).collect();
        self.console_stage(Stage::Connect, all.len());
        let this: &Self = self;
        let results = gang::each(&all, self.parallel, |&index| {
            let host = this.hosts[index].spec;
            let ssh = host.ssh.or(&spec.ssh);
            let transport = Transport::new(host, &ssh, &this.masters.socket(index));
            let log = this.logs.host(&host.name);
            let connection = Connection::arrive(transport, ssh.sudo, password, &program, log)?;
            let survey = look_at(&connection, wanted(host))?;
            Ok((connection, survey))
        });
        for (index, result) in all.into_iter().zip(results) {
            match result {
                Err(told) => self.fall(index, Stage::Connect, told),
                Ok((connection, (survey, offset))) => {
                    let host = &mut self.hosts[index];
                    host.connection = Some(connection);
                    host.clock_offset_seconds = offset;
                    host.survey = Some(survey);
                }
            }
        }
        Ok(())
    }

    /// The hosts that have not failed and that `which` picks, by number.
    fn alive(&self, which: impl Fn(&FleetHost<'a>) -> bool) -> Vec<usize> {
        let alive = |index: &usize| self.hosts[*index].failure.is_none() && which(&self.hosts[*index]);
        (0..self.hosts.len()).filter(alive).collect()
    }

    fn is_alive(&self, index: usize) -> bool {
        self.hosts[index].failure.is_none()
    }

    fn console_stage(&self, stage: Stage, hosts: usize) {
        self.console.event(&Event::StageStarted { stage, hosts });
    }

    /// Does `work` on these hosts at the same time and returns what came of it, noting those that failed.
    fn on_each<T: Send>(
        &mut self,
        stage: Stage,
        hosts: &[usize],
        at_once: usize,
        work: impl Fn(&Self, usize) -> Result<T, FailureReport> + Sync,
    ) -> Vec<(usize, T)> {
        let this: &Self = self;
        let results = gang::each(hosts, at_once.min(self.parallel), |&index| work(this, index));
        let mut done = Vec::new();
        for (&index, result) in hosts.iter().zip(results) {
            match result {
                Ok(value) => done.push((index, value)),
                Err(told) => self.fall(index, stage, told),
            }
        }
        done
    }

    /// Has a host do something, and shows what it tells. When the connection is cut it goes there once more: every request can be
    /// repeated, and a host that goes on by itself with what it was at is waited for.
    fn request(&self, index: usize, stage: Stage, request: &Request) -> Result<Reply, FailureReport> {
        let first = self.converse(index, stage, request, None, |_| Ok(()));
        let reply = match first {
            Err(error) if error.is_cut() => {
                let host = self.hosts[index].name();
                self.console.event_of(host, stage, &Event::ConnectionCut { error: error.to_string() });
                self.converse(index, stage, request, None, |_| Ok(()))?
            }
            reply => reply?,
        };
        self.judge(index, reply)
    }

    /// Sends a host its part of the bundle, while the host counts up to `total`.
    fn send(
        &self,
        index: usize,
        request: &Request,
        total: u64,
        body: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    ) -> Result<Reply, FailureReport> {
        let reply = self.converse(index, Stage::Bundle, request, Some(total), body)?;
        self.judge(index, reply)
    }

    fn converse(
        &self,
        index: usize,
        stage: Stage,
        request: &Request,
        total: Option<u64>,
        body: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    ) -> Result<Reply, ContactError> {
        let host = &self.hosts[index];
        let reporter = self.console.reporter(host.name(), stage);
        if let Some(total) = total {
            reporter.show_bytes(total);
        }
        let connection = host.connection.as_ref().expect("only hosts that were reached are worked on");
        connection.converse(request, body, &mut |event| reporter.event(event))
    }

    fn judge(&self, index: usize, reply: Reply) -> Result<Reply, FailureReport> {
        let Reply::Failed(told) = reply else { return Ok(reply) };
        self.logs.host(self.hosts[index].name()).note(&format!("failed: {told:?}\n"));
        Err(told)
    }

    /// Asks a host for something that others need.
    fn ask(&self, index: usize, stage: Stage, question: Question) -> Asked<Answer> {
        match self.request(index, stage, &Request::Ask { question })? {
            Reply::Answer { answer } => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Notes that a host failed.
    fn fall(&mut self, index: usize, stage: Stage, told: FailureReport) {
        let host = &mut self.hosts[index];
        let name = &host.spec.name;
        let log = self.logs.host(name).path().display().to_string();
        self.console.event_of(name, stage, &Event::HostFailed { error: told.clone(), log });
        host.failure.get_or_insert(Failure { stage, told });
    }

    /// Says which hosts failed, where and why, when any did.
    fn summary(&self, stopped: Option<&str>) -> anyhow::Result<()> {
        let fallen: Vec<_> = self.hosts.iter().filter_map(|host| Some((host, host.failure.as_ref()?))).collect();
        if fallen.is_empty() {
            return Ok(());
        }
        for (host, failure) in &fallen {
            let mut lines =
                vec![format!("{} failed in stage `{}`: {}", host.name(), failure.stage, failure.told.error)];
            lines.extend(failure.told.causes.iter().map(|cause| format!("  caused by: {cause}")));
            lines.extend(failure.told.hint.iter().map(|hint| format!("  do: {hint}")));
            lines.push(format!("  log: {}", self.logs.host(host.name()).path().display()));
            self.console.line(&lines.join("\n"));
        }
        let logs = self.logs.directory().display();
        self.console.line(&format!("what every host said is in {logs}"));
        let names: Vec<_> = fallen.iter().map(|(host, _)| host.name()).collect();
        let others = match stopped {
            Some(reason) => format!("; the others stopped, since {reason}"),
            None if fallen.len() == self.hosts.len() => String::new(),
            None => "; the others are done".to_owned(),
        };
        Err(anyhow!("{} of {} hosts failed: {}{others}", names.len(), self.hosts.len(), few(&names)))
            .hint("do what is said at each, and run the same command again: it goes on from there")
    }

    /// Takes kinstall off hosts that nothing was changed on.
    fn withdraw(&mut self) {
        let untouched = self.alive(FleetHost::is_new);
        let this: &Self = self;
        let results =
            gang::each(&untouched, self.parallel, |&index| this.request(index, Stage::Connect, &Request::Withdraw));
        for (index, result) in untouched.iter().zip(results) {
            if let Err(told) = result {
                tracing::warn!(host = %self.hosts[*index].name(), error = told.error, "kinstall stays on the host");
            }
        }
    }
}

/// Has the host look at itself; says also how far its clock is ahead of ours.
fn look_at(connection: &Connection, wanted: Wanted) -> Result<(Survey, f64), FailureReport> {
    match connection.converse(&Request::Survey(wanted), |_| Ok(()), &mut |_| ())? {
        Reply::Survey(survey) => {
            let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let there = std::time::Duration::from_millis(survey.clock_milliseconds);
            Ok((*survey, there.as_secs_f64() - here.as_secs_f64()))
        }
        Reply::Failed(told) => Err(told),
        other => Err(unexpected(&other)),
    }
}

/// What a host was asked for, or why it did not answer.
type Asked<T> = Result<T, FailureReport>;

/// An answer to another question.
fn astray() -> FailureReport {
    FailureReport { error: "the host answered another question than was asked".to_owned(), causes: vec![], hint: None }
}

/// A reply that answers another request.
fn unexpected(reply: &Reply) -> FailureReport {
    FailureReport {
        error: format!("the host answered with `{}` to another request", reply.kind()),
        causes: vec![],
        hint: None,
    }
}

/// Seconds since `started`.
fn seconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}
