//! Whether the hosts can carry the cluster: each by itself, and all together. Nothing is changed.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow};
use kbundle_format::Role;

use super::lead::Leader;
use super::show::few;
use super::visit::Visit;
use super::{FleetHost, Stage};
use crate::cost::cost;
use crate::facts::{HostFacts, Installation};
use crate::failure::Advise;
use crate::inputs::{Inputs, OwnedInputs};
use crate::plan::{Phase, PlanError, plan};
use crate::preflight::between::{self, HostFinding, Visited};
use crate::preflight::{Subject, examine};
use crate::topology::Topology;

impl Visit<'_> {
    /// Examines every host that was reached, and refuses when anything is found that no cluster comes of.
    pub(super) fn examine(&mut self) -> anyhow::Result<()> {
        let alive = self.fleet.alive(|_| true);
        self.fleet.display.stage(Stage::Preflight, alive.len());
        let mut findings = Vec::new();
        for &index in &alive {
            let host = &self.fleet.hosts[index];
            let (spec, facts) = (self.shares.of(host.spec), facts(host));
            let topology = Topology::of(&spec, host.name())?;
            let subject = Subject { spec: &spec, facts, topology: Some(&topology), kubernetes: self.kubernetes };
            let own = examine(&subject, self.ignored);
            findings.extend(own.into_iter().map(|finding| HostFinding { host: host.name().to_owned(), finding }));
        }
        let visited: Vec<_> = alive
            .iter()
            .map(|&index| {
                let host = &self.fleet.hosts[index];
                let clock_offset_seconds = host.clock_offset_seconds;
                Visited { name: host.name(), address: host.spec.address, facts: facts(host), clock_offset_seconds }
            })
            .collect();
        findings.extend(between::examine(&visited, self.ignored));
        let etcd: Vec<_> = self.fleet.hosts.iter().filter(|host| host.has(Role::Etcd)).map(FleetHost::name).collect();
        findings.extend(between::etcd_members(&etcd, self.standing.etcd, self.ignored));
        findings.extend(self.reach());
        findings.extend(self.try_balancer());
        findings.extend(self.try_virtual_address());
        self.fleet.display.findings(&findings);
        refuse_rejected(&findings)
    }
}

impl Leader<'_> {
    /// Plans what every host does, and looks whether it fits. Fills in which phases concern which host.
    pub(super) fn plan(&mut self) -> anyhow::Result<()> {
        let mut shortages = Vec::new();
        for index in self.visit.fleet.alive(|_| true) {
            let kept_bytes = self.parts.for_host(self.visit.fleet.hosts[index].spec).size_bytes();
            let (phases, lacks) = self.with_inputs(index, |inputs| {
                let plan = plan(inputs)?;
                let lacks = cost(inputs, plan.steps.len(), kept_bytes).shortages();
                Ok((plan.steps.iter().map(|planned| planned.phase).collect(), lacks))
            })?;
            let host = &self.visit.fleet.hosts[index];
            // Part of the cost of a host that was begun is paid already, and how much of it cannot be told.
            if facts(host).installation == Installation::None && !lacks.is_empty() {
                shortages.push(format!("on {}: {}", host.name(), lacks.join("; ")));
            }
            self.phases[index] = phases;
        }
        if shortages.is_empty() {
            return Ok(());
        }
        Err(anyhow!("it does not fit:\n{}", shortages.join("\n")))
            .refused()
            .hint("make room, or mount a larger file system at one of the directories named")
    }

    fn with_inputs<T>(
        &self,
        index: usize,
        look: impl FnOnce(&Inputs<'_>) -> Result<T, PlanError>,
    ) -> anyhow::Result<T> {
        let host = &self.visit.fleet.hosts[index];
        let spec = self.visit.shares.of(host.spec);
        let gathered = OwnedInputs::about(Cow::Owned(spec), host.name(), facts(host), self.orders.bundle.list())?;
        look(&gathered.inputs()).with_context(|| format!("no plan could be made for {}", host.name())).refused()
    }

    /// Prints what would be done, on every host.
    pub(super) fn dry_run(&mut self) -> anyhow::Result<()> {
        for index in self.visit.fleet.alive(|_| true) {
            let host = &self.visit.fleet.hosts[index];
            if host.survey.as_ref().is_some_and(|survey| survey.holds_bundle) && !host.is_new() {
                let request = crate::agent::protocol::Request::Look(Box::new(self.work(index)));
                if let Err(told) = self.visit.fleet.request(index, Stage::Preflight, &request) {
                    self.visit.fleet.fall(index, Stage::Preflight, told);
                }
                continue;
            }
            let watch = self.visit.fleet.display.watch(host.name(), Stage::Preflight, None);
            for planned in &self.with_inputs(index, plan)?.steps {
                watch.told(&serde_json::json!({
                    "schema": crate::report::SCHEMA, "event": "step-planned", "step": planned.step.id(),
                    "title": planned.title, "reason": "the host was not begun with",
                }));
            }
        }
        Ok(())
    }

    /// Whether a phase has anything to do with a host.
    pub(super) fn concerns(&self, index: usize, phase: Phase) -> bool {
        self.phases[index].contains(&phase)
    }
}

/// One refusal for all that rejects.
fn refuse_rejected(findings: &[HostFinding]) -> anyhow::Result<()> {
    let rejected = between::rejections(findings);
    if rejected.is_empty() {
        return Ok(());
    }
    let unique = |names: Vec<&str>| {
        let mut seen = std::collections::BTreeSet::new();
        names.into_iter().filter(|name| seen.insert(*name)).map(str::to_owned).collect::<Vec<_>>()
    };
    let hosts = unique(rejected.iter().map(|found| found.host.as_str()).collect());
    let checks = unique(rejected.iter().map(|found| found.finding.check).collect());
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let flags: Vec<_> = checks.iter().map(|check| format!("--ignore {check}")).collect();
    Err(anyhow!("no cluster comes of these hosts as they are: {} on {}", checks.join(", "), few(&hosts)))
        .refused()
        .hint(format!("do what is said at each; if you know better, add `{}`", flags.join(" ")))
}

/// What a host that was reached is.
fn facts<'a>(host: &'a FleetHost<'_>) -> &'a HostFacts {
    &host.survey.as_ref().expect("a host that was reached was looked at").facts
}
