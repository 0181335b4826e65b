//! Rules about known vulnerabilities.

use kbundle_advisories::{Finding, Severity};

use super::policy::{Advisories, Choice};
use super::{AdvisoriesEvidence, Breach, Checked, Evidence, Looked, Outcome, Policy, Rule};

/// The rules of the policy, in the order of reports.
pub fn check(policy: &Policy, evidence: &Evidence<'_>) -> Vec<Checked> {
    match (&policy.advisories, &evidence.advisories) {
        (None, _) => Vec::new(),
        (Some(rule), Some(advisories)) => vec![data(rule, advisories, evidence), flaws(rule, advisories)],
        (Some(rule), None) => vec![absent(rule, evidence)],
    }
}

fn absent(rule: &Advisories, evidence: &Evidence<'_>) -> Checked {
    let found = "none was given";
    let expected = "a file of advisories (`--advisories`)";
    if rule.required {
        return Checked::new(
            Rule::AdvisoriesData,
            expected,
            found,
            vec![Breach::of("advisories", evidence.of_list(), found)],
        );
    }
    Checked { outcome: Outcome::Skipped, ..Checked::new(Rule::AdvisoriesData, expected, found, Vec::new()) }
}

fn data(rule: &Advisories, advisories: &AdvisoriesEvidence, evidence: &Evidence<'_>) -> Checked {
    let looked = || vec![Looked { name: advisories.name.clone(), digest: advisories.digest }];
    let age = advisories.day.map(|day| day.days_until(evidence.today));
    let age_text = match (advisories.day, age) {
        (Some(day), Some(age)) => format!("data of {day}, {age} days old"),
        _ => "data of a day that is not known".to_owned(),
    };
    let mut breaches = Vec::new();
    let mut expected = vec!["a file of advisories".to_owned()];
    if let Some(most) = rule.max_age_days {
        expected.push(format!("at most {most} days old"));
        // Data from tomorrow is as doubtful as data from last year: one of the two dates is wrong.
        if age.is_none_or(|age| !(0..=i64::from(most)).contains(&age)) {
            breaches.push(Breach::of("age", looked(), age_text.clone()));
        }
    }
    if rule.data_for_every_ecosystem {
        expected.push("records for every ecosystem of the bundle's packages".to_owned());
        let findings = &advisories.findings;
        let missing = findings.compared.iter().filter(|(ecosystem, _)| !advisories.ecosystems.contains(ecosystem));
        breaches.extend(missing.map(|(ecosystem, packages)| {
            Breach::of(ecosystem, looked(), format!("no record, for {packages} packages"))
        }));
        breaches.extend(findings.uncompared.iter().map(|left| {
            Breach::of(
                &left.ecosystem,
                looked(),
                format!("{} packages are not compared: {}", left.packages, left.reason),
            )
        }));
    }
    Checked::new(Rule::AdvisoriesData, expected.join(", "), age_text, breaches)
}

fn flaws(rule: &Advisories, advisories: &AdvisoriesEvidence) -> Checked {
    let findings = &advisories.findings.findings;
    let is_taken = |severity: Option<Severity>| match severity {
        Some(severity) => severity <= rule.max_severity,
        None => rule.unknown_severity == Choice::Allow,
    };
    let open = findings.iter().filter(|finding| !finding.places.is_empty());
    let breaches = open.clone().filter(|finding| !is_taken(finding.severity)).map(flaw).collect();
    let excluded = findings.iter().filter(|finding| finding.places.is_empty()).count();
    let found = format!("{} advisories, {excluded} more that VEX takes out", open.count());
    let unknown = if rule.unknown_severity == Choice::Refuse { ", and none of unknown severity" } else { "" };
    let expected = format!("no advisory above {}{unknown}", rule.max_severity.as_str());
    Checked::new(Rule::Advisories, expected, found, breaches)
}

fn flaw(finding: &Finding) -> Breach {
    let severity = finding.severity.map_or("unknown severity", Severity::as_str);
    let fixed = match finding.fixed_in.as_slice() {
        [] => "no fix is known".to_owned(),
        versions => format!("fixed in {}", versions.join(", ")),
    };
    let found = format!("{} ({severity}, {fixed}): {}", finding.id, finding.summary);
    Breach {
        subject: format!("{} {}", finding.package, finding.version),
        evidence: finding.places.iter().cloned().map(Looked::from).collect(),
        found,
        items: finding.names.clone(),
        purl: Some(finding.purl.clone()),
    }
}
