//! The audit as one HTML page.

use kbundle_format::{Moment, Role};
use kbundle_page::{Page, Section, Table, Tone};
use maud::{Markup, html};

use super::{Audit, Counts, findings, word_of};
use crate::host_audit::{AuditedHost, Change, Difference, Finding, HostAudit, HostChanges, Overall, Since, Verdict};
use crate::version::version;

/// The page. `all` also lists what is as approved.
pub fn of(audit: &Audit, time: Moment, all: bool) -> String {
    let mut sections = vec![
        Section::new("hosts", "Hosts", hosts(&audit.hosts)),
        Section::new("findings", "What is not as approved", not_approved(&audit.hosts)),
    ];
    if audit.hosts.len() > 1 {
        sections.push(Section::new("differences", "What the hosts differ in", differences(&audit.differences)));
    }
    if let Some(since) = &audit.since {
        sections.push(Section::new("since", format!("What changed since {}", since.time), changes(since)));
    }
    if all {
        sections.push(Section::new("approved", "What is as approved", approved(&audit.hosts)));
    }
    let mut answer = audit.answer();
    answer[..1].make_ascii_uppercase();
    let page = Page {
        title: format!("Audit of hosts of {}", audit.cluster),
        answer: (tone(audit.verdict), answer),
        summary: summary(audit, time),
        sections,
    };
    page.html()
}

fn tone(verdict: Overall) -> Tone {
    match verdict {
        Overall::AsApproved => Tone::Good,
        Overall::Drifted => Tone::Bad,
        Overall::Unknown => Tone::Caution,
    }
}

fn summary(audit: &Audit, time: Moment) -> Markup {
    let drifted = audit.differences.iter().filter(|difference| difference.kind.is_drift()).count();
    html! {
        dl {
            dt { "Cluster" } dd { (audit.cluster) }
            dt { "Hosts" } dd { (audit.hosts.len()) ": " (Counts::of(audit.hosts.iter().map(|host| host.verdict))) }
            dt { "Findings" } dd {
                (Counts::of(audit.hosts.iter().flat_map(findings).map(|finding| word_of(&finding.verdict))))
            }
            @if audit.hosts.len() > 1 {
                dt { "Between hosts" } dd { (audit.differences.len()) " things differ, of which " (drifted) " count as drift" }
            }
            @if let Some(since) = &audit.since {
                dt { "Compared with" } dd { "the audit of " (since.time) ", whose record " code { (since.signer) } " signed" }
            }
            @if let Some(record) = &audit.record {
                dt { "Record" } dd { (record.file) ", signed by " code { (record.signer) } }
            }
            dt { "Time" } dd { (time) ", by the clock of the machine that made this page" }
            dt { "Made by" } dd { "kinstall " (version()) }
        }
    }
}

fn verdict(verdict: Overall) -> Markup {
    // Findings that need a look sort first.
    let order = match verdict {
        Overall::Drifted => 0,
        Overall::Unknown => 1,
        Overall::AsApproved => 2,
    };
    html! { td class={ "word " (tone(verdict).class()) } data-order=(order) { (verdict) } }
}

fn hosts(hosts: &[AuditedHost]) -> Markup {
    let row = |host: &AuditedHost| {
        html! {
            td { (host.host) }
            (verdict(host.verdict))
            @match &host.audit {
                Some(audit) => (audited(audit)),
                None => {
                    td { (host.failure.as_deref().unwrap_or("it was not audited")) }
                    @for _ in 0..5 { td { "-" } }
                }
            }
        }
    };
    let headings = ["Host", "Verdict", "Findings", "Roles", "Kubernetes", "System", "List of the bundle", "Signed by"];
    Table::new("hosts", headings).with(hosts.iter().map(row)).html()
}

