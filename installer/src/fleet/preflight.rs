//! Checks before anything is changed: whether each host, and all hosts together, are fit for the cluster, and what would be done on each.

use std::borrow::Cow;
use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use kbundle_cluster::needs::Mismatch;
use kbundle_format::Role;

use super::index::HostIndex;
use super::lead::Leader;
use super::reach::Firewalls;
use super::session::Session;
use super::text::{few, table};
use crate::agent::questions::PreviewPlan;
use crate::cost::cost;
use crate::facts::Installation;
use crate::failure::Advise;
use crate::inputs::{Inputs, OwnedInputs};
use crate::preflight::between::{self, HostFinding, Visited};
use crate::preflight::{self, Subject, examine};
use crate::report::{Event, Observer as _};
use crate::stage::Stage;
use crate::topology::Topology;

impl Session<'_> {
    /// Checks every host that was reached.
    ///
    /// # Errors
    /// When a check rejects a host.
    pub fn examine(&mut self) -> anyhow::Result<()> {
        let alive = self.fleet.alive(|_| true);
        self.fleet.enter(Stage::Preflight);
        self.fleet.announce(alive.len());
        let mut findings = Vec::new();
        for &index in &alive {
            let host = self.fleet.host(index);
            let (spec, facts) = (self.shares.of(host.spec), host.facts());
            let topology = Topology::of(&spec, host.name().as_str())?;
            let (kubernetes, brought) = (self.kubernetes, self.brought.as_ref());
            let subject = Subject { spec: &spec, facts, topology: Some(&topology), kubernetes, brought };
            let own = examine(&subject, self.ignored);
            findings.extend(own.into_iter().map(|finding| HostFinding { host: host.name().clone(), finding }));
        }
        let visited: Vec<_> = alive
            .iter()
            .map(|&index| {
                let host = self.fleet.host(index);
                let clock_offset_seconds = host.reached().clock_offset_seconds;
                Visited { name: host.name(), address: host.spec.address, facts: host.facts(), clock_offset_seconds }
            })
            .collect();
        findings.extend(between::examine(&visited, self.ignored));
        let etcd = self.fleet.hosts().filter(|(_, host)| host.has(Role::Etcd));
        let etcd: Vec<_> = etcd.map(|(_, host)| host.name()).collect();
        findings.extend(between::etcd_members(&etcd, self.completed.etcd, self.ignored));
        findings.extend(self.check_reach(Firewalls::Untouched));
        findings.extend(self.check_balancer());
        findings.extend(self.check_virtual_address());
        self.show(&findings);
        refuse_rejected(&findings)
    }

    /// Programs get every finding of every host; people get the findings that matter, in one table.
    fn show(&self, findings: &[HostFinding]) {
        for HostFinding { host, finding } in findings {
            let event = Event::Preflight { findings: vec![finding.clone()] };
            self.fleet.console.event_for_programs(host, Stage::Preflight, &event);
        }
        let table = table(findings);
        if !table.is_empty() {
            self.fleet.console.line(table.trim_end());
        }
    }
}

impl Leader<'_> {
    /// Plans the work of every host, and checks that it fits. Records at each host the phases in which it has work.
    pub(super) fn plan(&mut self) -> anyhow::Result<()> {
        let mut shortages = Vec::new();
        for index in self.alive(|_| true) {
            let kept_bytes = self.parts.for_host(self.host(index).spec).size_bytes();
            let kept_bytes = kept_bytes + self.snapshot_bytes(index);
            let (phases, lacks) = self.with_inputs(index, |inputs| {
                let plan = self.plan_of(index, inputs)?;
                let lacks = cost(inputs, plan.steps.len(), kept_bytes).shortages();
                Ok((plan.steps.iter().map(|planned| planned.phase).collect(), lacks))
            })?;
            let host = self.host(index);
            // On a host where an installation began, part of the room is in use already; how much is unknown.
            if host.facts().installation == Installation::None && !lacks.is_empty() {
                shortages.push(format!("on {}: {}", host.name(), lacks.join("; ")));
            }
            self.session.fleet.host_mut(index).phases = phases;
        }
        if shortages.is_empty() {
            return Ok(());
        }
        Err(anyhow!("there is not enough room:\n{}", shortages.join("\n")))
            .refused()
            .hint("make room, or mount a larger file system at one of the directories named")
    }

    fn with_inputs<T>(
        &self,
        index: HostIndex,
        look: impl FnOnce(&Inputs<'_>) -> Result<T, Mismatch>,
    ) -> anyhow::Result<T> {
        let host = self.host(index);
        let (spec, list) = (self.session.shares.of(host.spec), self.request.bundle.list());
        let gathered = OwnedInputs::about(Cow::Owned(spec), host.name().as_str(), host.facts(), list)?;
        look(&gathered.inputs()).with_context(|| format!("no plan could be made for {}", host.name())).refused()
    }

    /// Shows what would be done on every host.
    pub(super) fn dry_run(&mut self) -> anyhow::Result<()> {
        for index in self.alive(|_| true) {
            let host = self.host(index);
            if host.surveyed(|survey| survey.holds_bundle) && !host.is_new() {
                if let Err(report) = self.ask(index, PreviewPlan { work: self.work_of(index) }) {
                    self.fail(index, Stage::Preflight, report);
                }
                continue;
            }
            let plan = self.with_inputs(index, |inputs| self.plan_of(index, inputs))?;
            let reporter = self.session.fleet.console.reporter(host.name(), Stage::Preflight);
            for planned in &plan.steps {
                reporter.event(&Event::StepPlanned {
                    step: planned.step.id().to_owned(),
                    title: planned.title.clone(),
                    reason: Some("nothing is installed on the host yet".to_owned()),
                });
            }
        }
        Ok(())
    }
}

/// One refusal for all hosts and checks that reject.
fn refuse_rejected(findings: &[HostFinding]) -> anyhow::Result<()> {
    let rejected = between::rejections(findings);
    if rejected.is_empty() {
        return Ok(());
    }
    let hosts = distinct(rejected.iter().map(|found| &found.host));
    let ids = distinct(rejected.iter().map(|found| found.finding.check));
    let checks: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let what = if checks.len() == 1 { "check" } else { "checks" };
    Err(anyhow!("{} failed the {what} {}; nothing was changed", few(&hosts), checks.join(", ")))
        .refused()
        .hint(preflight::hint(ids))
}

/// Each item once, in the order of its first occurrence.
fn distinct<T: Copy + Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}
