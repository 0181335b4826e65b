//! `kinstall audit` for the hosts of cluster.yaml: the questions to them, and the use of their answers.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer, audit, failed, set_up};
use super::{SERVER, WORKER};

fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, WORKER, WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    stubs
}

fn audited(stubs: &Stubs, more: &[&str]) -> Said {
    let arguments = ["audit", "cluster.tar.zst", "--key", "signing.pub", "--config", "cluster.yaml"];
    stubs.kinstall(&[&arguments, more].concat(), &[])
}

fn with(finding: Value) -> Value {
    let mut audit = audit();
    audit["findings"].as_array_mut().unwrap().push(finding);
    audit
}

#[test]
fn every_host_is_asked_and_nothing_else() {
    let stubs = cluster();
    let said = audited(&stubs, &["--deep"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!([1, 2, 3].map(|number| stubs.requests(number)), ["survey audit"; 3]);
    let asked = |number| {
        let told = fs_err::read_to_string(stubs.host(number, "told")).unwrap();
        serde_json::from_str::<Value>(told.lines().last().unwrap()).unwrap()
    };
    assert_eq!(asked(2)["depth"], "content");
    assert!(asked(2)["list"].as_str().unwrap().starts_with("sha256:"));
    let hosts = |number| asked(number)["spec"]["hosts"].as_array().unwrap().len();
    assert_eq!([hosts(1), hosts(2)], [3, 2], "a worker is told nothing of other workers");
}

#[test]
fn a_drift_on_one_host_is_told_under_its_name() {
    let stubs = cluster();
    let drift = json!({"group": "files", "subject": "/etc/a", "verdict": "drifted", "expected": "x", "found": "y"});
    stubs.set(2, "reply-audit", &answer(&with(drift)));
    let said = audited(&stubs, &[]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_snapshot!(said.stdout.replace(&digest, "DIGEST"), @"
    cluster kubernetes
    h1: as approved, Kubernetes 1.25.2
      compared with the bundle with list DIGEST, signed by nobody
      programs: 1 as approved
    h2: drifted, Kubernetes 1.25.2
      compared with the bundle with list DIGEST, signed by nobody
      programs: 1 as approved
      files: 1 drifted
        drifted: /etc/a
          expected: x
          found: y
    h3: as approved, Kubernetes 1.25.2
      compared with the bundle with list DIGEST, signed by nobody
      programs: 1 as approved
    the cluster is not as approved: of the hosts, 2 as approved, 1 drifted
    ");
}

#[test]
fn a_host_that_cannot_be_reached_or_refuses_is_unknown() {
    let stubs = cluster();
    stubs.set(3, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(3, "code", "255");
    let refused = json!({"error": "the upgrade of this host is not finished", "causes": [], "hint": null});
    stubs.set(2, "reply-audit", &failed(&refused));
    let said = audited(&stubs, &["--output", "json"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["verdict"], "unknown");
    let verdicts: Vec<_> = document["hosts"].as_array().unwrap().iter().map(|host| host["verdict"].clone()).collect();
    assert_eq!(verdicts, ["as-approved", "unknown", "unknown"]);
    assert_eq!(document["hosts"][1]["failure"], "the upgrade of this host is not finished");
    assert!(document["hosts"][2]["failure"].as_str().unwrap().contains("timed out"));

    // Drift counts more than unknown.
    let drift = json!({"group": "files", "subject": "/etc/a", "verdict": "drifted", "expected": "x", "found": "y"});
    stubs.set(1, "reply-audit", &answer(&with(drift)));
    assert_eq!(audited(&stubs, &[]).code, Some(4));
}

#[test]
fn hosts_are_compared_with_each_other() {
    let stubs = cluster();
    let mut other = audit();
    other["traits"]["kernel"] = json!("6.1.0-20-amd64");
    stubs.set(2, "reply-audit", &answer(&other));
    let said = audited(&stubs, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let differ = "the hosts differ\n  kernel\n    6.1.0-18-amd64: h1, h3\n    6.1.0-20-amd64: h2\n";
    assert!(said.stdout.contains(differ), "{}", said.stdout);
    other["traits"]["sharedFiles"] = json!({"/etc/sysctl.d/a.conf": format!("sha256:{}", "1".repeat(64))});
    stubs.set(2, "reply-audit", &answer(&other));
    let said = audited(&stubs, &["--output", "json"]);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let found = (said.code, &document["verdict"], &document["differences"][1]["subject"]);
    assert_eq!(found, (Some(4), &json!("drifted"), &json!("/etc/sysctl.d/a.conf")), "{document:#}");
}

#[test]
fn a_record_is_signed_and_a_later_audit_shows_what_changed() {
    use kbundle_format::SigningKey;
    use kbundle_format::key::Algorithm;

    let stubs = cluster();
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    fs_err::write(stubs.path("auditor.key"), key.to_pem().unwrap().as_bytes()).unwrap();
    fs_err::write(stubs.path("auditor.pub"), key.verifying_key().to_pem()).unwrap();
    let record = ["--record", "first.json", "--sign-key", "auditor.key"];
    let said = audited(&stubs, &record);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("recorded in first.json, signed by "), "{}", said.stdout);
    assert_eq!(audited(&stubs, &record).code, Some(3), "a record is not replaced");

    let since = ["--since", "first.json", "--record-key", "auditor.pub"];
    assert!(audited(&stubs, &since).stdout.contains("  nothing changed\n"));
    let drift = json!({"group": "files", "subject": "/etc/a", "verdict": "drifted", "expected": "x", "found": "y"});
    let mut changed = with(drift);
    changed["traits"]["kernel"] = json!("6.1.0-20-amd64");
    stubs.set(2, "reply-audit", &answer(&changed));
    let said = audited(&stubs, &since);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let told = "  h2\n    kernel: was 6.1.0-18-amd64, is 6.1.0-20-amd64\n    new: files, /etc/a: y\n";
    assert!(said.stdout.contains(told), "{}", said.stdout);

    // Whoever signs bundles did not sign it.
    let said = audited(&stubs, &["--since", "first.json", "--record-key", "signing.pub"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("first.json has no signature by a trusted key"), "{}", said.stderr);
}

#[test]
fn the_page_is_written_whatever_the_audit_finds_and_is_not_replaced() {
    let stubs = cluster();
    stubs.set(3, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(3, "code", "255");
    let drift = json!({"group": "files", "subject": "/etc/a", "verdict": "drifted", "expected": "x", "found": "<y>"});
    stubs.set(2, "reply-audit", &answer(&with(drift)));
    let said = audited(&stubs, &["--report", "audit.html", "--output", "json"]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["page"], "audit.html");
    let page = fs_err::read_to_string(stubs.path("audit.html")).unwrap();
    for part in ["The cluster is not as approved", "<td>x</td><td>&lt;y&gt;</td>", "timed out", "1 as approved"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("What is as approved"), "{page}");

    let asked = stubs.requests(1);
    let said = audited(&stubs, &["--report", "audit.html", "--all"]);
    assert_eq!((said.code, stubs.requests(1)), (Some(3), asked), "{}", said.stderr);
    assert!(said.stderr.contains("audit.html"), "{}", said.stderr);
    assert_eq!(fs_err::read_to_string(stubs.path("audit.html")).unwrap(), page);
    let said = audited(&stubs, &["--report", "audit.html", "--all", "--force"]);
    assert!(said.stdout.ends_with("the page is in audit.html\n"), "{}", said.stdout);
    assert!(fs_err::read_to_string(stubs.path("audit.html")).unwrap().contains("What is as approved"));
    let said = audited(&stubs, &["--report", "-"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn there_is_no_record_of_an_audit_of_nothing() {
    let stubs = cluster();
    let refused = json!({"error": "the upgrade of this host is not finished", "causes": [], "hint": null});
    for number in [1, 2, 3] {
        stubs.set(number, "reply-audit", &failed(&refused));
    }
    fs_err::write(
        stubs.path("auditor.key"),
        kbundle_format::SigningKey::generate(kbundle_format::key::Algorithm::Ed25519)
            .unwrap()
            .to_pem()
            .unwrap()
            .as_bytes(),
    )
    .unwrap();
    let said = audited(&stubs, &["--record", "first.json", "--sign-key", "auditor.key"]);
    assert_eq!((said.code, stubs.path("first.json").exists()), (Some(1), false), "{}", said.stderr);
    assert!(said.stderr.contains("no host was audited; the record was not written"), "{}", said.stderr);
}
