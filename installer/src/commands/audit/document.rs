//! What `kinstall audit` prints.

mod page;

use std::fmt::{self, Write as _};

use anyhow::anyhow;
use kbundle_commands::recording::{Recorded, Recording};
use kbundle_commands::small_file::SmallFile;
use kbundle_format::{KeyId, Moment};
use schemars::JsonSchema;
use serde::Serialize;

use crate::failure::Advise;
use crate::host_audit::{
    AuditedHost, Change, Difference, Finding, Group, HostAudit, HostAuditRecord, HostChanges, Overall, Since, Verdict,
    auditor, between,
};
use crate::report::SCHEMA;
use crate::version::version;

/// The result for programs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    schema: u32,
    /// All hosts, and what they differ in, in one word.
    pub verdict: Overall,
    /// The name of the cluster.
    cluster: String,
    /// The hosts, by name.
    hosts: Vec<AuditedHost>,
    /// What hosts are not alike in.
    differences: Vec<Difference>,
    /// What changed since an earlier audit; absent where no record of one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
    /// The signed record that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Recorded>,
    /// The page that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

impl Audit {
    /// The audit of these hosts of a cluster, which are compared with each other.
    pub fn of(cluster: String, hosts: Vec<AuditedHost>) -> Self {
        let audited: Vec<_> =
            hosts.iter().filter_map(|host| Some((host.host.as_str(), host.audit.as_ref()?))).collect();
        let differences = between(&audited);
        let verdict = overall(&hosts, &differences);
        Self { schema: SCHEMA, verdict, cluster, hosts, differences, since: None, record: None, page: None }
    }

    /// Compares the audit with an earlier one, if there is one.
    pub fn since(&mut self, former: Option<&(HostAuditRecord, KeyId)>) {
        self.since = former.map(|(record, signer)| Since::of(record, *signer, &self.hosts));
    }

    /// Writes the signed record of the audit.
    ///
    /// # Errors
    /// Also when no host was audited: a record names the bundles that hosts were compared with.
    pub fn keep(&mut self, recording: Recording) -> anyhow::Result<()> {
        if self.hosts.iter().all(|host| host.audit.is_none()) {
            return Err(anyhow!("no host was audited; the record was not written"))
                .hint("`--output json` without `--record` has the reason of each host");
        }
        let record = HostAuditRecord {
            auditor: auditor(version()),
            time: Moment::now(),
            cluster: self.cluster.clone(),
            verdict: self.verdict,
            hosts: self.hosts.clone(),
            differences: self.differences.clone(),
        };
        self.record = Some(recording.write(|key| record.sign(key))?);
        Ok(())
    }

    /// Writes the audit as a page. `all` also lists what is as approved.
    pub fn write_page(&mut self, file: SmallFile, all: bool) -> anyhow::Result<()> {
        let name = file.name().to_owned();
        file.write(page::of(self, Moment::now(), all).as_bytes())?;
        self.page = Some(name);
        Ok(())
    }

    /// The audit for people. `all` also lists what is as approved.
    pub fn text(&self, all: bool) -> String {
        let mut text = format!("cluster {}\n", self.cluster);
        self.hosts.iter().for_each(|host| text.push_str(&host_text(host, all)));
        if !self.differences.is_empty() {
            text.push_str("the hosts differ\n");
            self.differences.iter().for_each(|difference| text.push_str(&difference_text(difference)));
        }
        text.push_str(&self.since.as_ref().map(since_text).unwrap_or_default());
        let counts = if self.hosts.len() == 1 {
            Counts::of(self.hosts.iter().flat_map(findings).map(|finding| word_of(&finding.verdict)))
        } else {
            Counts::of(self.hosts.iter().map(|host| host.verdict))
        };
        let of_hosts = if self.hosts.len() == 1 { "" } else { "of the hosts, " };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}: {of_hosts}{counts}", self.answer());
        if let Some(Recorded { file, signer }) = &self.record {
            let _ = writeln!(text, "recorded in {file}, signed by {signer}");
        }
        if let Some(page) = &self.page {
            let _ = writeln!(text, "the page is in {page}");
        }
        text
    }

    /// The verdict in a sentence.
    fn answer(&self) -> String {
        let subject = if self.hosts.len() == 1 { "the host" } else { "the cluster" };
        format!("{subject} is {}", word(self.verdict))
    }
}

