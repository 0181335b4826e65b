use kbundle_format::key::Algorithm;
use kbundle_format::{Digest, SigningKey};

use super::super::tests::{host, traits, unreached};
use super::*;
use crate::host_audit::{Group, HostAuditRecord, auditor};

const HOSTILE: &str = "</td><script>alert('x')</script>";

fn moment() -> Moment {
    "2026-11-28T07:00:00Z".parse().unwrap()
}

/// A control plane that is as approved, a worker that is not, and a host that does not answer; `hostile` is in every place where a host
/// says something.
fn audit(hostile: &str) -> Audit {
    let findings =
        (0..40).map(|number| Finding::as_approved(Group::Programs, format!("/usr/local/bin/program-{number}")));
    let drifted = [
        Finding::drifted(Group::Programs, "/opt/cni/bin/bridge", "mode 0755, of root", format!("mode 0777 {hostile}")),
        Finding::drifted(
            Group::StaticPods,
            format!("/etc/kubernetes/manifests/x.yaml{hostile}"),
            "nothing",
            "a static pod",
        ),
        Finding::unknown(
            Group::Rights,
            "administrators of the cluster",
            format!("the API server does not say {hostile}"),
        ),
    ];
    let mut other = traits(&format!("6.12{hostile}"), &[Role::Worker]);
    other.shared_files.insert("/etc/containerd/config.toml".to_owned(), Digest::of(b"another"));
    Audit::of(
        format!("plant-7{hostile}"),
        vec![
            host("cp1", traits("6.1", &[Role::ControlPlane]), findings.clone().collect()),
            host("w1", traits("6.1", &[Role::Worker]), findings.clone().take(1).collect()),
            host("w2", other, drifted.into_iter().chain(findings).collect()),
            unreached("w3"),
        ],
    )
}

fn with_former(mut audit: Audit) -> Audit {
    let former = HostAuditRecord {
        auditor: auditor("1.0.0"),
        time: moment(),
        cluster: "plant-7".to_owned(),
        verdict: Overall::AsApproved,
        hosts: vec![host("w2", traits("6.1", &[Role::Worker]), vec![])],
        differences: vec![],
    };
    audit.since(Some(&(former, SigningKey::generate(Algorithm::Ed25519).unwrap().verifying_key().id())));
    audit
}

#[test]
fn the_page_has_the_verdict_of_each_host_and_what_was_expected_and_found() {
    let page = of(&audit(""), moment(), false);
    for part in [
        "The cluster is not as approved",
        "4: 2 as approved, 1 drifted, 1 unknown",
        "4 hosts</caption>",
        "connection timed out",
        "3 findings</caption>",
        "<td>mode 0755, of root</td><td>mode 0777 </td>",
        "<td>kernel</td>",
        "shown only",
        "/etc/containerd/config.toml",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("What is as approved") && !page.contains("What changed since"), "{page}");
}

#[test]
fn what_is_as_approved_is_listed_where_all_is_asked_for() {
    let page = of(&audit(""), moment(), true);
    assert!(page.contains("81 findings</caption>") && page.contains("/usr/local/bin/program-39"), "{page}");
}

#[test]
fn what_changed_since_a_record_is_a_table() {
    let page = of(&with_former(audit("")), moment(), false);
    assert!(page.contains("What changed since 2026-11-28T07:00:00Z"), "{page}");
    assert!(page.contains("<td>w2</td><td>kernel</td><td>6.1</td><td>6.12</td>"), "{page}");
    assert!(page.contains("<td>w3</td><td>host</td><td>not part of the audit</td><td>not reached</td>"), "{page}");
}

#[test]
fn one_host_is_not_compared_with_itself() {
    let page = of(&Audit::of("plant-7".into(), vec![host("w1", traits("6.1", &[]), vec![])]), moment(), false);
    assert!(page.contains("The host is not known to be as approved") && !page.contains("differ in"), "{page}");
}

#[test]
fn what_a_host_says_is_text() {
    let page = of(&with_former(audit(HOSTILE)), moment(), true);
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    assert!(page.matches("&lt;script&gt;").count() > 5, "{page}");
}

#[test]
#[ignore = "makes a page for a browser: ./ci/report-page"]
fn page_for_a_browser() {
    let folder = std::env::var("KBUNDLE_PAGES").expect("$KBUNDLE_PAGES: ./ci/report-page sets it");
    fs_err::write(format!("{folder}/kinstall.html"), of(&with_former(audit("")), moment(), true)).unwrap();
}
