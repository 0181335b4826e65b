//! Bundles in volumes, with some lost or damaged; differential bundles and their bases; the commands about files of a bundle.

use std::path::{Path, PathBuf};

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::Platform;

use crate::folder::{Folder, Said, Signature};

const KEY: [&str; 2] = ["--key", "signing.pub"];
const KUBELET: &str = "/kubelet";

/// A folder with the bundle `good.tar.zst`, and its volumes in `stick`.
fn cut(parity: u32) -> (Folder, Vec<u8>, Vec<PathBuf>) {
    let folder = Folder::new();
    let bytes = folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let volumes = folder.split(&bytes, 130_000, parity);
    (folder, bytes, volumes)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn with_key(folder: &Folder, arguments: &[&str]) -> Said {
    folder.kinstall(&[arguments, &KEY].concat())
}

/// The path of the kubelet in the bundle.
fn kubelet() -> String {
    let here = Platform::of_this_program();
    format!("artifacts/{}-{}{KUBELET}", here.os(), here.architecture())
}

#[test]
fn a_missing_volume_is_rebuilt_from_parity_and_named() {
    let (folder, _, volumes) = cut(1);
    fs::remove_file(&volumes[1]).unwrap();
    let said = with_key(&folder, &["verify", "stick"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_snapshot!(said.stderr, @"WARNING: volume b.tar.zst.002 (2 of 4) is missing; it is rebuilt from parity in memory. Nothing is lost yet; copy it again, or write it again with `kinstall repair`");
    // An installation goes on with it, as far as this bundle goes.
    let run = with_key(&folder, &["run", "stick", "--dry-run"]);
    assert!(run.stderr.contains("002 (2 of 4) is missing") && !run.to_string().contains("refused"), "{run}");
    assert!(!volumes[1].exists(), "reading writes nothing");
}

#[test]
fn a_damaged_volume_is_rebuilt_from_parity_and_named() {
    let (folder, _, volumes) = cut(1);
    flip(&volumes[1], 70_000);
    let said = with_key(&folder, &["verify", "stick", "--output", "json"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(
        said.stderr.starts_with("WARNING: volume stick/b.tar.zst.002 (2 of 4) is damaged; it is rebuilt"),
        "{said}"
    );
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(report["mendedVolumes"][0].as_str().unwrap().contains("b.tar.zst.002 (2 of 4) is damaged"), "{report}");
    // Its header, and the file cut off.
    flip(&volumes[1], 100);
    assert_eq!(with_key(&folder, &["verify", "stick"]).code, Some(0));
    let whole = fs::read(&volumes[1]).unwrap();
    fs::write(&volumes[1], &whole[..1000]).unwrap();
    assert_eq!(with_key(&folder, &["verify", "stick"]).code, Some(0));
}

#[test]
fn every_volume_can_be_the_one_that_is_damaged() {
    let (folder, _, volumes) = cut(1);
    for (volume, number) in volumes.iter().zip(1..) {
        let whole = fs::read(volume).unwrap();
        for at in [256, whole.len() - 1] {
            flip(volume, at);
            let said = with_key(&folder, &["verify", "stick"]);
            let named = said.stderr.contains(&format!("b.tar.zst.{number:03} ({number} of 4) is damaged"));
            // Parity that is not needed is not checked.
            assert!(said.code == Some(0) && (named || number == 5), "byte {at} of {}: {said}", volume.display());
            fs::write(volume, &whole).unwrap();
        }
    }
}

#[test]
fn more_damage_than_parity_says_which_volumes_to_plug_in_or_copy() {
    let (folder, _, volumes) = cut(1);
    fs::remove_file(&volumes[0]).unwrap();
    fs::remove_file(&volumes[2]).unwrap();
    assert_snapshot!(with_key(&folder, &["run", "stick", "--dry-run"]), @"
    exit code 3
    --- stdout
    --- stderr
    error: the bundle was refused; nothing on this host was changed
      caused by: parity makes up for 1 lost or damaged volume(s), and there are 2: volume b.tar.zst.001 is missing; volume b.tar.zst.003 is missing
    hint: plug in or copy again at least 1 of them, and name every folder that has volumes
    ");
    let (folder, _, volumes) = cut(0);
    fs::remove_file(&volumes[0]).unwrap();
    assert_snapshot!(with_key(&folder, &["verify", "stick"]), @"
    exit code 3
    --- stdout
    --- stderr
    error: refused stick
      caused by: of 4 volumes these are missing: 1 (b.tar.zst.001)
    hint: name every folder or stick with volumes (`--volumes DIR`), or copy what is missing again; a parity volume beside them stands in for any one
    ");
    let (folder, _, volumes) = cut(1);
    for volume in [&volumes[1], &volumes[2]] {
        flip(volume, 70_000);
    }
    let said = with_key(&folder, &["verify", "stick"]);
    assert_eq!(said.code, Some(3), "{said}");
    for volume in ["volume stick/b.tar.zst.002 is damaged", "volume stick/b.tar.zst.003 is damaged"] {
        assert!(said.stderr.contains(volume), "{said}");
    }
    assert!(said.stderr.contains("until at most 1 are left, which parity makes up for"), "{said}");
}

#[test]
fn volumes_are_repaired_and_joined() {
    let (folder, bytes, volumes) = cut(1);
    let before = fs::read(&volumes[1]).unwrap();
    fs::remove_file(&volumes[1]).unwrap();
    let joined = folder.kinstall(&["join", "stick", "--out", "joined.tar.zst"]);
    assert_eq!(joined.code, Some(0), "{joined}");
    assert!(fs::read(folder.path("joined.tar.zst")).unwrap() == bytes);
    let again = folder.kinstall(&["join", "stick", "--out", "joined.tar.zst"]);
    assert_eq!(again.code, Some(3), "{again}");
    assert_snapshot!(folder.kinstall(&["repair", "stick"]), @"
    exit code 0
    --- stdout
    --- stderr
    stick/b.tar.zst.002
    ");
    assert!(fs::read(&volumes[1]).unwrap() == before);
    let repaired = folder.kinstall(&["repair", "stick"]);
    assert!(repaired.code == Some(0) && repaired.stderr.contains("nothing was done"), "{repaired}");
    fs::remove_file(&volumes[0]).unwrap();
    fs::remove_file(&volumes[1]).unwrap();
    let refused = folder.kinstall(&["repair", "stick"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("volume b.tar.zst.001 is missing"), "{refused}");
    assert!(!volumes[0].exists());
}

#[test]
fn a_differential_bundle_is_used_with_its_base() {
    let folder = Folder::new();
    let full = folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    folder.differential("update.tar.zst");
    let base = ["--base", "good.tar.zst"];
    let with_base = |arguments: &[&str]| with_key(&folder, &[arguments, &base].concat());

    let alone = with_key(&folder, &["run", "update.tar.zst", "--dry-run"]);
    assert!(alone.code == Some(3) && alone.stderr.contains("`--base`"), "{alone}");
    assert!(alone.stderr.contains("`kinstall join`"), "{alone}");
    let verified = with_base(&["verify", "update.tar.zst"]);
    assert!(verified.code == Some(0) && verified.stdout.contains("left out   2"), "{verified}");
    let run = with_base(&["run", "update.tar.zst", "--dry-run"]);
    assert!(!run.to_string().contains("refused"), "{run}");
    let preflight = with_base(&["preflight", "update.tar.zst", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&preflight.stdout).unwrap();
    assert!(value["findings"].is_array(), "{preflight}");
    let extracted = with_base(&["extract", "update.tar.zst", "-C", "out"]);
    assert_eq!(extracted.code, Some(0), "{extracted}");
    assert!(
        folder.path("out").join(kubelet()).exists()
            && folder.path("out").join(kubelet().replace("let", "ctl")).exists()
    );
    let joined = folder.kinstall(&["join", "update.tar.zst", "good.tar.zst", "--out", "joined.tar.zst"]);
    assert_eq!(joined.code, Some(0), "{joined}");
    assert_eq!(with_key(&folder, &["verify", "joined.tar.zst"]).code, Some(0));

    // The base is damaged in an entry that is taken from it.
    let mut damaged = full;
    let late = damaged.len() - 60_000;
    damaged[late] ^= 1;
    fs::write(folder.path("good.tar.zst"), damaged).unwrap();
    let run = with_base(&["run", "update.tar.zst", "--dry-run"]);
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("of the base good.tar.zst, near artifacts/"), "{run}");
    assert_eq!(with_base(&["verify", "update.tar.zst"]).code, Some(3));
    let absent = with_key(&folder, &["run", "update.tar.zst", "--dry-run", "--base", "nowhere.tar.zst"]);
    assert!(absent.code == Some(2) && absent.stderr.contains("nowhere.tar.zst"), "{absent}");
}

#[test]
fn standard_input_is_read_as_by_kbundle() {
    let folder = Folder::new();
    folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    folder.differential("update.tar.zst");
    let piped = |name: &str, arguments: &[&str]| {
        let input = fs::File::open(folder.path(name)).unwrap().into_parts().0;
        folder.kinstall_reading(input, &[arguments, &KEY].concat())
    };
    for arguments in [&["verify", "-"][..], &["inspect", "-"], &["extract", "-", "-C", "out"]] {
        let said = piped("good.tar.zst", arguments);
        assert_eq!(said.code, Some(0), "{said}");
    }
    assert!(folder.path("out").join(kubelet()).exists());
    assert_eq!(piped("update.tar.zst", &["verify", "-", "--base", "good.tar.zst"]).code, Some(0));
    let partial = piped("update.tar.zst", &["verify", "-"]);
    assert!(partial.code == Some(3) && partial.stderr.contains("standard input"), "{partial}");
}

#[test]
fn a_bundle_is_shown_and_unpacked() {
    let folder = Folder::new();
    let bytes = folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    let shown = with_key(&folder, &["inspect", "good.tar.zst"]);
    assert!(shown.code == Some(0) && shown.stdout.contains("`kinstall verify` does that"), "{shown}");
    let unpacked = with_key(&folder, &["extract", "good.tar.zst", &kubelet(), "-C", "out"]);
    assert_eq!(unpacked.code, Some(0), "{unpacked}");
    assert_eq!(fs::metadata(folder.path("out").join(kubelet())).unwrap().len(), 300_000);
    let unknown = with_key(&folder, &["extract", "good.tar.zst", "no/such", "-C", "out"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("`kinstall inspect`"), "{unknown}");

    // Damage is reported as by `verify`.
    let mut damaged = bytes;
    let late = damaged.len() - 60_000;
    damaged[late] ^= 1;
    fs::write(folder.path("good.tar.zst"), damaged).unwrap();
    let extract = with_key(&folder, &["extract", "good.tar.zst", "-C", "damaged"]);
    let verify = with_key(&folder, &["verify", "good.tar.zst"]);
    assert_eq!((extract.code, &extract.stderr), (Some(3), &verify.stderr));
    assert!(!folder.path("damaged").join(kubelet().replace("let", "ctl")).exists());
}
