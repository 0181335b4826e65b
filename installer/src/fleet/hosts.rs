//! The hosts of a fleet: connects to them, asks them, and keeps what became of each.
//!
//! A failure is recorded at the host that failed, so that the others continue.

use std::io;
use std::process::ChildStdin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use kbundle_cli::OutputFormat;
use time::OffsetDateTime;

use super::connection::{Connection, Encoded};
use super::contact::ContactError;
use super::host::{Failure, FleetHost, Reached};
use super::index::HostIndex;
use super::logs::Logs;
use super::password::Password;
use super::pool;
use super::program::Programs;
use super::text::few;
use super::transport::{Masters, Transport};
use crate::agent::questions::{Ask, RemoveKinstall, SurveyHost};
use crate::config::{ClusterSpec, HostSpec, Sudo};
use crate::failure::{Advise, FailureReport};
use crate::report::{Console, Event, Observer as _};
use crate::stage::Stage;

/// How to work on hosts: how many at the same time, with which password, and how progress is shown.
pub struct FleetOptions {
    /// Hosts that are worked on at the same time.
    pub parallel: usize,
    /// How progress and results are shown.
    pub output: OutputFormat,
    /// The password for `sudo`, if a host asks for one.
    pub password: Option<Password>,
}

/// Whether the user of any host needs a password to become root.
#[must_use]
pub fn needs_password(spec: &ClusterSpec) -> bool {
    spec.hosts.iter().any(|host| host.ssh.or(&spec.ssh).sudo == Some(Sudo::Password))
}

/// The hosts of a cluster.
pub struct Fleet<'a> {
    hosts: Vec<FleetHost<'a>>,
    /// The stage that is under way.
    stage: Stage,
    /// Where progress is shown.
    pub(super) console: Console,
    logs: Logs,
    pub(super) parallel: usize,
    /// Dropped last, so that connections end after everything else.
    masters: Arc<Masters>,
}

impl<'a> Fleet<'a> {
    /// Prepares work on `hosts`, which are hosts of `spec`. Connects to none yet.
    pub fn new(spec: &ClusterSpec, hosts: Vec<&'a HostSpec>, options: &FleetOptions) -> anyhow::Result<Self> {
        Ok(Self {
            console: Console::new(options.output, hosts.iter().map(|host| &host.name)),
            hosts: hosts.into_iter().map(FleetHost::new).collect(),
            stage: Stage::Connect,
            logs: Logs::begin(spec.name.as_str(), OffsetDateTime::now_utc())?,
            parallel: options.parallel,
            masters: Arc::new(Masters::new()?),
        })
    }

    /// The shared connections, to end them when the program is interrupted. They are not kept alive by this: they end with the fleet.
    #[must_use]
    pub fn masters(&self) -> Weak<Masters> {
        Arc::downgrade(&self.masters)
    }

    /// Connects to every host and surveys it. `survey` is the question for each.
    pub(super) fn connect(
        &mut self,
        spec: &ClusterSpec,
        password: Option<&Password>,
        survey: impl Fn(&HostSpec) -> SurveyHost + Sync,
    ) -> anyhow::Result<()> {
        let programs = Programs::find()?;
        let all = self.alive(|_| true);
        self.announce(all.len());
        let reached = self.on_each(&all, usize::MAX, |fleet, index| {
            let host = fleet.host(index).spec;
            let ssh = host.ssh.or(&spec.ssh);
            let transport = Transport::new(host, &ssh, &fleet.masters.socket(index));
            let log = fleet.logs.host(&host.name);
            let connection = Connection::connect(transport, ssh.sudo, password, &programs, log)?;
            Ok(reach(connection, survey(host))?)
        });
        for (index, reached) in reached {
            self.host_mut(index).reached = Some(reached);
        }
        Ok(())
    }