/// Drift counts more than an unknown host. An unknown host is never taken for approved.
fn overall(hosts: &[AuditedHost], differences: &[Difference]) -> Overall {
    let any = |verdict| hosts.iter().any(|host| host.verdict == verdict);
    if any(Overall::Drifted) || differences.iter().any(|difference| difference.kind.is_drift()) {
        Overall::Drifted
    } else if hosts.is_empty() || any(Overall::Unknown) {
        Overall::Unknown
    } else {
        Overall::AsApproved
    }
}

fn findings(host: &AuditedHost) -> impl Iterator<Item = &Finding> {
    host.audit.iter().flat_map(|audit| &audit.findings)
}

fn host_text(AuditedHost { host, verdict, audit, failure }: &AuditedHost, all: bool) -> String {
    let Some(audit) = audit else {
        return format!("{host}: unknown: {}\n", failure.as_deref().unwrap_or("it was not audited"));
    };
    let HostAudit { kubernetes_version, list_digest, signers, findings, .. } = audit;
    let mut text = format!("{host}: {verdict}, Kubernetes {kubernetes_version}\n");
    let signers = match signers.as_slice() {
        [] => "nobody".to_owned(),
        signers => signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    };
    let _ = writeln!(text, "  compared with the bundle with list {list_digest}, signed by {signers}");
    for group in Group::ALL {
        let of_group: Vec<_> = findings.iter().filter(|finding| finding.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        let count = Counts::of(of_group.iter().map(|finding| word_of(&finding.verdict)));
        let _ = writeln!(text, "  {group}: {count}");
        let shown = of_group.into_iter().filter(|finding| all || finding.verdict != Verdict::AsApproved);
        shown.for_each(|finding| text.push_str(&line(finding)));
    }
    text
}

fn line(Finding { subject, verdict, .. }: &Finding) -> String {
    match verdict {
        Verdict::AsApproved => format!("    as approved: {subject}\n"),
        Verdict::Drifted { expected, found } => {
            format!("    drifted: {subject}\n      expected: {expected}\n      found: {found}\n")
        }
        Verdict::Unknown { reason } => format!("    unknown: {subject}: {reason}\n"),
    }
}

fn difference_text(Difference { kind, subject, values }: &Difference) -> String {
    let drifted = if kind.is_drift() { "drifted: " } else { "" };
    let value = |(value, hosts): (&String, &Vec<String>)| format!("    {value}: {}\n", hosts.join(", "));
    format!("  {drifted}{subject}\n{}", values.iter().map(value).collect::<String>())
}

fn since_text(Since { time, signer, hosts }: &Since) -> String {
    let mut text = format!("since the audit of {time}, whose record {signer} signed\n");
    if hosts.is_empty() {
        text.push_str("  nothing changed\n");
    }
    for HostChanges { host, changes, appeared, gone } in hosts {
        let _ = writeln!(text, "  {host}");
        for Change { subject, was, is } in changes {
            let _ = writeln!(text, "    {subject}: was {was}, is {is}");
        }
        for (word, findings) in [("new", appeared), ("gone", gone)] {
            for Finding { group, subject, verdict } in findings {
                let found = match verdict {
                    Verdict::Drifted { found, .. } => found,
                    Verdict::Unknown { reason } => reason,
                    Verdict::AsApproved => continue,
                };
                let _ = writeln!(text, "    {word}: {group}, {subject}: {found}");
            }
        }
    }
    text
}

fn word(verdict: Overall) -> &'static str {
    match verdict {
        Overall::AsApproved => "as approved",
        Overall::Drifted => "not as approved",
        Overall::Unknown => "not known to be as approved",
    }
}

fn word_of(verdict: &Verdict) -> Overall {
    match verdict {
        Verdict::AsApproved => Overall::AsApproved,
        Verdict::Drifted { .. } => Overall::Drifted,
        Verdict::Unknown { .. } => Overall::Unknown,
    }
}

/// The number of findings by verdict.
#[derive(Default)]
struct Counts {
    approved: usize,
    drifted: usize,
    unknown: usize,
}

impl Counts {
    fn of(verdicts: impl Iterator<Item = Overall>) -> Self {
        verdicts.fold(Self::default(), |mut counts, verdict| {
            *match verdict {
                Overall::AsApproved => &mut counts.approved,
                Overall::Drifted => &mut counts.drifted,
                Overall::Unknown => &mut counts.unknown,
            } += 1;
            counts
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.approved, "as approved"), (self.drifted, "drifted"), (self.unknown, "unknown")];
        let said = counts.into_iter().filter(|(count, _)| *count > 0);
        f.write_str(&said.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
