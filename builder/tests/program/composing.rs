//! Bundles made from other bundles, and bundles built again.

use fs_err as fs;
use kbundle_format::{BundleWriter, IndexedBundle, SignatureCheck};

use crate::upstream::{KUBELET, Upstream, failure, noise, success};

const KEY: &str = "--key=signing.pub";

/// A bundle, and a later catalog with another kubelet.
fn updated() -> Upstream {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=old.tar.zst"]));
    let kubelet = noise(7, 500_000);
    let catalog = fs::read_to_string(upstream.path("catalog.yaml")).unwrap();
    let digest = |content: &[u8]| kbundle_format::Digest::of(content).hex();
    let changed = catalog.replace(&digest(&upstream.kubelet), &digest(&kubelet));
    assert_ne!(changed, catalog);
    fs::write(upstream.path("catalog.yaml"), changed).unwrap();
    upstream.server.serve(KUBELET, &kubelet);
    upstream
}

#[test]
fn a_difference_is_checked_against_its_base_and_joined_to_the_full_bundle() {
    let upstream = updated();
    success(&upstream.build(&["--key=signing.key", "--out=full.tar.zst"]));
    success(&upstream.build(&["--key=signing.key", "--out=update.tar.zst", "--since=old.tar.zst"]));
    let size = |name: &str| fs::metadata(upstream.path(name)).unwrap().len();
    assert!(size("update.tar.zst") < size("full.tar.zst") - 250_000);

    let (code, text) = failure(&upstream.kbundle(["verify", "update.tar.zst", KEY]));
    assert_eq!(code, 3);
    assert!(text.contains("in the signed list but not in the file"), "{text}");
    success(&upstream.kbundle(["verify", "update.tar.zst", "--base=old.tar.zst", KEY]));
    success(&upstream.kbundle(["join", "update.tar.zst", "old.tar.zst", "--out=joined.tar.zst"]));
    assert!(fs::read(upstream.path("joined.tar.zst")).unwrap() == fs::read(upstream.path("full.tar.zst")).unwrap());

    let (code, text) = failure(&upstream.kbundle(["join", "update.tar.zst", "update.tar.zst", "--out=no.tar.zst"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("hint: give the older bundles"), "{text}");
    assert!(!upstream.path("no.tar.zst").exists());

    let mut old = fs::read(upstream.path("old.tar.zst")).unwrap();
    let late = old.len() - 100_000;
    old[late] ^= 1;
    fs::write(upstream.path("old.tar.zst"), old).unwrap();
    for arguments in [
        ["verify", "update.tar.zst", "--base=old.tar.zst", KEY],
        ["join", "update.tar.zst", "old.tar.zst", "--out=no.tar.zst"],
    ] {
        assert_eq!(failure(&upstream.kbundle(arguments)).0, 3);
    }
    assert!(!upstream.path("no.tar.zst").exists());
}

#[test]
fn a_subset_carries_everything_of_its_role() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=full.tar.zst"]));
    success(&upstream.kbundle(["subset", "full.tar.zst", "--role=etcd", "--out=etcd.tar.zst"]));
    success(&upstream.kbundle(["verify", "etcd.tar.zst", "--role=etcd", KEY]));
    let (code, text) = failure(&upstream.kbundle(["verify", "etcd.tar.zst", "--role=worker", KEY]));
    assert_eq!(code, 3, "{text}");
    let (code, text) = failure(&upstream.kbundle(["verify", "etcd.tar.zst", "--role=master", KEY]));
    assert_eq!(code, 2);
    assert!(text.contains("expected control-plane, etcd or worker"), "{text}");
}

#[test]
fn volumes_are_the_bundle_they_were_cut_from() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=b.tar.zst"]));
    let whole = fs::read(upstream.path("b.tar.zst")).unwrap();
    fs::create_dir(upstream.path("stick")).unwrap();
    success(&upstream.build(&["--key=signing.key", "--out=stick/b.tar.zst", "--split=300KiB"]));
    success(&upstream.kbundle(["split", "b.tar.zst", "--size=300KiB", "--parity=1", "--out=cut.tar.zst"]));
    let joined = |folder: &str, name: &str| -> Vec<u8> {
        let volume = |number: u32| upstream.path(folder).join(format!("{name}.{number:03}"));
        (1..=99)
            .map(volume)
            .take_while(|path| path.exists())
            .flat_map(|path| fs::read(path).unwrap()[256..].to_vec())
            .collect()
    };
    assert!(joined("stick", "b.tar.zst") == whole);
    assert!(joined(".", "cut.tar.zst") == whole);
    fs::remove_file(upstream.path("cut.tar.zst.002")).unwrap();
    success(&upstream.kbundle(["repair", "cut.tar.zst.001"]));
    assert!(joined(".", "cut.tar.zst") == whole);
    for command in ["inspect", "verify"] {
        success(&upstream.kbundle([command, "stick", KEY]));
    }
    success(&upstream.kbundle(["extract", "stick", "index.json", "-C", "out", KEY]));
    let (code, text) = failure(&upstream.kbundle(["split", "b.tar.zst", "--size=10"]));
    assert_eq!(code, 2, "{text}");
}

/// Writes the bundle again with the same list, but compressed at another level than the list says.
fn recompress(path: &std::path::Path, level: i32) {
    let old = IndexedBundle::open(path, SignatureCheck::Skipped).unwrap();
    let mut writer = BundleWriter::new(std::io::Cursor::new(Vec::new()), level).unwrap();
    writer.list(&old.head().list_bytes).unwrap();
    old.head().signatures.iter().for_each(|signature| writer.signature(signature).unwrap());
    old.head().attestations.iter().for_each(|attestation| writer.attestation(attestation).unwrap());
    for entry in &old.list().entries {
        writer.entry(entry, &mut old.read_entry(entry).unwrap().as_slice()).unwrap();
    }
    fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
}

#[test]
fn a_bundle_is_made_again_from_its_own_list() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=b.tar.zst"]));
    let port = upstream.server.port();
    let again = || {
        let mirrors = [
            format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"),
            format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
        ];
        let rest = ["build", "--reproduce=b.tar.zst", "--cache=new-cache"];
        upstream.kbundle(rest.into_iter().chain(mirrors.iter().map(String::as_str)))
    };
    assert!(success(&again()).contains("identical, byte for byte"));
    let mut bytes = fs::read(upstream.path("b.tar.zst")).unwrap();
    recompress(&upstream.path("b.tar.zst"), 1);
    let (code, text) = failure(&again());
    assert_eq!(code, 3);
    assert!(text.contains("the content is identical (9 entries), its compression is not"), "{text}");
    assert!(text.contains("what it holds is what was signed"), "{text}");
    bytes[400_000] ^= 1;
    fs::write(upstream.path("b.tar.zst"), bytes).unwrap();
    let (code, text) = failure(&again());
    assert_eq!(code, 3);
    let place = "not identical: the first difference is at offset 400000, in artifacts/linux-amd64/kubelet";
    assert!(text.contains(place) && text.contains("the copy is bad, or the bundle was changed"), "{text}");
}