    /// One of the hosts.
    pub(super) fn host(&self, index: HostIndex) -> &FleetHost<'a> {
        &self.hosts[index.0]
    }

    /// One of the hosts, to record something at it.
    pub(super) fn host_mut(&mut self, index: HostIndex) -> &mut FleetHost<'a> {
        &mut self.hosts[index.0]
    }

    /// Every host, including those that failed.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (HostIndex, &FleetHost<'a>)> {
        self.hosts.iter().enumerate().map(|(number, host)| (HostIndex(number), host))
    }

    /// The first host that `which` picks, also among those that failed.
    pub(super) fn find(&self, which: impl Fn(&FleetHost<'a>) -> bool) -> Option<HostIndex> {
        self.hosts().find(|(_, host)| which(host)).map(|(index, _)| index)
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The hosts that have not failed and that `which` picks.
    pub(super) fn alive(&self, which: impl Fn(&FleetHost<'a>) -> bool) -> Vec<HostIndex> {
        self.hosts().filter(|(_, host)| host.is_alive() && which(host)).map(|(index, _)| index).collect()
    }

    /// The stage that is under way.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes hosts out that nothing is done on. Before any of them is referred to.
    pub(super) fn dismiss(&mut self, which: impl Fn(&FleetHost<'a>) -> bool) {
        self.hosts.retain(|host| !which(host));
    }

    /// Begins `stage`: all later events and failures belong to it.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Shows that the stage begins, and how many hosts have work in it.
    pub(super) fn announce(&self, hosts: usize) {
        self.console.event(&Event::StageStarted { stage: self.stage, hosts });
    }

    /// Does `work` on these hosts at the same time, and returns the results. Failures are recorded at their hosts.
    pub(super) fn on_each<T: Send>(
        &mut self,
        hosts: &[HostIndex],
        at_once: usize,
        work: impl Fn(&Self, HostIndex) -> Result<T, FailureReport> + Sync,
    ) -> Vec<(HostIndex, T)> {
        let this: &Self = self;
        let results = pool::each(hosts, at_once.min(self.parallel), |&index| work(this, index));
        let mut done = Vec::new();
        for (&index, result) in hosts.iter().zip(results) {
            match result {
                Ok(value) => done.push((index, value)),
                Err(failure) => self.fail(index, self.stage, failure),
            }
        }
        done
    }

    /// Asks a host, and shows its events. After a cut connection it asks once more: every question can be repeated, and the second question
    /// waits for a host that still works on the first.
    pub(super) fn ask<Q: Ask>(&self, index: HostIndex, question: Q) -> Result<Q::Answer, FailureReport> {
        let question = Encoded::of(question);
        let reporter = self.console.reporter(self.host(index).name(), self.stage);
        let connection = &self.host(index).reached().connection;
        let ask = || connection.ask(&question, |_| Ok(()), &mut |event| reporter.event(event));
        match ask() {
            Err(error) if error.is_cut() => {
                reporter.event(&Event::ConnectionCut { error: error.to_string() });
                Ok(ask()?)
            }
            answer => Ok(answer?),
        }
    }

    /// Sends a host the content that belongs to a question: `total` bytes, which `body` writes.
    pub(super) fn send<Q: Ask>(
        &self,
        index: HostIndex,
        question: Q,
        total: u64,
        body: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    ) -> Result<Q::Answer, FailureReport> {
        let reporter = self.console.reporter(self.host(index).name(), self.stage);
        reporter.show_bytes(total);
        let connection = &self.host(index).reached().connection;
        Ok(connection.ask(&Encoded::of(question), body, &mut |event| reporter.event(event))?)
    }

    /// Records that a host failed.
    pub(super) fn fail(&mut self, index: HostIndex, stage: Stage, report: FailureReport) {
        let host = &mut self.hosts[index.0];
        let log = self.logs.host(host.name()).path().display().to_string();
        self.console.event_of(host.name(), stage, &Event::HostFailed { error: report.clone(), log });
        host.failure.get_or_insert(Failure { stage, report });
    }

    /// Shows that the work is done, which began at `started`, and how much it changed.
    pub(super) fn report_end(&self, started: Instant) {
        let changed = self.hosts.iter().filter(|host| !host.changed.is_empty());
        let changed: Vec<_> = changed.map(|host| host.changed.len()).collect();
        self.console.event(&Event::Finished {
            changed_steps: changed.iter().sum(),
            changed_hosts: changed.len(),
            hosts: self.hosts.len(),
            seconds: started.elapsed().as_secs_f64(),
        });
    }

    /// Shows which hosts failed, where and why. `stopped` is the reason why the other hosts stopped, if they did.
    ///
    /// # Errors
    /// When any host failed.
    pub(super) fn summary(&self, stopped: Option<&str>) -> anyhow::Result<()> {
        let failed: Vec<_> = self.hosts.iter().filter_map(|host| Some((host, host.failure.as_ref()?))).collect();
        if failed.is_empty() {
            return Ok(());
        }
        for (host, failure) in &failed {
            self.console.line(&self.describe(host, failure));
        }
        self.console.line(&format!("the logs of all hosts are in {}", self.logs.directory().display()));
        let names: Vec<_> = failed.iter().map(|(host, _)| host.name()).collect();
        let others = match stopped {
            Some(reason) => format!("; the others stopped, since {reason}"),
            None if failed.len() == self.hosts.len() => String::new(),
            None => "; the others are done".to_owned(),
        };
        Err(anyhow!("{} of {} hosts failed: {}{others}", names.len(), self.hosts.len(), few(&names)))
            .hint("fix what each host reports, then run the same command again to resume")
    }

    fn describe(&self, host: &FleetHost<'_>, Failure { stage, report }: &Failure) -> String {
        let mut lines = vec![format!("{} failed in stage `{stage}`: {}", host.name(), report.error)];
        lines.extend(report.causes.iter().map(|cause| format!("  caused by: {cause}")));
        lines.extend(report.hint.iter().map(|hint| format!("  hint: {hint}")));
        lines.push(format!("  log: {}", self.logs.host(host.name()).path().display()));
        lines.join("\n")
    }

    /// Refuses to begin while a host is absent: it would keep other versions than the rest, and its member of etcd may be one failure too
    /// many.
    pub(super) fn refuse_absent(&self) -> anyhow::Result<()> {
        let absent = self.hosts().find_map(|(_, host)| Some((host, host.failure.as_ref()?)));
        let Some((host, failure)) = absent else { return Ok(()) };
        Err(anyhow!("{} cannot be reached: {}; nothing was changed", host.name(), failure.report.error)).refused().hint(
            format!("bring the host up first; or, if it will not come back: `kinstall remove {} --dead`", host.name()),
        )
    }

    /// Removes kinstall from the hosts that an earlier run has not changed.
    pub(super) fn withdraw(&mut self) {
        let untouched = self.alive(FleetHost::is_new);
        let results = pool::each(&untouched, self.parallel, |&index| self.ask(index, RemoveKinstall {}));
        for (&index, result) in untouched.iter().zip(results) {
            if let Err(failure) = result {
                tracing::warn!(host = %self.host(index).name(), error = failure.error, "cannot remove kinstall from the host");
            }
        }
    }
}

/// Surveys a host that kinstall has connected to.
fn reach(connection: Connection, question: SurveyHost) -> Result<Reached, ContactError> {
    let survey = connection.ask(&Encoded::of(question), |_| Ok(()), &mut |_| ())?;
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let there = Duration::from_millis(survey.clock_milliseconds);
    Ok(Reached { connection, survey, clock_offset_seconds: there.as_secs_f64() - here.as_secs_f64() })
}
