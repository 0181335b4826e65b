use std::io::Write as _;

use kbundle_format::key::Algorithm;
use kbundle_format::{Digest, SigningKey};

use super::*;
use crate::backup::list::{BackupEntry, SCHEMA};
use crate::backup::{SNAPSHOT, Seal, write};
use crate::failure;
use crate::fixture;
use crate::fixture::bench::Bench;
use crate::host::Change;
use crate::records::Records;
use crate::restoration_records::{RestorationMark, awaits_kubeadm, refuse_unfinished};
use crate::topology::Topology;

/// A backup of a cluster from a bundle of this version.
fn restoration(version: &str, spec: &str) -> Restoration {
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let identity = age::x25519::Identity::generate();
    let mut named = vec![(SPEC.to_owned(), spec.to_owned())];
    let parsed = ClusterSpec::parse(spec).unwrap();
    let secrets = shared_keys::paths(&parsed).chain([layout::CA_PATH, layout::CA_KEY_PATH]);
    named.extend(secrets.map(|path| (name_of(path), format!("secret of {path}"))));
    let mut entries: Vec<_> = named.iter().map(|(name, content)| BackupEntry::of(name, content.as_bytes())).collect();
    entries.push(BackupEntry::of(SNAPSHOT, b"snapshot"));
    let bundle = fixture::list(version);
    let list = BackupList {
        schema: SCHEMA,
        created: "2026-11-27T12:00:00Z".parse().unwrap(),
        cluster: "kubernetes".into(),
        host: "lost".into(),
        kubernetes_version: bundle.kubernetes_version,
        etcd_version: "3.6.8".into(),
        bundle: Digest::of(&bundle.to_bytes()),
        entries,
    };
    let files: Vec<_> = named.into_iter().map(|(_, content)| content.into_bytes()).collect();
    let seal = Seal::Recipients(vec![identity.to_public()]);
    let bytes = write::write(Vec::new(), &list, &files, b"snapshot".as_slice(), &key, &seal).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    // The open file is enough; its name may be gone.
    let file = fs::File::open(file.path()).unwrap();
    Restoration::verify(file, Opener::Identities(vec![Box::new(identity)]), vec![key.verifying_key()]).unwrap()
}

fn records(version: &str, spec: &str) -> Records {
    let list_bytes = fixture::list(version).to_bytes();
    Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::parse(spec).unwrap(), name: None }
}

/// A cluster of three whose hosts have addresses of this network.
fn several(network: u8) -> String {
    let host = |number: u8| {
        format!("- {{name: c{number}, address: 192.0.{network}.{number}, roles: [control-plane, etcd]}}\n")
    };
    format!("hosts:\n{}", (1..=3).map(host).collect::<String>())
}

fn said(result: anyhow::Result<()>) -> String {
    failure::message(&result.unwrap_err())
}

