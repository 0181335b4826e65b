//! The findings of preflight on hosts of each distribution, hardened by the guides. Their facts are written from documentation: see
//! [`fixture`].

use super::{Finding, Subject, Verdict, examine};
use crate::config::ClusterSpec;
use crate::{distributions, fixture};

#[test]
fn hardened_hosts_of_each_distribution_are_told_what_to_do_there() {
    let told = |name: &str| {
        let facts = fixture::of_distribution(name);
        let subject =
            Subject { spec: &ClusterSpec::default(), facts: &facts, topology: None, kubernetes: None, brought: None };
        let findings = examine(&subject, &[]).into_iter().filter(Finding::is_notable);
        let lines = findings.map(|finding| {
            format!("{} {:?}: {}\n  do: {}", finding.check, finding.verdict, finding.found, finding.advice)
        });
        format!("{name}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
    };
    insta::assert_snapshot!(fixture::distributions().iter().map(|name| told(name)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn each_distribution_of_the_fixtures_is_known_by_itself() {
    for name in fixture::distributions() {
        assert_eq!(distributions::of(&fixture::of_distribution(&name).os).unwrap().name, name);
    }
}

/// With the user's consent, nothing that kinstall can prepare leads to a rejection.
#[test]
fn consent_lifts_what_kinstall_makes_fit() {
    let spec = ClusterSpec::default().with_hosts_prepared();
    for name in fixture::distributions() {
        let facts = fixture::of_distribution(&name);
        let subject = Subject { spec: &spec, facts: &facts, topology: None, kubernetes: None, brought: None };
        for finding in examine(&subject, &[]) {
            let is_made_fit = ["firewall", "boot-settings", "network-managers"].contains(&finding.check.0);
            assert!(!is_made_fit || finding.verdict == Verdict::Pass, "{name}: {finding}");
        }
    }
}
