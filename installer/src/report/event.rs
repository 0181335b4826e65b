//! What a long command reports while it works.

use indicatif::HumanBytes;
use kbundle_commands::required_audit::PassedAudit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::changes;
use crate::config::DnsName;
use crate::config::change::Change;
use crate::cost::Cost;
use crate::failure::FailureReport;
use crate::preflight::Finding;
use crate::stage::Stage;
use crate::step_progress::StepProgress;
use crate::upgrade::outline::Outline;

/// Something that happened: on this host, on one of many, or to all of them.
///
/// A host writes it, and the kinstall that leads reads it; `--output json` prints the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The bundle's signatures are good; its content is verified next.
    Opened {
        /// The Kubernetes release.
        kubernetes_version: String,
        /// Key ids of the trusted keys that signed.
        signers: Vec<String>,
        /// Content to verify.
        content_bytes: u64,
    },
    /// The audit that was demanded.
    AuditPassed(PassedAudit),
    /// How far verification is.
    VerifyProgress {
        /// Content verified so far.
        content_bytes: u64,
    },
    /// Every entry is present and has the digest that was signed.
    Verified {
        /// How many.
        entries: usize,
        /// Their content.
        content_bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// The results of preflight checks.
    Preflight {
        /// One for each check.
        findings: Vec<Finding>,
    },
    /// What the installation costs this host.
    Cost(Cost),
    /// In what cluster.yaml differs from what the cluster stands by, and what the run makes of it.
    SettingsDiffer {
        /// One for each setting.
        changes: Vec<Change>,
    },
    /// What an upgrade is about to do.
    Outlined(Outline),
    /// In which order hosts are upgraded.
    OrderPlanned {
        /// Members of etcd, one after another.
        etcd: Vec<DnsName>,
        /// Hosts that serve the cluster, one after another.
        servers: Vec<DnsName>,
        /// Hosts that only run pods.
        workers: Vec<DnsName>,
        /// How many of the workers are upgraded at the same time.
        max_unavailable: usize,
    },
    /// A step of a dry run.
    StepPlanned {
        /// The step's id.
        step: String,
        /// What it does.
        title: String,
        /// Why it is needed; absent where nothing is to be done.
        reason: Option<String>,
    },
    /// A step that has something to do begins.
    StepStarted {
        /// The step's id.
        step: String,
        /// What it does.
        title: String,
        /// Why it is needed.
        reason: String,
        /// Its place in the plan, from 1.
        number: usize,
        /// Steps in the plan.
        of: usize,
    },
    /// What a step is doing now.
    StepDetail {
        /// For people.
        text: String,
    },
    /// Something that a step found and that people should know afterwards.
    StepRemark {
        /// For people.
        text: String,
    },
    /// A step is complete; it may have been so before.
    StepDone {
        /// The step's id.
        step: String,
        /// What it does.
        title: String,
        /// Whether it changed anything.
        changed: bool,
        /// How long it took.
        seconds: f64,
        /// Its place in the plan, from 1.
        number: usize,
        /// Steps in the plan.
        of: usize,
    },
    /// The host waits for another kinstall that changes it.
    LockHeld {
        /// Which, for people.
        holder: String,
    },
    /// The host listens on the ports that it was asked to open.
    Listening,
    /// A stage begins on many hosts.
    StageStarted {
        /// The stage.
        stage: Stage,
        /// How many hosts have something to do in it.
        hosts: usize,
    },
    /// A host has received and verified its part of the bundle.
    BundleSent {
        /// The size of that part as it was sent.
        bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// The connection to a host was lost; kinstall connects once more.
    ConnectionCut {
        /// What `ssh` said.
        error: String,
    },
    /// Work on a host ended with a failure.
    HostFailed {
        /// What failed, and why.
        error: FailureReport,
        /// The file with everything that the host said.
        log: String,
    },
    /// Everything that kinstall changed on the host is undone.
    HostReset,
    /// kinstall has not changed the host, so that there is nothing to undo.
    NothingToReset,
    /// The host is no longer part of the cluster.
    HostRemoved {
        /// Its name in cluster.yaml.
        name: DnsName,
    },
    /// The command has done its work.
    Finished {
        /// How many steps changed something, on all hosts together.
        changed_steps: usize,
        /// On how many hosts.
        changed_hosts: usize,
        /// How many hosts there are.
        hosts: usize,
        /// How long the whole took.
        seconds: f64,
    },
}

/// Receives events.
pub trait Observer: StepProgress {
    /// Receives an event.
    fn event(&self, event: &Event);
}

/// Which of many hosts an event is about, and in which stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// The host.
    pub host: DnsName,
    /// The stage.
    pub stage: Stage,
}

