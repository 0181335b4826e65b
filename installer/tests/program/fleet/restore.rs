//! `kinstall restore` with several hosts: which part of the backup each gets, what is refused, and which hosts continue after a cut.

use age::secrecy::ExposeSecret as _;
use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::head::SignatureCheck;
use kbundle_format::{Digest, IndexedBundle, fixtures};
use kinstall::backup::list::{BackupEntry, BackupList, SCHEMA, name_of};
use kinstall::backup::{SNAPSHOT, SPEC, Seal, write};
use kinstall::config::{ClusterSpec, Cni};
use kinstall::etcd_layout as layout;
use kinstall::steps::shared_keys;
use serde_json::{Value, json};

use super::stubs::{Said, Stubs, changed_survey};
use super::{SERVER, WORKER};

/// More than a pipe holds at once.
const SNAPSHOT_BYTES: u64 = 300_000;

/// Three control planes and a worker that are new, and the backup `plant.backup` of a cluster whose hosts had other addresses.
struct Site {
    stubs: Stubs,
    list: Digest,
    snapshot: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let stubs = Stubs::new(&[SERVER, SERVER, SERVER, WORKER]);
        let text = fs::read_to_string(stubs.path("cluster.yaml")).unwrap();
        let mut spec = ClusterSpec::parse(&text.replace("192.0.2.", "198.51.100.")).unwrap();
        spec.network.cni = Some(Cni::Bridge);
        let mut named = vec![(SPEC.to_owned(), serde_yaml::to_string(&spec).unwrap())];
        let secrets = shared_keys::paths(&spec).chain([layout::CA_PATH, layout::CA_KEY_PATH]);
        named.extend(secrets.map(|path| (name_of(path), format!("top.secret of {path}"))));
        let mut entries: Vec<_> =
            named.iter().map(|(name, content)| BackupEntry::of(name, content.as_bytes())).collect();
        let snapshot = fixtures::noise(7, usize::try_from(SNAPSHOT_BYTES).unwrap());
        entries.push(BackupEntry::of(SNAPSHOT, &snapshot));
        let bundle = IndexedBundle::open(&stubs.path("cluster.tar.zst"), SignatureCheck::Skipped).unwrap();
        let list = BackupList {
            schema: SCHEMA,
            created: "2026-11-27T12:00:00Z".parse().unwrap(),
            cluster: "kubernetes".into(),
            host: "h1".into(),
            kubernetes_version: bundle.list().kubernetes_version,
            etcd_version: "3.5.6".into(),
            bundle: Digest::of(&bundle.head().list_bytes),
            entries,
        };
        let (key, identity) = (fixtures::key().0, age::x25519::Identity::generate());
        let files: Vec<_> = named.into_iter().map(|(_, content)| content.into_bytes()).collect();
        let seal = Seal::Recipients(vec![identity.to_public()]);
        let backup = write::write(Vec::new(), &list, &files, snapshot.as_slice(), &key, &seal).unwrap();
        fs::write(stubs.path("plant.backup"), backup).unwrap();
        fs::write(stubs.path("backup.pub"), key.verifying_key().to_pem()).unwrap();
        fs::write(stubs.path("identity.txt"), identity.to_string().expose_secret()).unwrap();
        Self { stubs, list: Digest::of(&list.to_bytes()), snapshot }
    }

    fn restore(&self, more: &[&str]) -> Said {
        let words =
            ["restore", "plant.backup", "cluster.tar.zst", "--key", "signing.pub", "--backup-key", "backup.pub"];
        self.stubs.kinstall(&[&words, ["--identity", "identity.txt"].as_slice(), more].concat(), &[])
    }

    fn onto_the_hosts(&self, more: &[&str]) -> Said {
        self.restore(&[["--config", "cluster.yaml"].as_slice(), more].concat())
    }

    fn requests(&self) -> [String; 4] {
        [1, 2, 3, 4].map(|number| self.stubs.requests(number))
    }

    fn snapshot_of(&self, number: usize) -> Vec<u8> {
        fs::read(self.stubs.host(number, "snapshot")).unwrap()
    }

    /// What the host was told for a phase.
    fn told(&self, number: usize, phase: &str) -> Value {
        serde_json::from_slice(&fs::read(self.stubs.host(number, &format!("apply-{phase}"))).unwrap()).unwrap()
    }

    /// Makes a host look as if this restoration, or the one with another list, was begun there.
    fn begun(&self, number: usize, list: Digest, data: bool, begins: bool) {
        changed_survey(&self.stubs, number, |survey| {
            survey["restoration"] =
                json!({ "list": list, "share": { "data": data, "begins": begins }, "is_data_made": data });
            survey["installed"] = json!(format!("sha256:{}", "0".repeat(64)));
            survey["facts"]["installation"] = json!("ours");
            survey["holdsBundle"] = json!(true);
        });
    }
}

