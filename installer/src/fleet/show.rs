//! One display for all hosts: bars and lines for people, each host's events for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kbundle_cli::{output, progress};
use serde::Deserialize;
use serde_json::{Value, json};

use super::policy::Stage;
use crate::cli::OutputFormat;
use crate::preflight::Finding;
use crate::preflight::between::HostFinding;
use crate::report::{SCHEMA, print_json, print_text, waiting_for};

/// Of many hosts, how many are named.
const SHOWN: usize = 10;

/// See the module.
pub struct Display {
    output: OutputFormat,
    bars: MultiProgress,
    width: usize,
}

/// What a host tells, as far as it is shown to people. See [`Event`](crate::report::Event).
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Told {
    StepPlanned {
        step: String,
        title: String,
        reason: Option<String>,
    },
    StepStarted {
        step: String,
        title: String,
        number: usize,
        of: usize,
    },
    StepDetail {
        text: String,
    },
    StepDone {
        step: String,
        title: String,
        changed: bool,
        seconds: f64,
        number: usize,
        of: usize,
    },
    VerifyProgress {
        content_bytes: u64,
    },
    LockHeld {
        holder: String,
    },
    #[serde(other)]
    Other,
}

impl Display {
    /// Shows in `output`, for hosts with these names.
    pub fn new<'a>(output: OutputFormat, names: impl Iterator<Item = &'a str>) -> Self {
        let target = match output {
            OutputFormat::Text => progress::target(),
            OutputFormat::Json => ProgressDrawTarget::hidden(),
        };
        Self { output, bars: MultiProgress::with_draw_target(target), width: names.map(str::len).max().unwrap_or(0) }
    }

    /// Writes a line for people; programs do not get it.
    pub fn line(&self, text: &str) {
        if self.output == OutputFormat::Text {
            // The work goes on when nobody listens any more.
            self.bars.suspend(|| drop(output::note(text)));
        }
    }

    /// Writes what was asked for, and not how it came about.
    pub fn result(&self, text: &str) {
        if self.output == OutputFormat::Text {
            self.bars.suspend(|| drop(print_text(text)));
        }
    }

    /// Writes an event for programs; people do not get it.
    pub fn event(&self, event: &Value) {
        if self.output == OutputFormat::Json {
            drop(print_json(event));
        }
    }

    /// A stage begins.
    pub fn stage(&self, stage: Stage, hosts: usize) {
        self.line(&format!("{stage}: {hosts} {}", if hosts == 1 { "host" } else { "hosts" }));
        self.event(&json!({ "schema": SCHEMA, "event": "stage-started", "stage": stage, "hosts": hosts }));
    }

    /// What preflight found, on all hosts.
    pub fn findings(&self, findings: &[HostFinding]) {
        for found in findings {
            let mut event = json!({ "schema": SCHEMA, "event": "preflight" });
            event["host"] = json!(found.host);
            event["findings"] = json!([found.finding]);
            self.event(&event);
        }
        self.line(table(findings).trim_end());
    }

    /// Shows what one host does until it is dropped.
    #[must_use]
    pub fn watch<'a>(&'a self, host: &'a str, stage: Stage, total: Option<u64>) -> Watch<'a> {
        let bar = self.bars.add(ProgressBar::new(total.unwrap_or(0)));
        let template = match total {
            Some(_) => "{prefix} [{wide_bar}] {bytes} of {total_bytes}",
            None => "{spinner} {prefix} {wide_msg} {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(format!("{host:width$}", width = self.width));
        bar.set_message(stage.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        Watch { display: self, host, stage, bar }
    }
}

/// What one host does.
pub struct Watch<'a> {
    display: &'a Display,
    host: &'a str,
    stage: Stage,
    bar: ProgressBar,
}

