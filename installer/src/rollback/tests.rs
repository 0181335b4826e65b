use std::path::Path;

use fs_err as fs;
use kbundle_format::ComponentName;

use super::*;
use crate::config::ClusterSpec;
use crate::failure::message;
use crate::fixture;
use crate::fixture::bench::{Bench, FAILS, KUBECONFIG, Notes};
use crate::host::Command;
use crate::topology::Topology;
use crate::upgrade::unfinished::DIRECTORY;

const MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";

/// The list of a bundle with this Kubernetes and this etcd.
fn list(version: &str, etcd: &str) -> BundleList {
    let mut list = fixture::list(version);
    for component in list.entries.iter_mut().filter_map(|entry| entry.component.as_mut()) {
        if component.name == ComponentName::Etcd.as_str() {
            etcd.clone_into(&mut component.version);
        }
    }
    list
}

fn records(list: &BundleList) -> Records {
    let spec = ClusterSpec::default();
    Records { list_bytes: list.to_bytes(), signatures: vec![], keys: vec![], spec, name: None }
}

/// A host with programs that answer; a call of the program in the root's file `cut` ends the rollback.
fn programs(root: &Path, command: &Command) -> Option<String> {
    let called = command.to_string();
    if fs::read_to_string(root.join("cut")).is_ok_and(|cut| called.contains(&cut)) {
        return Some(format!("{FAILS}the power is gone"));
    }
    let word = |word: &str| called.contains(word);
    match () {
        () if word("etcdutl snapshot restore") => {
            assert_eq!(fs::read_to_string(root.join("usr/local/bin/etcd")).unwrap(), "etcd of before");
            let aside = root.join("var/lib/etcd/restored/member");
            fs::create_dir_all(&aside).unwrap();
            fs::write(aside.join("db"), "the snapshot").unwrap();
            None
        }
        () if word("systemctl show") => {
            let unit = command.arguments.last().unwrap();
            Some(format!(
                "Id={unit}\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
            ))
        }
        () if word("get node ") => Some(
            serde_json::json!({"status": {"nodeInfo": {"kubeletVersion": "v1.35.4"}, "conditions": [
                {"type": "Ready", "status": "True"}]}})
            .to_string(),
        ),
        () if word("crictl") && word(" ps ") => Some("0123\n".to_owned()),
        () => None,
    }
}

/// A host whose upgrade from 1.35.4 to 1.36.3 failed after everything was changed.
fn upgraded(etcd_before: &str, etcd_after: &str) -> (Bench, BundleList) {
    let bench = Bench::with_programs(programs);
    let (before, after) = (list("1.35.4", etcd_before), list("1.36.3", etcd_after));
    bench.file("proc/uptime", "");
    let user = format!("etcd:x:{}:{}::/:/bin/false\n", nix::unistd::geteuid(), nix::unistd::getegid());
    bench.file("etc/passwd", &user);
    bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
    fs::create_dir_all(bench.path("var/lib")).unwrap();
    let mut host = bench.host();
    host.ledger_mut().record(crate::host::Change::StepStarted { step: "etcd".into() }).unwrap();
    host.claim_tree("/var/lib/etcd").unwrap();
    bench.file("var/lib/etcd/member/db", "data of before");
    records(&before).keep(&host).unwrap();
    host.write_file("/usr/local/bin/etcd", b"etcd of before", 0o755).unwrap();
    bench.file(MANIFEST, "image of before");
    unfinished::begin(&mut host, &records(&after)).unwrap();
    FormerFiles::keep(&mut host, &Notes::default()).unwrap();
    snapshot(&bench);
    for mark in [Mark::Snapshot, Mark::Changing, Mark::Store, Mark::ClusterObjects] {
        unfinished::note(&host, mark).unwrap();
    }
    host.write_file("/usr/local/bin/etcd", b"etcd of after", 0o755).unwrap();
    bench.file("var/lib/etcd/member/db", "data of after");
    bench.file(MANIFEST, "image of after");
    (bench, before)
}