#[test]
fn members_of_etcd_get_the_data_and_the_first_control_plane_the_keys() {
    let site = Site::new();
    let said = site.onto_the_hosts(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_snapshot!(site.stubs.requests(1), @"survey connect connect listen receive begin prepare etcd control-plane shared join join worker pods network finish");
    assert_snapshot!(site.stubs.requests(2), @"survey connect connect listen receive begin prepare etcd control-plane worker network finish");
    assert_snapshot!(site.stubs.requests(4), @"survey connect listen receive begin prepare worker network finish");
    for number in 1..=3 {
        assert!(site.snapshot_of(number) == site.snapshot, "h{number} got another snapshot");
        let etcd = site.told(number, "etcd");
        assert_eq!(etcd["work"]["origin"], "backup");
        assert_eq!(etcd["work"]["material"]["etcd-authority"]["key"], "top.secret of /etc/etcd/pki/ca.key");
        assert_eq!(etcd["work"]["material"]["etcd-members"], Value::Null, "they start together");
    }
    assert_eq!(site.snapshot_of(4), b"", "a worker gets nothing of the data");
    let keys = |number| site.told(number, "control-plane")["work"]["material"]["shared-files"].clone();
    assert_eq!(keys(1)[0]["content"], "top.secret of /etc/kubernetes/pki/ca.crt");
    assert_eq!(keys(2), json!([]), "the others get what the first one has");
    assert!(!said.stderr.contains("top.secret") && !said.stdout.contains("top.secret"));
}

#[test]
fn what_was_begun_by_this_restoration_is_gone_on_with() {
    let site = Site::new();
    // An earlier call began the cluster on the second host, whichever host comes first in the file now.
    site.begun(1, site.list, true, false);
    site.begun(2, site.list, true, true);
    let said = site.onto_the_hosts(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(site.stubs.requests(2).contains("control-plane shared join"), "{}", site.stubs.requests(2));
    assert_eq!((site.snapshot_of(1), site.snapshot_of(2)), (vec![], vec![]), "the data was made");
    assert!(site.snapshot_of(3) == site.snapshot);
}

#[test]
fn a_member_that_joins_members_which_run_gets_its_data_from_them() {
    let site = Site::new();
    for number in [1, 2] {
        site.begun(number, site.list, true, number == 1);
        changed_survey(&site.stubs, number, |survey| survey["etcd"] = json!("done"));
    }
    let members = json!([{ "id": "1", "name": "h1", "peer-url": "https://192.0.2.2:2380" }]);
    fs::write(site.stubs.path("hosts/members"), super::stubs::answer(&members)).unwrap();
    let said = site.onto_the_hosts(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(site.snapshot_of(3), b"");
    assert_eq!(site.told(3, "etcd")["work"]["material"]["etcd-members"], json!({ "h1": "https://192.0.2.2:2380" }));
}

#[test]
fn hosts_of_a_standing_cluster_are_refused_and_none_is_changed() {
    let site = Site::new();
    site.begun(2, Digest::of(b"of another backup"), true, true);
    changed_survey(&site.stubs, 4, |survey| {
        survey["installed"] = json!(format!("sha256:{}", "0".repeat(64)));
        survey["facts"]["installation"] = json!("ours");
    });
    let said = site.onto_the_hosts(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert_snapshot!(said.end(), @"
    error: h2, h4 are set up already, and not from this backup; nothing was changed
    hint: restore on new hosts, or give up what is on these with `kinstall reset` on each
    ");
    assert_nothing_was_done(&site);
}

#[test]
fn another_cluster_and_another_form_are_refused_before_any_host_is_asked() {
    for (setting, why) in [
        ("network: {pod-cidr: 10.1.0.0/16}", "network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now"),
        ("network: {service-cidr: 10.80.0.0/16}", "network.service-cidr was"),
        ("network: {dns-domain: plant.example}", "network.dns-domain was"),
        ("name: plant-8\napi: {endpoint: api.kubernetes.internal}", "name was kubernetes and is plant-8 now"),
    ] {
        let site = Site::new();
        site.stubs.write_spec(setting);
        let said = site.onto_the_hosts(&[]);
        assert_eq!(said.code, Some(3), "{setting}: {}", said.stderr);
        assert!(said.stderr.contains(why) && said.stderr.contains("nothing was changed"), "{}", said.stderr);
        assert_eq!(site.requests(), [(); 4].map(|()| String::new()));
    }
    let said = Site::new().restore(&[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert_snapshot!(said.end(), @"
    error: the backup is of a cluster of several hosts, and the new ones are not described; nothing was changed
    hint: write a cluster.yaml with the same settings and the new hosts, and give it with `--config cluster.yaml`
    ");
}

#[test]
fn the_cluster_does_not_begin_on_a_host_without_etcd() {
    let site = Site::new();
    let text = fs::read_to_string(site.stubs.path("cluster.yaml")).unwrap();
    fs::write(site.stubs.path("cluster.yaml"), text.replacen("[control-plane, etcd]", "[control-plane]", 1)).unwrap();
    let said = site.onto_the_hosts(&["--ignore", "etcd-members"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("h1 is the first control plane and no member of etcd"), "{}", said.stderr);
    assert_nothing_was_done(&site);
}

#[test]
fn a_dry_run_shows_who_restores_what_and_changes_nothing() {
    let site = Site::new();
    let said = site.onto_the_hosts(&["--dry-run", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let events: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hosts_with = |step: &str| -> Vec<_> {
        let planned = events.iter().filter(|event| event["event"] == "step-planned" && event["step"] == step);
        planned.map(|event| event["host"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(hosts_with("restored-data"), ["h1", "h2", "h3"]);
    assert_eq!(hosts_with("restored-objects"), ["h1"]);
    assert_nothing_was_done(&site);
}

fn assert_nothing_was_done(site: &Site) {
    for requests in site.requests() {
        let looks = ["survey", "connect", "listen", "withdraw"];
        assert!(requests.split(' ').all(|asked| looks.contains(&asked)), "{requests}");
    }
}