#[test]
fn another_bundle_or_cluster_is_refused() {
    let of = restoration("1.36.3", "api: {address: 192.0.2.1}");
    of.refuse_another_bundle(&records("1.36.3", "").list_bytes).unwrap();
    insta::assert_snapshot!(said(of.refuse_another_bundle(&records("1.25.2", "").list_bytes)), @"
    error: the backup is of a cluster from the bundle with Kubernetes 1.36.3, and this one has Kubernetes 1.25.2; nothing was changed
    hint: give the bundle that the cluster was set up from; the backup holds none
    ");
    of.refuse_another_cluster(&records("1.36.3", "api: {address: 192.0.2.2}").spec).unwrap();
    let refusal = said(of.refuse_another_cluster(&records("1.36.3", &several(2)).spec));
    assert!(refusal.contains("the list of hosts was absent and is given now"), "{refusal}");
    let wider = records("1.36.3", "{api: {address: 192.0.2.1}, network: {pod-cidr: 10.1.0.0/16}}").spec;
    let refusal = said(of.refuse_another_cluster(&wider));
    assert!(refusal.contains("network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now"), "{refusal}");
}

#[test]
fn several_hosts_may_be_others_and_the_cluster_may_not() {
    let of = restoration("1.36.3", &several(2));
    of.refuse_another_cluster(&records("1.36.3", &several(3)).spec).unwrap();
    let fewer = "hosts: [{name: new, address: 192.0.3.9, roles: [control-plane, etcd, worker]}]";
    of.refuse_another_cluster(&records("1.36.3", fewer).spec).unwrap();
    for (changed, why) in [
        ("network: {service-cidr: 10.80.0.0/16}", "network.service-cidr was 10.96.0.0/12 and is 10.80.0.0/16 now"),
        ("network: {dns-domain: plant.example}", "network.dns-domain was cluster.local and is plant.example now"),
        ("name: plant-8\napi: {endpoint: api.kubernetes.internal}", "name was kubernetes and is plant-8 now"),
    ] {
        let other = records("1.36.3", &format!("{changed}\n{}", several(3))).spec;
        let refusal = said(of.refuse_another_cluster(&other));
        assert!(refusal.contains(why) && refusal.contains("nothing was changed"), "{refusal}");
    }
    let refusal = said(of.refuse_another_cluster(&records("1.36.3", "").spec));
    assert!(refusal.contains("the list of hosts was given and is absent now"), "{refusal}");
}

#[test]
fn a_host_gets_the_keys_of_the_backup() {
    let of = restoration("1.36.3", "name: kubernetes");
    let material = of.join_material(&of.spec().unwrap()).unwrap();
    let modes: Vec<_> = material.shared_files.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert!(
        modes.contains(&("/etc/kubernetes/pki/sa.key", 0o600))
            && modes.contains(&("/etc/kubernetes/encryption.yaml", 0o600))
    );
    assert!(material.shared_files.iter().all(|file| file.content == format!("secret of {}", file.path)));
    assert_eq!(material.etcd_authority.unwrap().key, "secret of /etc/etcd/pki/ca.key");
}

#[test]
fn a_host_that_is_half_restored_becomes_nothing_else() {
    let (bench, of, other) =
        (Bench::new(), restoration("1.36.3", "name: kubernetes"), restoration("1.36.3", "name: kubernetes"));
    refuse_unfinished(&bench.host()).unwrap();
    of.stage(&mut bench.host()).unwrap();
    assert_eq!(bench.read(SNAPSHOT_PATH.trim_start_matches('/')), "snapshot");
    assert!(awaits_kubeadm(&bench.host()));
    insta::assert_snapshot!(said(refuse_unfinished(&bench.host())), @"
    error: a restoration was begun on this host, from the backup of kubernetes of 2026-11-27T12:00:00Z, and is not complete
    hint: run the same `kinstall restore` again to complete it, or `kinstall reset` to give it up
    ");
    let done = |step: &str| {
        let mut host = bench.host();
        host.ledger_mut().record(Change::StepStarted { step: step.to_owned() }).unwrap();
        host.ledger_mut().record(Change::StepDone { step: step.to_owned() }).unwrap();
    };
    done(RestoredData.id());
    of.refuse_standing(&bench.host()).unwrap();
    // Both are of the same cluster, of the same moment, and with the same content.
    other.refuse_standing(&bench.host()).unwrap();
    let elsewhere = restoration("1.25.2", "name: kubernetes");
    assert!(said(elsewhere.refuse_standing(&bench.host())).contains("not from this backup"));
    done(RestoredObjects.id());
    refuse_unfinished(&bench.host()).unwrap();
}

#[test]
fn a_host_with_another_cluster_is_not_restored() {
    let bench = Bench::new();
    bench.host().ledger_mut().record(Change::StepStarted { step: "swap".to_owned() }).unwrap();
    let refusal = said(restoration("1.36.3", "name: kubernetes").refuse_standing(&bench.host()));
    assert!(refusal.contains("kinstall has set up this host already"), "{refusal}");
}

#[test]
fn a_host_that_joins_the_restored_cluster_keeps_which_backup_it_is_of() {
    let (bench, of) = (Bench::new(), restoration("1.36.3", &several(2)));
    assert_eq!(RestorationMark::read(&bench.host()).unwrap(), None);
    let list = Digest::of(&of.list().to_bytes());
    let begun = |share: Share| {
        begin(&mut bench.host(), of.list(), share, |to| of.copy_snapshot(to)).unwrap();
        RestorationMark::read(&bench.host()).unwrap()
    };
    // A restoration that was abandoned before its first step leaves nothing.
    for share in [Share::ALL, Share { data: true, begins: false }, Share { data: false, begins: false }] {
        assert_eq!(begun(share), Some(RestorationMark { list, share, is_data_made: false }));
        assert_eq!(awaits_kubeadm(&bench.host()), share.begins);
    }
    refuse_unfinished(&bench.host()).unwrap();
}

#[test]
fn data_and_keys_come_before_what_would_make_them_anew() {
    let cluster = fixture::Cluster::of_three_and_two();
    let ids = |name: &str, share: Share| -> Vec<_> {
        let topology = Topology::of(&cluster.spec, name).unwrap();
        let inputs = Inputs { spec: &cluster.spec, facts: &cluster.facts, list: &cluster.list, topology: &topology };
        let plan = Restoration::extend(crate::plan::plan(&inputs).unwrap(), &inputs, share);
        plan.steps.iter().map(|planned| planned.step.id()).collect()
    };
    let first = ids("c1", Share::ALL);
    let from = first.iter().position(|id| *id == "restored-data").unwrap();
    assert_eq!(
        first[from..from + 7],
        ["restored-data", "etcd", "etcd-client", "shared-keys", "kubeadm-config", "control-plane", "restored-objects"]
    );
    // Another member has the data too, and leaves the objects to the first host, whatever the other's former share.
    for begins in [false, true] {
        let other = ids("c2", Share { data: true, begins });
        assert!(other.contains(&"restored-data") && !other.contains(&"restored-objects"), "{other:?}");
        assert_eq!(other.iter().filter(|id| **id == "shared-keys").count(), 1, "{other:?}");
    }
    let worker = ids("w1", Share { data: false, begins: false });
    assert!(!worker.iter().any(|id| id.starts_with("restored")), "{worker:?}");
}
