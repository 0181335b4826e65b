use std::path::Path;

use fs_err as fs;
use kbundle_format::Digest;

use super::act::{Act, Recovering, set_aside_path, snapshot_path};
use super::look::{Data, MemberState, look};
use super::*;
use crate::failure::message;
use crate::fixture::Cluster;
use crate::fixture::bench::{Bench, FAILS, KUBECONFIG};
use crate::host::{Change, Command};
use crate::join_material::JoinMaterial;
use crate::steps::etcd::{Start, configure};

const NOW: &str = "2026-11-28T19:00:00Z";
const BEGUN: &str = "2026-11-28T190000Z";
const DATA: &str = "var/lib/etcd/member/snap/db";

/// A host with programs that answer and do to the root what the real ones do; a call of one that the root's `cut` names ends the work.
fn programs(root: &Path, command: &Command) -> Option<String> {
    let called = command.to_string();
    if fs::read_to_string(root.join("cut")).is_ok_and(|cut| called.contains(&cut)) {
        return Some(format!("{FAILS}the power is gone"));
    }
    let word = |word: &str| called.contains(word);
    match () {
        () if word("systemctl restart etcd.service") => start_etcd(root),
        () if word("snapshot save") => {
            let path = root.join(command.arguments.last().unwrap().trim_start_matches('/'));
            let mut store = fs::read(root.join(DATA)).unwrap();
            store.resize(1024, b'.');
            fs::write(path, [&store[..], Digest::of(&store).as_bytes()].concat()).unwrap();
        }
        () if word("snapshot restore") => {
            let aside = root.join("var/lib/etcd/restored/member/snap");
            fs::create_dir_all(&aside).unwrap();
            fs::write(aside.join("db"), "of the snapshot").unwrap();
        }
        () if word("systemctl show") => {
            let unit = command.arguments.last().unwrap();
            return Some(format!(
                "Id={unit}\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
            ));
        }
        () if word("crictl") && word(" ps ") => return Some("0123\n".to_owned()),
        () if word(" pod ") => {
            let status = serde_json::json!({"containerID": "containerd://0123", "ready": true});
            return Some(serde_json::json!({"status": {"containerStatuses": [status]}}).to_string());
        }
        () if word("endpoint status") => {
            let answer = if root.join("answers").exists() { r#"[{"Status":{"header":{"revision":41}}}]"# } else { "" };
            return Some(if answer.is_empty() {
                format!("{FAILS}context deadline exceeded")
            } else {
                answer.to_owned()
            });
        }
        () if word("snapshot status") => {
            let store = fs::read_to_string(root.join("var/lib/kinstall/etcd-looked-at.db")).unwrap();
            return Some(match store.as_str() {
                "cut" => format!("{FAILS}Usage: etcdutl\nError: unexpected end of file"),
                _ => r#"{"hash":1,"revision":40,"totalKey":7}"#.to_owned(),
            });
        }
        () => {}
    }
    None
}

/// What etcd does to its data: alone it changes them, and as a member it goes on with them.
fn start_etcd(root: &Path) {
    let config = fs::read_to_string(root.join("etc/etcd/etcd.yaml")).unwrap();
    let data = root.join(DATA);
    if config.contains("force-new-cluster: true") {
        return fs::write(data, "changed by etcd alone").unwrap();
    }
    if let Ok(found) = fs::read_to_string(&data) {
        return fs::write(data, format!("{found}, written to")).unwrap();
    }
    assert!(config.contains("initial-cluster-state: existing"), "an empty etcd was made");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    fs::write(data, "of the others").unwrap();
}

/// A control plane with a member of etcd, one of three.
fn member() -> Bench {
    let bench = Bench::with_programs(programs);
    let user = format!("etcd:x:{}:{}::/:/bin/false\n", nix::unistd::geteuid(), nix::unistd::getegid());
    bench.file("etc/passwd", &user);
    bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
    fs::create_dir_all(bench.path("var/lib")).unwrap();
    let mut host = bench.host();
    host.ledger_mut().record(Change::StepStarted { step: "etcd".into() }).unwrap();
    host.claim_tree("/var/lib/etcd").unwrap();
    bench.file(DATA, "of before");
    let members = [("c1".to_owned(), "https://192.0.2.1:2380".to_owned())].into();
    acting(&bench, |recovering| configure(recovering.host, &recovering.inputs, &Start::New(members))).unwrap();
    bench
}

fn acting<T>(bench: &Bench, act: impl FnOnce(&mut Recovering<'_>) -> T) -> T {
    bench.act_as(&Cluster::of_three_and_two(), "c1", &JoinMaterial::default(), |context| {
        let (inputs, progress) = (context.inputs, context.progress);
        act(&mut Recovering { host: &mut context.host, inputs, progress })
    })
}

fn run(bench: &Bench, act: &Act) -> anyhow::Result<()> {
    acting(bench, |recovering| recovering.run(act, NOW.parse().unwrap()))
}

/// Cuts the act off at each of these programs, and then does it.
fn run_cut(bench: &Bench, act: &Act, cuts: &[&str]) {
    for cut in cuts {
        bench.file("cut", cut);
        let error = message(&run(bench, act).unwrap_err());
        assert!(error.contains("the power is gone"), "{cut}: {error}");
        assert!(refuse_unfinished(&bench.host()).is_err(), "{cut}");
        fs::remove_file(bench.path("cut")).unwrap();
    }
    run(bench, act).unwrap();
}

fn others() -> Act {
    let members =
        [("c1", 1), ("c2", 2)].map(|(name, number)| (name.to_owned(), format!("https://192.0.2.{number}:2380")));
    Act::Rejoin(members.into())
}

fn looked(bench: &Bench) -> MemberState {
    acting(bench, |recovering| look(recovering.host, &recovering.inputs)).unwrap()
}

fn aside() -> String {
    format!("{}/snap/db", &set_aside_path(BEGUN)[1..])
}

#[test]
fn a_survivor_goes_on_alone_with_its_data_however_often_it_is_cut_off() {
    let bench = member();
    run_cut(&bench, &Act::Stop(Part::Survivor), &["systemctl stop kubelet", "crictl", "systemctl stop etcd"]);
    assert_eq!(bench.read(DATA), "of before");
    run_cut(&bench, &Act::Save, &["systemctl stop etcd", "systemctl restart etcd", "snapshot save"]);
    assert_eq!(bench.read(&aside()), "of before");
    let saved = fs::read(bench.path(&snapshot_path(BEGUN)[1..])).unwrap();
    assert!(saved.starts_with(b"changed by etcd alone."), "the snapshot has not what only the log had");
    run_cut(&bench, &Act::Restore, &["snapshot restore", "systemctl restart etcd"]);
    assert_eq!(bench.read(DATA), "of the snapshot, written to");
    // It may have served since: its data are not made again.
    run(&bench, &Act::Restore).unwrap();
    assert_eq!(bench.read(DATA), "of the snapshot, written to, written to");
    let config = bench.read("etc/etcd/etcd.yaml");
    assert!(config.contains("initial-cluster: c1=https://192.0.2.1:2380\n") && !config.contains("force"), "{config}");
    run_cut(&bench, &Act::Start, &["systemctl restart kubelet"]);
    refuse_unfinished(&bench.host()).unwrap();
    assert_eq!(bench.read(&aside()), "of before", "what was before stays");
}

#[test]
fn a_member_that_joins_again_keeps_its_former_data_beside() {
    let bench = member();
    run_cut(&bench, &Act::Stop(Part::Rejoins), &["crictl"]);
    run_cut(&bench, &Act::SetAside, &["systemctl stop etcd"]);
    assert_eq!(bench.read(&aside()), "of before");
    assert!(!bench.path(DATA).exists());
    run(&bench, &Act::SetAside).unwrap();
    run_cut(&bench, &others(), &["systemctl restart etcd"]);
    assert_eq!(bench.read(DATA), "of the others");
    run(&bench, &Act::Start).unwrap();
    refuse_unfinished(&bench.host()).unwrap();
}

#[test]
fn data_of_a_member_that_was_taken_out_once_more_are_set_aside_too() {
    let bench = member();
    for act in [Act::Stop(Part::Rejoins), Act::SetAside, others()] {
        run(&bench, &act).unwrap();
    }
    let later = |act: &Act| acting(&bench, |recovering| recovering.run(act, "2026-11-28T20:00:00Z".parse().unwrap()));
    later(&Act::SetAside).unwrap();
    assert_eq!(bench.read(&aside()), "of before");
    assert_eq!(bench.read("var/lib/etcd/before-recovery-2026-11-28T200000Z/snap/db"), "of the others");
}

#[test]
fn nothing_is_set_aside_where_something_lies_already() {
    let bench = member();
    bench.file(&aside(), "of another recovery");
    let error = run(&bench, &Act::Stop(Part::Survivor)).unwrap_err();
    assert!(message(&error).contains("the clock of this host was set back"), "{error:#}");
    assert_eq!(bench.read(DATA), "of before");
    refuse_unfinished(&bench.host()).unwrap();
}

#[test]
fn acts_of_another_part_are_refused() {
    let bench = member();
    for act in [Act::Save, Act::Restore, Act::SetAside, others()] {
        assert!(message(&run(&bench, &act).unwrap_err()).contains("has begun no such recovery"));
    }
    run(&bench, &Act::Stop(Part::Survivor)).unwrap();
    assert!(message(&run(&bench, &Act::Restore).unwrap_err()).contains("there is no snapshot of etcd yet"));
    assert_eq!(bench.read(DATA), "of before");
    insta::assert_snapshot!(message(&refuse_unfinished(&bench.host()).unwrap_err()), @"
    error: a recovery of etcd was begun on this host, and is not complete; nothing was changed
    hint: complete it where the cluster is led: `kinstall recover --config cluster.yaml`
    ");
}

#[test]
fn a_member_tells_how_far_its_data_are_and_whether_etcd_can_read_them() {
    let bench = member();
    let revision = |state: MemberState| match state.data {
        Data::Readable { revision, .. } => Ok(revision),
        other => Err(other),
    };
    assert_eq!(revision(looked(&bench)), Ok(40), "it does not run, so its file is read");
    bench.file("answers", "");
    assert_eq!(revision(looked(&bench)), Ok(41));
    fs::remove_file(bench.path("answers")).unwrap();
    bench.file(DATA, "cut");
    let found = looked(&bench);
    assert_eq!(
        found.data,
        Data::Unreadable { reason: format!("etcdutl cannot read /{DATA}: Error: unexpected end of file") }
    );
    assert_eq!((found.unfinished, found.members), (None, ["c1", "c2", "c3"].map(str::to_owned).to_vec()));
    assert!(!bench.path("var/lib/kinstall/etcd-looked-at.db").exists());
    fs::remove_dir_all(bench.path("var/lib/etcd/member")).unwrap();
    assert_eq!(looked(&bench).data, Data::None);
}

#[test]
fn data_that_were_set_aside_are_still_a_survivors_data() {
    let bench = member();
    run(&bench, &Act::Stop(Part::Survivor)).unwrap();
    bench.file("cut", "systemctl restart etcd");
    run(&bench, &Act::Save).unwrap_err();
    fs::remove_file(bench.path("cut")).unwrap();
    let found = looked(&bench);
    assert!(matches!(found.data, Data::Readable { revision: 40, .. }), "{found:?}");
    assert_eq!(found.unfinished, Some(Part::Survivor));
}
