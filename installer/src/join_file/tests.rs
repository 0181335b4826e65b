use proptest::prelude::*;

use super::*;
use crate::fixture;
use crate::pki::{Authority, PrivateKey};
use crate::topology::Topology;

fn authority() -> String {
    Authority::new("kubernetes", PrivateKey::generate().unwrap()).certificate().unwrap()
}

/// The file of worker w3 in the cluster of three control planes and two workers, valid for an hour from now.
pub fn example() -> JoinFile {
    let (created, file) = (Moment::now(), file());
    JoinFile { created, expires: created.after(std::time::Duration::from_hours(1)), ..file }
}

/// The same file, valid for a fixed hour.
fn file() -> JoinFile {
    let cluster = fixture::Cluster::of_three_and_two();
    let newcomer = newcomer("w3", "192.0.2.13");
    let authority = authority();
    let created: Moment = "2026-11-21T11:00:00Z".parse().unwrap();
    JoinFile {
        schema: SCHEMA,
        host: newcomer.name.clone(),
        created,
        expires: created.after(std::time::Duration::from_hours(1)),
        bundle: Digest::of(b"list"),
        credentials: JoinCredentials {
            api_server: "192.0.2.1:6443".into(),
            token: "abcdef.0123456789abcdef".into(),
            authority_hash: public_key_hash(&authority).unwrap(),
        },
        authority,
        pod_networks: [(
            "c1".to_owned(),
            PodNetwork { pods: "10.244.0.0/24".parse().unwrap(), node: [192, 0, 2, 1].into(), second_node: None },
        )]
        .into(),
        cluster: cluster_for(&cluster.spec, &cluster.seen_from("c1"), &newcomer).unwrap(),
    }
}

fn newcomer(name: &str, address: &str) -> HostSpec {
    HostSpec {
        labels: [("disk".to_owned(), "ssd".to_owned())].into(),
        taints: vec!["db=1:NoSchedule".to_owned()],
        ..HostSpec::new(name.parse().unwrap(), address.parse().unwrap(), [Role::Worker].into())
    }
}

/// The reason why the file is refused after `from` is replaced by `to`.
fn refusal(from: &str, to: &str) -> String {
    let text = file().text();
    assert!(text.contains(from), "{from} in {text}");
    let error: anyhow::Error = JoinFile::parse(&text.replacen(from, to, 1)).unwrap_err().into();
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn what_is_written_is_read_and_says_what_it_is() {
    let file = file();
    let text = file.text();
    assert_eq!(JoinFile::parse(&text).unwrap(), file);
    assert!(text.starts_with("# Made by `kinstall token create`"), "{text}");
    let hosts: Vec<_> = file.cluster.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["c1", "c2", "c3", "w3"], "of other workers nothing is told");
    assert_eq!(file.host_spec().labels["disk"], "ssd");
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", file());
    assert!(shown.contains("192.0.2.1:6443") && !shown.contains("0123456789"), "{shown}");
    let material = file().join_material(file().credentials);
    assert!(!format!("{material:?}").contains("0123456789"));
    let said = refusal("token: abcdef.0123456789abcdef", "token: [abcdef.0123456789abcdef]");
    assert!(!said.contains("0123456789"), "{said}");
}

#[test]
fn what_none_of_ours_has_is_refused() {
    insta::assert_snapshot!(refusal("schema: 1\nhost", "schema: 2\nhost"), @"it has schema 2, this program knows 1");
    insta::assert_snapshot!(refusal("created:", "more: 1\ncreated:"), @"it is not a join file: unknown field `more`, expected one of `schema`, `host`, `created`, `expires`, `bundle`, `cluster`, `pod-networks`, `authority`, `credentials` at line 4 column 1");
    insta::assert_snapshot!(refusal("host: w3", "host: w4"), @"its cluster has no host w4");
    insta::assert_snapshot!(refusal("host: w3", "host: c2"), @"host c2 has the roles control-plane, etcd, and only workers join by a file");
    insta::assert_snapshot!(refusal("token: abcdef.", "token: abc-ef."), @"credentials.token is not what `kinstall token create` writes");
    insta::assert_snapshot!(refusal("api-server: 192.0.2.1:6443", "api-server: '192.0.2.1:6443 --x'"), @"credentials.api-server is not what `kinstall token create` writes");
    insta::assert_snapshot!(refusal("authority-hash: sha256:", "authority-hash: sha256:00"), @"credentials.authority-hash is not what `kinstall token create` writes");
    insta::assert_snapshot!(refusal("-----BEGIN", "-----"), @"authority is not what `kinstall token create` writes");
    insta::assert_snapshot!(refusal("expires: 2026-11-21T12:00:00Z", "expires: soon"), @"it is not a join file: expires: `soon` is not a moment such as `2026-11-21T12:40:10Z` at line 5 column 10");
    insta::assert_snapshot!(refusal("address: 192.0.2.13", "address: 10.96.0.1"), @"its description of the cluster is not valid: host w3: address 10.96.0.1 lies in service-cidr 10.96.0.0/12; they need addresses of their own");
}

