//! `--require-audit`: what is required before anything else is read or changed.

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::audit_record::{
    AppliedPolicy, AuditResult, BomSource, Looked, Outcome, Rule, Verdict, Waived, auditor,
};
use kbundle_format::{AuditRecord, Digest, Platform, SigningKey, key::Algorithm};

use crate::folder::{Folder, Said, Signature};

/// A folder with `good.tar.zst` and a record of its audit, made by `auditor`.
fn folder(outcome: Outcome) -> Folder {
    let folder = Folder::new();
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    fs::write(folder.path("auditor.pub"), key.verifying_key().to_pem()).unwrap();
    fs::write(folder.path("good.tar.zst.audit.json"), record(outcome).sign(&Folder::list_bytes(), &key)).unwrap();
    folder
}

fn record(outcome: Outcome) -> AuditRecord {
    let waived = (outcome == Outcome::Waived).then(|| Waived {
        name: "A. Officer".to_owned(),
        reason: "reviewed".to_owned(),
        until: "2027-01-31".parse().unwrap(),
    });
    let verdicts = vec![Verdict {
        rule: Rule::Pins,
        outcome,
        subject: "bin/kubelet".to_owned(),
        evidence: vec![Looked { name: "bin/kubelet".to_owned(), digest: Digest::of(b"kubelet") }],
        expected: "pinned by catalog".to_owned(),
        found: "trust-on-first-use".to_owned(),
        waiver: waived,
    }];
    AuditRecord {
        auditor: auditor("1.0.0"),
        time: "2026-11-28T07:00:00Z".parse().unwrap(),
        result: AuditResult::of(&verdicts),
        policy: AppliedPolicy { name: "strict".to_owned(), digest: Digest::of(b"strict"), rego: vec![] },
        signers: Vec::new(),
        packages_from: BomSource::MadeAgain,
        advisories: None,
        verdicts,
    }
}

fn verify(folder: &Folder, more: &[&str]) -> Said {
    let demand = ["verify", "good.tar.zst", "--key", "signing.pub", "--require-audit", "auditor.pub"];
    folder.kinstall(&[&demand[..], more].concat())
}

/// A dry run, which ends at the first refusal; this machine is not a host.
fn run(folder: &Folder, auditor: &str, more: &[&str]) -> Said {
    let demand = ["run", "good.tar.zst", "--dry-run", "--key", "signing.pub", "--require-audit", auditor];
    folder.kinstall(&[&demand[..], more].concat())
}

#[test]
fn a_record_that_says_passed_is_shown_with_its_waivers() {
    let said = verify(&folder(Outcome::Waived), &[]);
    assert_eq!(said.code, Some(0), "{said}");
    let audit = said.stdout.split_once("  audit").unwrap().1;
    assert_snapshot!(audit, @"
    passed by the policy strict at 2026-11-28T07:00:00Z, signed by DIGEST
           waived: pins of bin/kubelet, by A. Officer until 2027-01-31: reviewed
    ");
    let said = run(&folder(Outcome::Passed), "auditor.pub", &[]);
    assert!(said.stderr.contains("audit passed by the policy strict at 2026-11-28T07:00:00Z, signed by"), "{said}");
    assert!(said.stderr.contains("verified 3 entries"), "{said}");
}

#[test]
fn a_run_is_refused_before_the_content_is_read() {
    let folder = folder(Outcome::Refused);
    assert_snapshot!(run(&folder, "auditor.pub", &[]), @"
    exit code 3
    --- stdout
    --- stderr
    Kubernetes 1.25.2, signed by DIGEST
    error: the bundle was refused; nothing on this host was changed
      caused by: good.tar.zst.audit.json says that the policy strict refuses the bundle: pins of bin/kubelet, trust-on-first-use
    hint: use a bundle that passes, or have whoever answers for it waive the verdict and audit it again
    ");
    assert_snapshot!(run(&folder, "stranger.pub", &[]), @"
    exit code 3
    --- stdout
    --- stderr
    Kubernetes 1.25.2, signed by DIGEST
    error: the bundle was refused; nothing on this host was changed
      caused by: good.tar.zst.audit.json has no signature by a trusted key
    hint: check the key of `--require-audit` with whoever audits your bundles
    ");
    fs::remove_file(folder.path("good.tar.zst.audit.json")).unwrap();
    assert_snapshot!(run(&folder, "auditor.pub", &[]), @"
    exit code 3
    --- stdout
    --- stderr
    Kubernetes 1.25.2, signed by DIGEST
    error: the bundle was refused; nothing on this host was changed
      caused by: there is no record of an audit of the bundle: good.tar.zst.audit.json is not there
    hint: copy the record beside the bundle, or name it with `--audit-record FILE`
    ");
    let said =
        folder.kinstall(&["preflight", "good.tar.zst", "--key", "signing.pub", "--require-audit", "auditor.pub"]);
    assert_eq!((said.code, said.stderr.contains("there is no record of an audit")), (Some(3), true), "{said}");
}

#[test]
fn a_record_of_another_bundle_is_refused() {
    let folder = folder(Outcome::Passed);
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    fs::write(folder.path("auditor.pub"), key.verifying_key().to_pem()).unwrap();
    fs::write(folder.path("other.json"), record(Outcome::Passed).sign(b"another list", &key)).unwrap();
    assert_snapshot!(run(&folder, "auditor.pub", &["--audit-record", "other.json"]), @"
    exit code 3
    --- stdout
    --- stderr
    Kubernetes 1.25.2, signed by DIGEST
    error: the bundle was refused; nothing on this host was changed
      caused by: other.json is not about this bundle: its subject is DIGEST, the list is sha256:DIGEST
    hint: use the record that was made of this bundle, or have this bundle audited
    ");
}

#[test]
fn a_record_and_a_page_do_not_share_a_file() {
    let folder = folder(Outcome::Passed);
    fs::write(folder.path("auditor.key"), SigningKey::generate(Algorithm::Ed25519).unwrap().to_pem().unwrap()).unwrap();
    fs::write(folder.path("kept.json"), "kept").unwrap();
    let recorded = ["audit", "--key", "signing.pub", "--force", "--record", "kept.json", "--sign-key", "auditor.key"];
    for page in ["kept.json", "./kept.json"] {
        let said = folder.kinstall(&[&recorded[..], &["--report", page]].concat());
        assert_eq!(
            (said.code, said.stderr.contains("two outputs of the command have the name")),
            (Some(2), true),
            "{said}"
        );
        assert_eq!(fs::read_to_string(folder.path("kept.json")).unwrap(), "kept");
    }
}

#[test]
fn a_demand_that_cannot_be_met_is_wrong_use() {
    let folder = folder(Outcome::Passed);
    let said = folder.kinstall(&["preflight", "--require-audit", "auditor.pub"]);
    assert_eq!((said.code, said.stderr.contains("name the bundle as well")), (Some(2), true), "{said}");
    let said = folder.kinstall(&["verify", "-", "--key", "signing.pub", "--require-audit", "auditor.pub"]);
    assert_eq!((said.code, said.stderr.contains("`--audit-record FILE`")), (Some(2), true), "{said}");
    let said = folder.kinstall(&["run", "good.tar.zst", "--key", "signing.pub", "--audit-record", "a.json"]);
    assert_eq!((said.code, said.stderr.contains("--require-audit")), (Some(2), true), "{said}");
}
