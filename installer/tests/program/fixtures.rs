//! Bundles of format 1 that were made once (`bundles/fixtures`): every later kinstall has to read them.

use std::process::Command;

use crate::folder::Folder;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures");

fn verified(folder: &Folder, bundle: &str, key: &str) -> String {
    let said = folder.kinstall(&["verify", bundle, "--key", key]);
    assert_eq!(said.code, Some(0), "{bundle}: {said}");
    said.stdout
}

#[test]
fn the_first_bundles_are_read() {
    let folder = Folder::new();
    let v1 = |name: &str| format!("{FIXTURES}/v1/{name}");
    for key in ["ecdsa.pub", "ed25519.pub"] {
        for bundle in ["bundle.tar.zst", "volumes.tar.zst.001"] {
            assert!(verified(&folder, &v1(bundle), &v1(key)).contains("entries    8"));
        }
    }
    verified(&folder, &v1("by-hand.tar.zst"), &v1("by-hand.pub"));
}

#[test]
fn a_differential_bundle_names_its_base() {
    let said = Folder::new().kinstall(&[
        "verify",
        &format!("{FIXTURES}/v1/differential.tar.zst"),
        "--key",
        &format!("{FIXTURES}/v1/ecdsa.pub"),
    ]);
    assert_eq!(said.code, Some(3), "{said}");
    assert!(said.stderr.contains("bundle.tar.zst (Kubernetes 1.25.2, list sha256:"), "{said}");
    assert!(said.stderr.contains("give its base with `--base`, or complete it with `kinstall join`"), "{said}");
}

#[test]
fn the_first_differential_bundle_is_read_with_its_base() {
    let v1 = |name: &str| format!("{FIXTURES}/v1/{name}");
    let (update, key) = (v1("differential.tar.zst"), v1("ecdsa.pub"));
    for base in ["bundle.tar.zst", "volumes.tar.zst.001"] {
        let folder = Folder::new();
        let arguments = ["--base", &v1(base), "--key", &key];
        for command in [&["verify", &update][..], &["extract", &update, "-C", "out"]] {
            let said = folder.kinstall(&[command, &arguments].concat());
            assert_eq!(said.code, Some(0), "{said}");
        }
        assert!(folder.path("out/artifacts/linux-amd64/kubelet").exists());
    }
}

#[test]
fn a_bundle_made_by_tar_zstd_and_openssl_is_read() {
    let folder = Folder::new();
    let made = Command::new(format!("{FIXTURES}/by-hand.sh")).arg(folder.path("")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    verified(&folder, "by-hand.tar.zst", "by-hand.pub");
}
