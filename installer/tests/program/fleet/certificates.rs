//! `kinstall certs` for the hosts of cluster.yaml: the questions to each host and their order, and refusals.

use insta::assert_snapshot;
use kbundle_format::Role;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, answer, failed, set_up};
use super::{SERVER, WORKER};

fn cluster() -> Stubs {
    let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
    set_up(&stubs, &[1, 2, 3, 4]);
    stubs
}

fn certs(stubs: &Stubs, arguments: &[&str]) -> Said {
    stubs.kinstall(&[&["certs"], arguments, &["--config", "cluster.yaml"]].concat(), &[])
}

fn unreachable(stubs: &Stubs, number: usize) {
    stubs.set(number, "says", "ssh: connect to host: Connection timed out\n");
    stubs.set(number, "code", "255");
}

fn requests(stubs: &Stubs) -> [String; 4] {
    [1, 2, 3, 4].map(|number| stubs.requests(number))
}

/// A certificate that a host reports.
fn report(name: &str, state: &str) -> Value {
    json!({
        "name": name, "path": format!("/etc/kubernetes/pki/{name}.crt"), "state": state, "problem": "it ends in 9 days",
        "subject": "CN=kube-apiserver", "names": ["kubernetes", "192.0.2.2"], "issuer": "CN=kubernetes", "serial": "1a",
        "notAfter": "2026-12-06T10:00:00Z", "daysLeft": 9, "authority": "/etc/kubernetes/pki/ca.crt", "verified": true,
        "renewedBy": "kinstall"
    })
}