fn audited(audit: &HostAudit) -> Markup {
    let roles: Vec<_> = audit.traits.roles.iter().map(|role: &Role| role.as_str()).collect();
    let signers: Vec<_> = audit.signers.iter().map(ToString::to_string).collect();
    html! {
        td { (Counts::of(audit.findings.iter().map(|finding| word_of(&finding.verdict)))) }
        td { (roles.join(", ")) }
        td { (audit.kubernetes_version) }
        td { (audit.traits.distribution) ", kernel " (audit.traits.kernel) ", " (audit.traits.platform) }
        td { code { (audit.list_digest) } }
        td { @if signers.is_empty() { "nobody" } @else { code { (signers.join(", ")) } } }
    }
}

/// Every finding with its host.
fn with_hosts(hosts: &[AuditedHost]) -> impl Iterator<Item = (&str, &Finding)> {
    hosts.iter().flat_map(|host| findings(host).map(move |finding| (host.host.as_str(), finding)))
}

fn not_approved(hosts: &[AuditedHost]) -> Markup {
    let row = |(host, finding): (&str, &Finding)| {
        let expected = match &finding.verdict {
            Verdict::Drifted { expected, .. } => expected.as_str(),
            Verdict::Unknown { .. } | Verdict::AsApproved => "-",
        };
        html! {
            td { (host) }
            (verdict(word_of(&finding.verdict)))
            td.word { (finding.group) }
            td { (finding.subject) }
            td { (expected) }
            td { (found(finding)) }
        }
    };
    let rows = with_hosts(hosts).filter(|(_, finding)| finding.verdict != Verdict::AsApproved).map(row);
    let headings = ["Host", "Verdict", "Group", "Subject", "Expected", "Found"];
    Table::new("findings", headings).with(rows).html()
}

fn approved(hosts: &[AuditedHost]) -> Markup {
    let approved = with_hosts(hosts).filter(|(_, finding)| finding.verdict == Verdict::AsApproved);
    let row = |(host, finding): (&str, &Finding)| html! { td { (host) } td.word { (finding.group) } td { (finding.subject) } };
    Table::new("findings", ["Host", "Group", "Subject"]).with(approved.map(row)).html()
}

/// One row for each value, so that a search for a host finds its value.
fn differences(differences: &[Difference]) -> Markup {
    let rows = differences.iter().flat_map(|difference| {
        let is_drift = difference.kind.is_drift();
        let tone = if is_drift { Tone::Bad } else { Tone::Plain };
        difference.values.iter().map(move |(value, hosts)| {
            html! {
                td { (difference.subject) }
                td class={ "word " (tone.class()) } { (if is_drift { "drifted" } else { "shown only" }) }
                td { (value) }
                td { (hosts.len()) }
                td { (hosts.join(", ")) }
            }
        })
    });
    Table::new("values", ["Subject", "Verdict", "Value", "Count", "Hosts"]).with(rows).html()
}

fn changes(since: &Since) -> Markup {
    let rows = since.hosts.iter().flat_map(|HostChanges { host, changes, appeared, gone }| {
        let of = |finding: &Finding| format!("{}, {}", finding.group, finding.subject);
        let mut rows: Vec<_> =
            changes.iter().map(|Change { subject, was, is }| changed(host, subject, was, is)).collect();
        rows.extend(appeared.iter().map(|finding| changed(host, &of(finding), "-", found(finding))));
        rows.extend(gone.iter().map(|finding| changed(host, &of(finding), found(finding), "-")));
        rows
    });
    Table::new("changes", ["Host", "Subject", "Was", "Is"]).with(rows).html()
}

fn found(finding: &Finding) -> &str {
    match &finding.verdict {
        Verdict::Drifted { found, .. } => found,
        Verdict::Unknown { reason } => reason,
        Verdict::AsApproved => "as approved",
    }
}

fn changed(host: &str, subject: &str, was: &str, is: &str) -> Markup {
    html! { td { (host) } td { (subject) } td { (was) } td { (is) } }
}

#[cfg(test)]
mod tests;
