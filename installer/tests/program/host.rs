//! Runs the program on the machine of the tests, which it leaves unchanged.

use std::path::Path;

use kbundle_format::Platform;
use serde_json::Value;

use crate::folder::{Folder, Signature};

/// Files that must not appear.
fn records() -> bool {
    Path::new("/var/lib/kinstall").exists()
}

#[test]
fn preflight_says_for_programs_what_it_says_for_people() {
    let folder = Folder::new();
    let json = folder.kinstall(&["preflight", "--output", "json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(value["schema"], 1);
    assert!(value["facts"]["memory"]["totalBytes"].as_u64().unwrap() > 1 << 28, "{}", value["facts"]["memory"]);
    let hostname = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(value["facts"]["hostname"], hostname.trim());
    let findings = value["findings"].as_array().unwrap();
    let rejects = findings.iter().filter(|finding| finding["verdict"] == "reject").count();
    assert_eq!(json.code, Some(if rejects == 0 { 0 } else { 3 }), "{json}");

    let text = folder.kinstall(&["preflight"]);
    assert_eq!(text.code, json.code);
    for finding in findings {
        let (verdict, check) = (finding["verdict"].as_str().unwrap(), finding["check"].as_str().unwrap());
        assert!(text.stdout.contains(&format!("{verdict:8} {check}")), "{verdict} {check} in {text}");
    }
}

#[test]
fn what_is_ignored_no_longer_stops() {
    let folder = Folder::new();
    let first: Value = serde_json::from_str(&folder.kinstall(&["preflight", "--output", "json"]).stdout).unwrap();
    let rejected = first["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] == "reject");
    let flags = rejected.flat_map(|finding| ["--ignore", finding["check"].as_str().unwrap()]);
    let again = folder.kinstall(&["preflight"].into_iter().chain(flags).collect::<Vec<_>>());
    assert_eq!(again.code, Some(0), "{again}");
}

#[test]
fn a_bundle_without_a_cluster_in_it_makes_no_plan_and_no_change() {
    let before = records();
    let folder = Folder::new();
    folder.bundle("small.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let first: Value = serde_json::from_str(&folder.kinstall(&["preflight", "--output", "json"]).stdout).unwrap();
    let checks = first["findings"].as_array().unwrap().iter();
    let flags = checks.flat_map(|finding| ["--ignore", finding["check"].as_str().unwrap()]);
    let run = ["run", "small.tar.zst", "--key", "signing.pub", "--dry-run"];
    let said = folder.kinstall(&run.into_iter().chain(flags).collect::<Vec<_>>());
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said}");
    let error = said.stderr.lines().skip_while(|line| !line.starts_with("error")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(error, @"
    error: no plan could be made; nothing was changed
      caused by: the bundle has no containerd, cni-plugins, crictl, etcd, kubeadm for this host's platform
    ");
    assert_eq!(records(), before);
}

#[test]
fn status_of_a_host_that_was_not_set_up_is_not_well() {
    assert!(!records(), "kinstall has set up this host; the test wants one that it has not");
    let folder = Folder::new();
    insta::assert_snapshot!(folder.kinstall(&["status"]), @"
    exit code 1
    --- stdout
    kinstall has not set up this host
    --- stderr
    ");
    let json = folder.kinstall(&["status", "--output", "json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &value["healthy"], &value["installed"]), (Some(1), &Value::Bool(false), &Value::Null));
}

#[test]
fn certificates_of_a_host_that_was_not_set_up_are_refused() {
    assert!(!records(), "kinstall has set up this host; the test wants one that it has not");
    let folder = Folder::new();
    let list = folder.kinstall(&["certs", "list", "--output", "json"]);
    let value: Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!((list.code, &value["error"]["kind"]), (Some(3), &Value::from("refused")), "{list}");
    for command in [
        &["certs", "renew", "--all"][..],
        &["certs", "add-san", "k8s.example"],
        &["certs", "approve"],
        &["kubeconfig"],
        &["user", "list"],
    ] {
        assert_eq!(folder.kinstall(command).code, Some(3), "{command:?}");
    }
    for wrong in [
        &["certs", "renew"][..],
        &["certs", "renew", "--all", "apiserver"],
        &["certs", "renew", "ca"],
        &["certs", "add-san"],
        &["certs", "add-san", "no name"],
        &["kubeconfig", "--group", "developers"],
        &["kubeconfig", "--user", "system:admin"],
    ] {
        assert_eq!(folder.kinstall(wrong).code, Some(2), "{wrong:?}");
    }
    assert!(!records());
}
