//! Bundles of format 1 that were made once (`bundles/fixtures`): every later kbundle has to read them.

use std::process::{Command, Stdio};

use fs_err as fs;

use crate::upstream::{failure, kbundle_in, success};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures/v1");
const BY_HAND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures/by-hand.sh");

/// A folder with copies of the bundles.
fn fixtures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(V1).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

#[test]
fn the_first_bundles_are_read() {
    let folder = fixtures();
    let kbundle = |arguments: &[&str]| success(&kbundle_in(folder.path()).args(arguments).output().unwrap());
    for key in ["ecdsa.pub", "ed25519.pub"] {
        for bundle in ["bundle.tar.zst", "volumes.tar.zst.001"] {
            assert!(kbundle(&["verify", bundle, "--key", key]).contains("entries    8"));
        }
        kbundle(&["verify", "differential.tar.zst", "--base", "bundle.tar.zst", "--key", key]);
        kbundle(&["verify", "differential.tar.zst", "--base", "volumes.tar.zst.001", "--key", key]);
    }
    kbundle(&["verify", "by-hand.tar.zst", "--key", "by-hand.pub"]);
    let both = ["--key", "ecdsa.pub", "--key", "ed25519.pub", "--threshold", "2"];
    kbundle(&[&["extract", "bundle.tar.zst", "-C", "all"][..], &both].concat());
    assert!(folder.path().join("all/artifacts/linux-amd64/kubelet").exists());
    assert_eq!(
        kbundle(&["cat", "by-hand.tar.zst", "artifacts/linux-amd64/kubelet", "--key", "by-hand.pub"]).lines().count(),
        2
    );
}

#[test]
fn the_first_bundles_are_joined_and_repaired() {
    let folder = fixtures();
    let kbundle = |arguments: &[&str]| success(&kbundle_in(folder.path()).args(arguments).output().unwrap());
    kbundle(&["join", "differential.tar.zst", "bundle.tar.zst", "--out", "next.tar.zst"]);
    kbundle(&["verify", "next.tar.zst", "--key", "ecdsa.pub"]);
    assert!(!kbundle(&["inspect", "next.tar.zst"]).contains("bases.json"));
    fs::remove_file(folder.path().join("volumes.tar.zst.002")).unwrap();
    kbundle(&["repair", "."]);
    kbundle(&["verify", "volumes.tar.zst.001", "--key", "ecdsa.pub"]);
}

#[test]
fn a_differential_bundle_names_its_base() {
    let folder = fixtures();
    let (code, text) = failure(
        &kbundle_in(folder.path()).args(["verify", "differential.tar.zst", "--key", "ecdsa.pub"]).output().unwrap(),
    );
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("bundle.tar.zst (Kubernetes 1.25.2, list sha256:"), "{text}");
}

/// The script has nothing but the text of the format.
#[test]
fn a_bundle_made_by_tar_zstd_and_openssl_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(BY_HAND).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let verify = |bundle, input| {
        kbundle_in(folder.path()).args(["verify", bundle, "--key", "by-hand.pub"]).stdin(input).output().unwrap()
    };
    success(&verify("by-hand.tar.zst", Stdio::null()));
    let (file, _) = fs::File::open(folder.path().join("by-hand.tar.zst")).unwrap().into_parts();
    success(&verify("-", Stdio::from(file)));
}