#[test]
fn a_file_has_its_time() {
    let file = file();
    let said = |now: &str| file.refuse_untimely(now.parse().unwrap()).map_err(|error| crate::failure::message(&error));
    assert_eq!(said("2026-11-21T11:59:59Z"), Ok(()));
    assert_eq!(said("2026-11-21T10:59:40Z"), Ok(()), "clocks differ a little");
    insta::assert_snapshot!(said("2026-11-21T12:00:00Z").unwrap_err(), @"
    error: the join file expired at 2026-11-21T12:00:00Z, and this host's clock says 2026-11-21T12:00:00Z
    hint: make another on a control plane: `kinstall token create`; if the clock is wrong, set it (`timedatectl set-time`)
    ");
    insta::assert_snapshot!(said("2026-11-21T10:50:00Z").unwrap_err(), @"
    error: the join file was made at 2026-11-21T11:00:00Z, and this host's clock says 2026-11-21T10:50:00Z
    hint: set the clock here or there (`timedatectl set-time`), and run chrony or ntp against a server of the site: hosts with different clocks refuse each other's certificates
    ");
}

#[test]
fn a_single_host_becomes_the_first_of_several() {
    let standing = ClusterSpec::parse("name: plant-7\napi: {address: 10.0.0.5}\n").unwrap();
    let topology = Topology::single(&standing, &fixture::facts()).unwrap();
    let cluster = cluster_for(&standing, &topology, &newcomer("w1", "10.0.0.6")).unwrap();
    insta::assert_snapshot!(serde_yaml::to_string(&cluster.hosts).unwrap(), @"
    - name: node-1
      address: 10.0.0.5
      roles:
      - control-plane
      - etcd
      - worker
    - name: w1
      address: 10.0.0.6
      roles:
      - worker
      labels:
        disk: ssd
      taints:
      - db=1:NoSchedule
    ");
    assert_eq!((cluster.name.as_str(), cluster.api_name().as_str()), ("plant-7", "api.plant-7.internal"));
    let seen = Topology::of(&cluster, "w1").unwrap();
    assert_eq!(seen.leader().unwrap().name, "node-1");
    assert_eq!(seen.this().address.to_string(), "10.0.0.6");
}

#[test]
fn who_cannot_join_is_told_why() {
    let cluster = fixture::Cluster::of_three_and_two();
    let said = |name: &str, address: &str| {
        let error = cluster_for(&cluster.spec, &cluster.seen_from("c2"), &newcomer(name, address)).unwrap_err();
        let error: anyhow::Error = error.into();
        error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    insta::assert_snapshot!(said("w2", "192.0.2.13"), @"the cluster has a host w2 already");
    insta::assert_snapshot!(said("w3", "192.0.2.12"), @"192.0.2.12 is the address of w2");
    insta::assert_snapshot!(said("w3", "10.244.0.9"), @"this host cannot join the cluster: host w3: address 10.244.0.9 lies in pod-cidr 10.244.0.0/16; they need addresses of their own");
    insta::assert_snapshot!(said("localhost", "192.0.2.13"), @"this host cannot join the cluster: host localhost: its name means every host itself; give it a name of its own");
    assert_eq!(foreign_label(&newcomer("w3", "192.0.2.13")), None);
}

proptest! {
    /// Any input is either refused or a join file.
    #[test]
    fn any_text_is_a_file_or_an_error(text in "\\PC{0,200}") {
        let _ = JoinFile::parse(&format!("schema: 1\n{text}"));
        prop_assert!(JoinFile::parse(&text).is_err());
    }

    /// A file that was cut off is refused, wherever it was cut.
    #[test]
    fn a_part_of_a_file_is_refused(cut: prop::sample::Index) {
        static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| file().text());
        let length = cut.index(TEXT.len() - 1);
        prop_assert!(JoinFile::parse(&TEXT[..length]).is_err(), "{}", &TEXT[..length]);
    }
}