impl Event {
    /// The line or lines for people; `None` if only a progress bar shows the event. `source` is the host, if there are several.
    pub(super) fn text(&self, source: Option<&Source>) -> Option<String> {
        Some(match self {
            Self::Opened { kubernetes_version, signers, .. } => {
                format!("Kubernetes {kubernetes_version}, signed by {}", signers.join(" and "))
            }
            Self::AuditPassed(audit) => format!("audit {audit}"),
            Self::Verified { entries, content_bytes, seconds } => {
                format!("verified {entries} entries, {}, in {seconds:.1} s", HumanBytes(*content_bytes))
            }
            Self::Preflight { findings } => {
                let notable: Vec<_> =
                    findings.iter().filter(|finding| finding.is_notable()).map(ToString::to_string).collect();
                return (!notable.is_empty()).then(|| notable.join("\n"));
            }
            Self::Cost(cost) => cost.to_string(),
            Self::SettingsDiffer { changes } => changes::text(changes),
            Self::Outlined(outline) => outline.to_string(),
            Self::OrderPlanned { etcd, servers, workers, max_unavailable } => {
                order(etcd, servers, workers, *max_unavailable)
            }
            Self::StepDone { step, title, changed: true, seconds, number, of } => {
                format!("[{number:2}/{of}] {step}: {title} … done in {seconds:.1} s")
            }
            // With many hosts, only changes get a line.
            Self::StepDone { step, title, changed: false, number, of, .. } if source.is_none() => {
                format!("[{number:2}/{of}] {step}: {title} … unchanged")
            }
            Self::LockHeld { holder } => format!("waiting for another kinstall that changes this host: {holder}"),
            Self::StageStarted { stage, hosts } => {
                format!("{stage}: {hosts} {}", if *hosts == 1 { "host" } else { "hosts" })
            }
            Self::BundleSent { bytes, seconds } => {
                format!("received its part of the bundle, {} in {seconds:.1} s", HumanBytes(*bytes))
            }
            Self::StepRemark { text } => format!("note: {text}"),
            Self::ConnectionCut { error } => format!("{error}; connecting once more"),
            Self::HostFailed { error, .. } => {
                let stage = source.map(|source| format!("{} ", source.stage)).unwrap_or_default();
                let cause = error.causes.last().map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{stage}failed: {}{cause}", error.error)
            }
            Self::HostReset if source.is_none() => "this host is what it was before kinstall".to_owned(),
            Self::HostReset => "reset: everything that kinstall changed is undone".to_owned(),
            Self::NothingToReset => "nothing to do: kinstall has not changed this host".to_owned(),
            Self::HostRemoved { name } => format!(
                "{name} is no longer part of the cluster. Remove it from cluster.yaml and run `kinstall run` again, so that the \
                 other hosts forget it as well."
            ),
            Self::Finished { changed_steps, changed_hosts, hosts, seconds } => {
                finished(*changed_steps, *changed_hosts, *hosts, *seconds)
            }
            Self::VerifyProgress { .. }
            | Self::StepPlanned { .. }
            | Self::StepStarted { .. }
            | Self::StepDetail { .. }
            | Self::StepDone { .. }
            | Self::Listening => return None,
        })
    }
}