impl Watch<'_> {
    /// Shows an event of the host's.
    pub fn told(&self, event: &Value) {
        if let (OutputFormat::Json, Value::Object(fields)) = (self.display.output, event) {
            let mut fields = fields.clone();
            fields.insert("host".to_owned(), json!(self.host));
            fields.insert("stage".to_owned(), json!(self.stage));
            self.display.event(&Value::Object(fields));
        }
        match Told::deserialize(event).unwrap_or(Told::Other) {
            Told::StepPlanned { step, title, reason } => {
                let reason = reason.map_or_else(|| "already so".to_owned(), |reason| format!("to do: {reason}"));
                self.display.result(&format!("{}  {step}: {title}\n    {reason}\n", self.host));
            }
            Told::StepStarted { step, title, number, of } => {
                self.bar.set_message(format!("[{number:2}/{of}] {step}: {title}"));
            }
            Told::StepDetail { text } => {
                let message = self.bar.message();
                let step = message.split(" · ").next().unwrap_or_default();
                self.bar.set_message(format!("{step} · {text}"));
            }
            Told::StepDone { step, title, changed: true, seconds, number, of } => {
                self.line(&format!("[{number:2}/{of}] {step}: {title} … done in {seconds:.1} s"));
            }
            Told::LockHeld { holder } => self.line(&waiting_for(&holder)),
            Told::VerifyProgress { content_bytes } => self.bar.set_position(content_bytes),
            Told::StepDone { changed: false, .. } | Told::Other => {}
        }
    }

    /// Writes a line about the host.
    pub fn line(&self, text: &str) {
        self.display.line(&format!("{:width$}  {text}", self.host, width = self.display.width));
    }

    /// Tells that the host has its part of the bundle.
    pub fn received(&self, bytes: u64, seconds: f64) {
        self.line(&format!("has its part of the bundle, {} in {seconds:.1} s", HumanBytes(bytes)));
        self.display.event(&json!({
            "schema": SCHEMA, "event": "bundle-sent", "host": self.host, "bytes": bytes, "seconds": seconds,
        }));
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.display.bars.remove(&self.bar);
    }
}

/// What someone should read, each finding once with the hosts that have it, the worst first.
#[must_use]
pub fn table(findings: &[HostFinding]) -> String {
    let mut rows: Vec<Vec<&HostFinding>> = Vec::new();
    let mut known = BTreeMap::new();
    for found in findings.iter().filter(|found| found.finding.is_notable()) {
        let finding = &found.finding;
        let row = *known.entry((finding.check, finding.verdict, &finding.advice)).or_insert_with(|| {
            rows.push(Vec::new());
            rows.len() - 1
        });
        rows[row].push(found);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row[0].finding.verdict));
    rows.iter().map(|row| describe(row)).collect()
}

/// The same finding of several hosts, which may differ in what was found.
fn describe(row: &[&HostFinding]) -> String {
    let first = &row[0].finding;
    if row.iter().all(|found| found.finding.found == first.found) {
        let hosts: Vec<_> = row.iter().map(|found| found.host.as_str()).collect();
        return format!("{first}\n         on: {}\n", few(&hosts));
    }
    let mut lines: Vec<_> =
        row.iter().take(SHOWN).map(|found| format!("         {}: {}\n", found.host, found.finding.found)).collect();
    if let more @ 1.. = row.len().saturating_sub(SHOWN) {
        lines.push(format!("         and on {more} more\n"));
    }
    let apart = Finding { found: format!("on {} hosts", row.len()), ..first.clone() };
    format!("{apart}\n{}", lines.concat())
}

/// The names of some hosts, for people.
#[must_use]
pub fn few(names: &[&str]) -> String {
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Verdict;

    #[test]
    fn a_finding_of_many_hosts_is_told_once_and_the_worst_first() {
        let found = |host: &str, check, verdict, found: &str| HostFinding {
            host: host.to_owned(),
            finding: Finding { check, verdict, found: found.to_owned(), wanted: "more", advice: String::new() },
        };
        let mut all: Vec<_> =
            (1..=12).map(|number| found(&format!("w{number}"), "programs", Verdict::Warn, "no socat")).collect();
        all.push(found("c1", "memory", Verdict::Pass, "8 GiB"));
        all.push(found("c1", "cpus", Verdict::Reject, "1"));
        all.push(found("w1", "clock", Verdict::Warn, "10:00"));
        all.push(found("w2", "clock", Verdict::Warn, "10:01"));
        insta::assert_snapshot!(table(&all), @"
        reject   cpus             1
                 required: more
                 on: c1
        warn     programs         no socat
                 required: more
                 on: w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 and 2 more
        warn     clock            on 2 hosts
                 required: more
                 w1: 10:00
                 w2: 10:01
        ");
    }
}
