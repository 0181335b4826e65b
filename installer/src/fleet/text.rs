//! Writes findings and names of many hosts for people.

use std::collections::BTreeMap;

use crate::config::DnsName;
use crate::preflight::Finding;
use crate::preflight::between::HostFinding;

/// How many hosts are named before the rest is only counted.
const SHOWN: usize = 10;

/// The findings that someone should read: each finding once, with its hosts, the worst first.
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

/// One finding of several hosts, whose details may differ.
fn describe(row: &[&HostFinding]) -> String {
    let first = &row[0].finding;
    if row.iter().all(|found| found.finding.found == first.found) {
        let hosts: Vec<_> = row.iter().map(|found| &found.host).collect();
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

/// The names of some hosts, for people; of many, only the first ones.
#[must_use]
pub fn few(names: &[&DnsName]) -> String {
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Verdict;

    #[test]
    fn a_finding_on_many_hosts_is_shown_once_and_the_worst_first() {
        let found = |host: &str, check: &str, verdict, found: &str| HostFinding {
            host: host.parse().unwrap(),
            finding: Finding {
                check: check.parse().unwrap(),
                verdict,
                found: found.to_owned(),
                wanted: "more".into(),
                advice: String::new(),
            },
        };
        let mut all: Vec<_> =
            (1..=12).map(|number| found(&format!("w{number}"), "programs", Verdict::Warn, "no socat")).collect();
        all.push(found("c1", "memory", Verdict::Pass, "8 GiB"));
        all.push(found("c1", "cpus", Verdict::Reject, "1"));
        all.push(found("w1", "clocks", Verdict::Warn, "10:00"));
        all.push(found("w2", "clocks", Verdict::Warn, "10:01"));
        insta::assert_snapshot!(table(&all), @"
        reject   cpus             1
                 required: more
                 on: c1
        warn     programs         no socat
                 required: more
                 on: w1, w2, w3, w4, w5, w6, w7, w8, w9, w10 and 2 more
        warn     clocks           on 2 hosts
                 required: more
                 w1: 10:00
                 w2: 10:01
        ");
    }
}