fn snapshot(bench: &Bench) {
    let store = [7; 512];
    let path = bench.path(&snapshot_path("1.36.3".parse().unwrap())[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [&store[..], kbundle_format::Digest::of(&store).as_bytes()].concat()).unwrap();
}

fn with_inputs<T>(list: &BundleList, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let (spec, facts) = (ClusterSpec::default(), fixture::facts());
    let topology = Topology::single(&spec, &facts).unwrap();
    look(&Inputs { spec: &spec, facts: &facts, list, topology: &topology })
}

fn decide(bench: &Bench, list: &BundleList, store: Store) -> anyhow::Result<Rollback> {
    with_inputs(list, |inputs| Rollback::decide(&bench.host(), &records(list), inputs, store))
}

/// The complete rollback, as the command does it.
fn roll_back(bench: &Bench, list: &BundleList) -> anyhow::Result<()> {
    let rollback = decide(bench, list, Store::KeptIfReadable)?;
    let mut host = bench.host();
    rollback.begin(&host)?;
    for act in &rollback.acts {
        with_inputs(list, |inputs| rollback.apply(*act, &mut host, inputs, &Notes::default()))?;
    }
    rollback.end(&mut host)
}

fn is_as_before(bench: &Bench, data: &str) {
    assert_eq!(bench.read("usr/local/bin/etcd"), "etcd of before");
    assert_eq!(bench.read(MANIFEST), "image of before");
    assert_eq!(bench.read("var/lib/etcd/member/db"), data);
    assert!(!bench.path("var/lib/etcd/before-rollback").exists());
    assert!(!bench.path(&DIRECTORY[1..]).exists());
    let kept = Records::read(&bench.host()).unwrap().unwrap();
    assert_eq!(BundleList::parse(&kept.list_bytes).unwrap().kubernetes_version.to_string(), "1.35.4");
}

#[test]
fn a_store_that_the_former_etcd_reads_stays_and_kubeadm_brings_its_objects_back() {
    let (bench, before) = upgraded("3.6.8", "3.6.9");
    let rollback = decide(&bench, &before, Store::KeptIfReadable).unwrap();
    let ids: Vec<_> = rollback.acts.iter().map(|act| act.id()).collect();
    assert_eq!(ids, ["stop", "files", "containerd", "etcd", "kubelet", "kubeadm-objects", "ready"]);
    roll_back(&bench, &before).unwrap();
    is_as_before(&bench, "data of after");
    let of_kubeadm: Vec<_> = bench.ran().into_iter().filter(|command| command.contains("/kubeadm ")).collect();
    assert!(of_kubeadm[0].contains("init phase upload-config all"), "{of_kubeadm:?}");
}

#[test]
fn a_store_that_was_migrated_comes_back_from_the_snapshot() {
    let (bench, before) = upgraded("3.5.24", "3.6.9");
    assert!(decide(&bench, &before, Store::KeptIfReadable).unwrap().restores_store());
    roll_back(&bench, &before).unwrap();
    is_as_before(&bench, "the snapshot");
    let ran = bench.ran();
    let place = |word: &str| ran.iter().position(|command| command.contains(word)).unwrap();
    assert!(place("crictl -r") < place("systemctl stop etcd.service"), "{ran:?}");
    assert!(place("systemctl stop etcd.service") < place("etcdutl snapshot restore"), "{ran:?}");
    assert!(place("etcdutl snapshot restore") < place("systemctl restart etcd.service"), "{ran:?}");
}

#[test]
fn a_rollback_that_was_cut_off_anywhere_is_finished_by_the_next() {
    let cuts = [
        "stop kubelet.service",
        "crictl -r",
        "restart containerd.service",
        "etcdutl snapshot restore",
        "restart etcd.service",
        "restart kubelet.service",
    ];
    for cut in cuts {
        let (bench, before) = upgraded("3.5.24", "3.6.9");
        bench.file("cut", cut);
        let error = roll_back(&bench, &before).expect_err(cut);
        assert!(format!("{error:#}").contains("the power is gone"), "{cut}: {error:#}");
        let refusal = message(&crate::upgrade::standing::resumes(&bench.host(), &records(&before)).unwrap_err());
        assert!(refusal.contains("hint: finish it first: `kinstall rollback`"), "{cut}: {refusal}");
        fs::remove_file(bench.path("cut")).unwrap();
        roll_back(&bench, &before).unwrap();
        is_as_before(&bench, "the snapshot");
    }
}

#[test]
fn an_upgrade_that_changed_nothing_that_runs_is_forgotten() {
    let bench = Bench::with_programs(programs);
    let (before, after) = (list("1.35.4", "3.6.8"), list("1.36.3", "3.6.9"));
    let mut host = bench.host();
    host.write_file("/usr/local/bin/etcd", b"etcd of before", 0o755).unwrap();
    records(&before).keep(&host).unwrap();
    let ledger = host.ledger().changes().to_vec();
    drop(host);
    unfinished::begin(&mut bench.host(), &records(&after)).unwrap();
    let rollback = decide(&bench, &before, Store::KeptIfReadable).unwrap();
    assert_eq!(rollback.acts, []);
    rollback.end(&mut bench.host()).unwrap();
    assert!(unfinished::target(&bench.host()).unwrap().is_none());
    assert!(bench.host().ledger().changes().starts_with(&ledger), "a reset needs all of it");
    assert_eq!(bench.ran(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_rolled_back_is_refused() {
    let refusal = |bench: &Bench, list: &BundleList, store| message(&decide(bench, list, store).unwrap_err());
    let bench = Bench::with_programs(programs);
    let said = refusal(&bench, &list("1.35.4", "3.6.8"), Store::KeptIfReadable);
    assert!(said.contains("this host has no unfinished upgrade"), "{said}");

    let (bench, before) = upgraded("3.6.8", "3.6.9");
    let said = refusal(&bench, &list("1.36.3", "3.6.9"), Store::KeptIfReadable);
    assert!(said.contains("the upgrade is done except for its last records"), "{said}");
    fs::remove_file(bench.path(&snapshot_path("1.36.3".parse().unwrap())[1..])).unwrap();
    decide(&bench, &before, Store::KeptIfReadable).expect("it needs no snapshot");
    let said = refusal(&bench, &before, Store::Restored);
    assert!(said.contains("etcd cannot be brought back; nothing was changed"), "{said}");
    bench.file("var/lib/kinstall/upgrade/former/usr/local/bin/etcd", "half");
    let said = refusal(&bench, &before, Store::KeptIfReadable);
    assert!(said.contains("is damaged"), "{said}");
    fs::remove_file(bench.path("var/lib/kinstall/upgrade/former.json")).unwrap();
    let said = refusal(&bench, &before, Store::KeptIfReadable);
    assert!(said.contains("has no copies of what ran before the upgrade"), "{said}");
    assert_eq!(bench.read("usr/local/bin/etcd"), "etcd of after");
}