/// The order in which hosts have their turn.
fn order(etcd: &[DnsName], servers: &[DnsName], workers: &[DnsName], max_unavailable: usize) -> String {
    let at_most = match max_unavailable {
        1 => "one after another".to_owned(),
        most => format!("at most {most} at a time"),
    };
    let rows = [
        ("etcd", etcd, "one after another"),
        ("control planes", servers, "one after another"),
        ("workers", workers, &at_most),
    ];
    let row = |(what, hosts, how): (&str, &[DnsName], &str)| {
        let names: Vec<_> = hosts.iter().map(DnsName::as_str).collect();
        (!names.is_empty()).then(|| format!("\n  {what}, {how}: {}", names.join(", ")))
    };
    format!("order:{}", rows.into_iter().filter_map(row).collect::<String>())
}

fn finished(changed_steps: usize, changed_hosts: usize, hosts: usize, seconds: f64) -> String {
    let on = |count: usize| if hosts == 1 { String::new() } else { format!(" on {count} hosts") };
    match changed_steps {
        0 => format!("nothing to do{}; checked in {seconds:.1} s", on(hosts)),
        _ => format!("finished: {changed_steps} steps changed something{}, {seconds:.1} s in all", on(changed_hosts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step_done(changed: bool) -> Event {
        let (step, title) = ("swap".to_owned(), "switch swap off".to_owned());
        Event::StepDone { step, title, changed, seconds: 0.25, number: 1, of: 18 }
    }

    fn source() -> Source {
        Source { host: "h2".parse().unwrap(), stage: Stage::FirstControlPlane }
    }

    /// The form that programs rely on, and that another host can read.
    #[test]
    fn events_are_read_as_they_were_written() {
        let error = FailureReport { error: "failed".into(), causes: vec!["no space left".into()], hint: None };
        let finding = Finding {
            check: "memory".parse().unwrap(),
            verdict: crate::preflight::Verdict::Warn,
            found: "1 GiB".into(),
            wanted: "2 GiB".into(),
            advice: String::new(),
        };
        let events = [
            (
                step_done(true),
                r#"{"event":"step-done","step":"swap","title":"switch swap off","changed":true,"seconds":0.25,"number":1,"of":18}"#,
            ),
            (Event::VerifyProgress { content_bytes: 7 }, r#"{"event":"verify-progress","contentBytes":7}"#),
            (Event::Listening, r#"{"event":"listening"}"#),
            (
                Event::StageStarted { stage: Stage::ControlPlanes, hosts: 2 },
                r#"{"event":"stage-started","stage":"control-planes","hosts":2}"#,
            ),
            (
                Event::HostFailed { error, log: "h1.log".into() },
                r#"{"event":"host-failed","error":{"error":"failed","causes":["no space left"],"hint":null},"log":"h1.log"}"#,
            ),
            (
                Event::Preflight { findings: vec![finding] },
                r#"{"event":"preflight","findings":[{"check":"memory","verdict":"warn","found":"1 GiB","wanted":"2 GiB","advice":""}]}"#,
            ),
        ];
        for (event, text) in events {
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
            assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
        }
    }

    #[test]
    fn a_step_without_a_change_is_a_line_on_a_single_host_alone() {
        assert_eq!(step_done(false).text(None).unwrap(), "[ 1/18] swap: switch swap off … unchanged");
        assert_eq!(step_done(false).text(Some(&source())), None);
        assert_eq!(step_done(true).text(Some(&source())).unwrap(), "[ 1/18] swap: switch swap off … done in 0.2 s");
    }

    #[test]
    fn a_failure_says_in_which_stage_and_the_last_cause() {
        let error = FailureReport { error: "step 2 failed".into(), causes: vec!["a".into(), "b".into()], hint: None };
        let event = Event::HostFailed { error, log: String::new() };
        assert_eq!(event.text(Some(&source())).unwrap(), "first control plane failed: step 2 failed: b");
    }

    #[test]
    fn the_end_counts_hosts_where_there_are_several() {
        assert_eq!(finished(0, 0, 1, 1.0), "nothing to do; checked in 1.0 s");
        assert_eq!(finished(0, 0, 5, 1.0), "nothing to do on 5 hosts; checked in 1.0 s");
        assert_eq!(finished(17, 3, 5, 1.0), "finished: 17 steps changed something on 3 hosts, 1.0 s in all");
    }
}