#[test]
fn every_host_is_asked_and_what_is_wrong_decides_the_exit_code() {
    let stubs = cluster();
    let said = certs(&stubs, &["list"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey certificates"; 4]);

    stubs.set(1, "reply-certificates", &answer(&json!([report("apiserver", "expiring")])));
    unreachable(&stubs, 3);
    let said = certs(&stubs, &["list"]);
    assert_eq!(said.code, Some(1));
    assert_snapshot!(said.stdout, @"
    h1
      apiserver  expiring      9 d  /etc/kubernetes/pki/apiserver.crt
                 it ends in 9 days (authority: /etc/kubernetes/pki/ca.crt)
                 CN=kube-apiserver, until 2026-12-06T10:00:00Z, signed by CN=kubernetes
                 names: kubernetes, 192.0.2.2
    h2
    h3
      unknown: cannot connect to 192.0.2.4: ssh: connect to host: Connection timed out
    h4
    0 of 1 certificates are good for 30 days or more; 1 of 4 hosts are unknown
    ");
    let said = certs(&stubs, &["list", "--output", "json"]);
    let list: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &list["healthy"], &list["warnDays"]), (Some(1), &json!(false), &json!(30)));
    assert_eq!(list["hosts"][0]["certificates"][0], report("apiserver", "expiring"));
    assert!(list["hosts"][2]["failure"].as_str().unwrap().contains("timed out"));
}

#[test]
fn hosts_are_renewed_one_after_another_and_the_first_failure_ends_it() {
    let stubs = cluster();
    let said = certs(&stubs, &["renew", "--all"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey preview renew"; 4]);
    assert_snapshot!(said.stdout, @"
    h1: renewed apiserver; restarted kube-apiserver
    h2: renewed apiserver; restarted kube-apiserver
    h3: renewed apiserver; restarted kube-apiserver
    h4: renewed apiserver; restarted kube-apiserver
    ");

    let stubs = cluster();
    let ill = json!({ "error": "kube-apiserver was restarted, and is not healthy", "causes": [], "hint": null });
    stubs.set(2, "reply-renew", &failed(&ill));
    let said = certs(&stubs, &["renew", "--all"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(requests(&stubs), ["survey preview renew", "survey preview renew", "survey preview", "survey preview"]);
    assert_snapshot!(said.end(), @"
    h2 failed in stage `certificates`: kube-apiserver was restarted, and is not healthy
    error: 1 of 4 hosts failed: h2; the others stopped, since a host is changed only while the one before it is healthy
    hint: fix what each host reports, then run the same command again to resume
    ");
}

#[test]
fn hosts_with_nothing_to_do_are_left_alone() {
    let stubs = cluster();
    for number in [1, 2, 4] {
        stubs.set(number, "reply-preview", &answer(&json!({ "renewed": [], "restarted": [], "resumed": false })));
    }
    let said = certs(&stubs, &["renew", "--due", "30d"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey preview", "survey preview", "survey preview renew", "survey preview"]);
    assert!(said.stdout.contains("h1: unchanged, no certificate is due\n"), "{}", said.stdout);
}

#[test]
fn a_dry_run_asks_and_changes_nothing() {
    let stubs = cluster();
    let said = certs(&stubs, &["renew", "--all", "--dry-run", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey preview"; 4]);
    let renewed: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&renewed["dryRun"], &renewed["hosts"][3]["restarted"][0]), (&json!(true), &json!("kube-apiserver")));
}

#[test]
fn nothing_is_renewed_without_all_hosts_that_serve_the_cluster() {
    let stubs = cluster();
    unreachable(&stubs, 2);
    let [renewed, added] = [&["renew", "--all"][..], &["add-san", "k8s.example"]].map(|command| certs(&stubs, command));
    assert_eq!((renewed.code, added.code), (Some(3), Some(3)), "{}{}", renewed.stderr, added.stderr);
    assert_eq!(renewed.end(), added.end());
    assert_snapshot!(renewed.end(), @"
    error: h2 cannot be reached: cannot connect to 192.0.2.3: ssh: connect to host: Connection timed out; nothing was changed
    hint: bring the host up first, or run the command on each of the others without `--config`
    ");
    assert_eq!(stubs.requests(1), "survey survey");
    let stubs = cluster();
    let said = certs(&stubs, &["renew", "etcd-peer"]);
    assert_eq!((said.code, requests(&stubs)), (Some(3), ["survey preview"; 4].map(str::to_owned)));
    assert_snapshot!(said.end(), @"
    error: no host here has etcd-peer; nothing was changed
    hint: `kinstall certs list` shows what there is
    ");
}

#[test]
fn a_control_plane_without_etcd_is_handed_its_certificate() {
    let stubs = Stubs::new(&[&[Role::ControlPlane], &[Role::Etcd], WORKER]);
    set_up(&stubs, &[1, 2, 3]);
    let said = certs(&stubs, &["renew", "--all"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(stubs.requests(2), "survey preview issue renew");
    let told = fs_err::read_to_string(stubs.host(1, "told")).unwrap();
    assert!(told.lines().last().unwrap().contains("top.secret"));
    assert!(!said.stdout.contains("top.secret") && !said.stderr.contains("top.secret"));
}

#[test]
fn names_go_to_every_api_server_and_the_user_learns_what_the_file_lacks() {
    let stubs = cluster();
    let said = certs(&stubs, &["add-san", "k8s.example"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(requests(&stubs), ["survey add-sans", "survey add-sans", "survey add-sans", "survey"]);
    assert_snapshot!(said.stdout, @r#"
    h1: the API server's certificate has k8s.example as well
    h2: the API server's certificate has k8s.example as well
    h3: the API server's certificate has k8s.example as well
    If the cluster has a cluster.yaml, it has to say this, or the next `kinstall run` takes the names away again:
    api:
      certificate-sans:
        - "k8s.example"
    "#);

    stubs.write_spec("api: {certificate-sans: [k8s.example]}");
    let said = certs(&stubs, &["add-san", "--output", "json"]);
    let added: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &added["missingInFile"]), (Some(0), &json!([])));
    let wrong = certs(&stubs, &["add-san", "no name"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("neither an address nor a DNS name"), "{}", wrong.stderr);
}
