//! Join files that cannot be used, and `token create` where it cannot succeed. The machine of the tests is left unchanged.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::{Digest, Platform, Role};
use kinstall::config::{ClusterSpec, HostSpec};
use kinstall::join_file::{JoinFile, Moment, SCHEMA};
use kinstall::join_material::JoinCredentials;
use kinstall::pki::public_key_hash;
use kinstall::pki::{Authority, PrivateKey};

use crate::folder::{Folder, Said, Signature};

const TOKEN: &str = "abcdef.0123456789abcdef";
const RUN: [&str; 5] = ["run", "good.tar.zst", "--key", "signing.pub", "--dry-run"];

/// A file for worker w1, valid for an hour from now.
fn join_file() -> JoinFile {
    let authority = Authority::new("kubernetes", PrivateKey::generate().unwrap()).certificate().unwrap();
    let cluster = ClusterSpec::parse(
        "hosts:\n\
         - {name: c1, address: 192.0.2.1, roles: [control-plane, etcd]}\n\
         - {name: w1, address: 192.0.2.2, roles: [worker]}\n",
    );
    JoinFile {
        schema: SCHEMA,
        host: "w1".parse().unwrap(),
        created: Moment::now(),
        expires: Moment::now().after(Duration::from_hours(1)),
        bundle: Digest::of(b"another list"),
        cluster: cluster.unwrap(),
        pod_networks: [].into(),
        credentials: JoinCredentials {
            api_server: "192.0.2.1:6443".into(),
            token: TOKEN.into(),
            authority_hash: public_key_hash(&authority).unwrap(),
        },
        authority,
    }
}

/// The program's output for a join file with this text and mode.
fn said_of(text: &str, mode: u32) -> Said {
    let folder = Folder::new();
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    fs::write(folder.path("w1.join.yaml"), text).unwrap();
    fs::set_permissions(folder.path("w1.join.yaml"), PermissionsExt::from_mode(mode)).unwrap();
    let said = folder.kinstall(&[&RUN[..], &["--join", "w1.join.yaml"]].concat());
    assert!(!said.to_string().contains(TOKEN), "{said}");
    said
}

#[test]
fn files_that_others_can_read_are_not_used() {
    assert_snapshot!(said_of(&join_file().text(), 0o640), @"
    exit code 3
    --- stdout
    --- stderr
    error: w1.join.yaml is not used: others can read or change it (mode 0640), and it holds a secret; nothing was changed
    hint: copy it to where only root can read it, and give the copy: `install -m 600 FILE /root/`; if others have seen it, make another with `kinstall token create`
    ");
}

#[test]
fn what_is_no_join_file_is_not_used() {
    assert_snapshot!(said_of(&format!("schema: 1\nhost: w1\ntoken: {TOKEN}\n"), 0o600), @"
    exit code 2
    --- stdout
    --- stderr
    error: w1.join.yaml cannot be used
      caused by: it is not a join file
      caused by: unknown field `token`, expected one of `schema`, `host`, `created`, `expires`, `bundle`, `cluster`, `pod-networks`, `authority`, `credentials` at line 3 column 1
    hint: make another on a control plane: `kinstall token create`
    ");
    assert_snapshot!(said_of("schema: 7\nnew: true\n", 0o600), @"
    exit code 2
    --- stdout
    --- stderr
    error: w1.join.yaml cannot be used
      caused by: it has schema 7, this program knows 1
    hint: use the kinstall of the host that made it
    ");
    assert_eq!(said_of(&format!("#{}", "x".repeat(1 << 20)), 0o600).code, Some(2));
}

#[test]
fn only_workers_join_by_a_file() {
    let mut file = join_file();
    file.host = "c1".parse().unwrap();
    assert_snapshot!(said_of(&file.text(), 0o600), @"
    exit code 2
    --- stdout
    --- stderr
    error: w1.join.yaml cannot be used
      caused by: host c1 has the roles control-plane, etcd, and only workers join by a file
    hint: control planes and members of etcd are added where the cluster is led: put the host into cluster.yaml and run `kinstall run` there again
    ");
    let mut file = join_file();
    let host: &mut HostSpec = &mut file.cluster.hosts[1];
    host.roles.insert(Role::Etcd);
    assert_eq!(said_of(&file.text(), 0o600).code, Some(2));
}

#[test]
fn a_file_is_good_for_its_time_and_its_bundle() {
    let text = join_file().text();
    let line = text.lines().find(|line| line.starts_with("expires: ")).unwrap();
    let expired = text.replace(line, "expires: 2026-01-01T00:00:00Z");
    let said = said_of(&expired, 0o600);
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said}");
    assert!(said.stderr.contains("the join file expired at 2026-01-01T00:00:00Z"), "{said}");
    assert!(!said.stderr.contains("verified"), "it is known before the bundle is read: {said}");
    let said = said_of(&text, 0o600);
    assert_eq!(said.code, Some(3), "{said}");
    assert!(said.stderr.contains("the cluster was set up from the bundle with list sha256:DIGEST"), "{said}");
}

#[test]
fn a_cluster_is_described_in_one_place() {
    let folder = Folder::new();
    let said = folder.kinstall(&[&RUN[..], &["--join", "w1.join.yaml", "--config", "cluster.yaml"]].concat());
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("cannot be used with"), "{said}");
    let said = folder.kinstall(&[&RUN[..], &["--join", "absent.join.yaml"]].concat());
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("absent.join.yaml"), "{said}");
}

#[test]
fn token_create_says_what_is_wrong_with_its_words() {
    let folder = Folder::new();
    let create = |more: &[&str]| {
        let said = folder.kinstall(&[&["token", "create", "--host", "w1", "--address", "192.0.2.2"], more].concat());
        assert!(fs::read_dir(folder.path("")).unwrap().all(|file| !file.unwrap().path().ends_with("w1.join.yaml")));
        said
    };
    assert_snapshot!(create(&["--ttl", "9d"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value '9d' for '--ttl <TIME>': it is at most a week, `7d`: whoever finds the file until then can join the cluster

    For more information, try '--help'.
    ");
    assert_snapshot!(create(&["--label", "node-role.kubernetes.io/gpu="]), @"
    exit code 2
    --- stdout
    --- stderr
    error: a host cannot give itself the label node-role.kubernetes.io/gpu: Kubernetes keeps it for administrators
    hint: leave it out, and once the host has joined: `kubectl label node w1 node-role.kubernetes.io/gpu=…`
    ");
    assert_snapshot!(create(&["--label", "a=b", "--label", "a=c"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: the label a is given twice
    ");
    let said = create(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said}");
}

#[test]
fn help_shows_how_it_is_done() {
    let folder = Folder::new();
    let said = folder.kinstall(&["token", "create", "--help"]);
    assert!(said.stdout.contains("kinstall token create --host worker-3 --address 192.0.2.23"), "{said}");
    assert!(folder.kinstall(&["run", "--help"]).stdout.contains("--join worker-3.join.yaml"));
    fs::create_dir(folder.path("man")).unwrap();
    assert_eq!(folder.kinstall(&["man", "man"]).code, Some(0));
    assert!(folder.path("man/kinstall-token-create.1").is_file());
}
