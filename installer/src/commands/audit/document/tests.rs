use kbundle_format::{Digest, Platform, Role};

use super::*;
use crate::failure::FailureReport;
use crate::host_audit::HostTraits;

pub fn traits(kernel: &str, roles: &[Role]) -> HostTraits {
    HostTraits {
        node: "w1".into(),
        roles: roles.iter().copied().collect(),
        platform: "linux/amd64".parse::<Platform>().unwrap(),
        distribution: "Debian 12".into(),
        kernel: kernel.into(),
        machine_id: None,
        kernel_settings: [("kernel.panic".to_owned(), "10".to_owned())].into(),
        shared_files: [("/etc/containerd/config.toml".to_owned(), Digest::of(b"configuration"))].into(),
    }
}

pub fn host(name: &str, traits: HostTraits, findings: Vec<Finding>) -> AuditedHost {
    let audit = HostAudit {
        kubernetes_version: "1.36.3".into(),
        list_digest: Digest::of(b"list"),
        signers: vec![],
        traits,
        findings,
    };
    AuditedHost::of(name.to_owned(), Ok(audit))
}

pub fn unreached(name: &str) -> AuditedHost {
    let report = FailureReport::from(&anyhow::anyhow!("connection timed out").context("cannot connect to 192.0.2.3"));
    AuditedHost::of(name.to_owned(), Err(report))
}

fn approved() -> Vec<Finding> {
    vec![Finding::as_approved(Group::Programs, "/usr/local/bin/kubelet")]
}

fn text(audit: &Audit) -> String {
    audit
        .text(false)
        .replace(&Digest::of(b"list").to_string(), "LIST")
        .replace(&Digest::of(b"other").to_string(), "OTHER")
}

#[test]
fn people_see_what_is_not_as_approved() {
    let findings = vec![
        Finding::as_approved(Group::Programs, "/usr/local/bin/kubelet"),
        Finding::drifted(Group::Programs, "/opt/cni/bin/bridge", "x", "y"),
        Finding::unknown(Group::Rights, "administrators of the cluster", "the API server does not say"),
    ];
    let audit = Audit::of("plant-7".into(), vec![host("w1", traits("6.1", &[Role::Worker]), findings)]);
    insta::assert_snapshot!(text(&audit), @"
    cluster plant-7
    w1: drifted, Kubernetes 1.36.3
      compared with the bundle with list LIST, signed by nobody
      programs: 1 as approved, 1 drifted
        drifted: /opt/cni/bin/bridge
          expected: x
          found: y
      rights: 1 unknown
        unknown: administrators of the cluster: the API server does not say
    the host is not as approved: 1 as approved, 1 drifted, 1 unknown
    ");
    assert!(audit.text(true).contains("    as approved: /usr/local/bin/kubelet\n"));
}

#[test]
fn a_host_that_does_not_answer_is_unknown_and_so_is_the_cluster() {
    let hosts = vec![host("c1", traits("6.1", &[Role::ControlPlane]), approved()), unreached("w1")];
    let audit = Audit::of("plant-7".into(), hosts);
    assert_eq!(audit.verdict, Overall::Unknown);
    let text = text(&audit);
    assert!(text.contains("w1: unknown: cannot connect to 192.0.2.3: connection timed out\n"), "{text}");
    assert!(
        text.ends_with("the cluster is not known to be as approved: of the hosts, 1 as approved, 1 unknown\n"),
        "{text}"
    );
    assert_eq!(Audit::of("plant-7".into(), vec![]).verdict, Overall::Unknown);
}

#[test]
fn a_kernel_that_differs_is_told_and_is_no_drift() {
    let hosts = [("w1", "6.1"), ("w2", "6.1"), ("w3", "6.2")];
    let audit = Audit::of(
        "plant-7".into(),
        hosts.map(|(name, kernel)| host(name, traits(kernel, &[Role::Worker]), approved())).into(),
    );
    assert_eq!(audit.verdict, Overall::AsApproved);
    assert!(text(&audit).contains("the hosts differ\n  kernel\n    6.1: w1, w2\n    6.2: w3\n"), "{}", text(&audit));
}

#[test]
fn a_file_that_differs_among_hosts_of_one_role_is_a_drift() {
    let of = |name: &str, role, content: Option<&[u8]>| {
        let mut traits = traits("6.1", &[role]);
        traits.shared_files.extend(content.map(|content| ("/etc/sysctl.d/a.conf".to_owned(), Digest::of(content))));
        host(name, traits, approved())
    };
    let worker = |name, content| of(name, Role::Worker, content);
    let alike = vec![of("c1", Role::ControlPlane, Some(b"other")), worker("w1", None), worker("w2", None)];
    assert_eq!(Audit::of("plant-7".into(), alike).verdict, Overall::AsApproved);
    let audit = Audit::of("plant-7".into(), vec![worker("w1", None), worker("w2", Some(b"other"))]);
    assert_eq!(audit.verdict, Overall::Drifted);
    let text = text(&audit);
    assert!(text.contains("  drifted: /etc/sysctl.d/a.conf\n    nothing: w1\n    OTHER: w2\n"), "{text}");
}
