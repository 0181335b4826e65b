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
use crate::restoration_records::{awaits_kubeadm, refuse_unfinished};

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
    // The open file is all that is needed.
    let file = fs::File::open(file.path()).unwrap();
    Restoration::verify(file, Opener::Identities(vec![Box::new(identity)]), vec![key.verifying_key()]).unwrap()
}

fn records(version: &str, spec: &str) -> Records {
    let list_bytes = fixture::list(version).to_bytes();
    Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::parse(spec).unwrap(), name: None }
}

fn said(result: anyhow::Result<()>) -> String {
    failure::message(&result.unwrap_err())
}

#[test]
fn another_bundle_or_cluster_is_refused() {
    let of = restoration("1.36.3", "api: {address: 192.0.2.1}");
    of.refuse_another_bundle(&records("1.36.3", "")).unwrap();
    insta::assert_snapshot!(said(of.refuse_another_bundle(&records("1.25.2", ""))), @"
    error: the backup is of a cluster from the bundle with Kubernetes 1.36.3, and this one has Kubernetes 1.25.2; nothing was changed
    hint: give the bundle that the cluster was set up from; the backup holds none
    ");
    of.refuse_another_cluster(&records("1.36.3", "api: {address: 192.0.2.2}").spec).unwrap();
    let wider = records("1.36.3", "{api: {address: 192.0.2.1}, network: {pod-cidr: 10.1.0.0/16}}").spec;
    let refusal = said(of.refuse_another_cluster(&wider));
    assert!(refusal.contains("network.pod-cidr was 10.244.0.0/16 and is 10.1.0.0/16 now"), "{refusal}");
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
fn data_and_keys_come_before_what_would_make_them_anew() {
    let (spec, facts, list, topology) =
        (ClusterSpec::default(), fixture::facts(), fixture::list("1.36.3"), fixture::topology());
    let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
    let plan = Restoration::extend(crate::plan::plan(&inputs).unwrap(), &inputs);
    let ids: Vec<_> = plan.steps.iter().map(|planned| planned.step.id()).collect();
    let from = ids.iter().position(|id| *id == "restored-data").unwrap();
    assert_eq!(
        ids[from..from + 7],
        ["restored-data", "etcd", "etcd-client", "shared-keys", "kubeadm-config", "control-plane", "restored-objects"]
    );
}
