//! Bundles read: from files, volumes and standard input; unpacked, exported, damaged.

use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use kbundle_format::Digest;

use crate::upstream::{Image, Upstream, failure, kbundle_in, noise, success};

const BUNDLE: &str = "bundle.tar.zst";
const KEY: &str = "--key=signing.pub";

fn built(more: &[&str]) -> Upstream {
    let upstream = Upstream::new();
    let arguments: Vec<_> = ["--key=signing.key", "--out=bundle.tar.zst"].iter().chain(more).copied().collect();
    success(&upstream.build(&arguments));
    upstream
}

fn piped<'a>(upstream: &Upstream, arguments: impl IntoIterator<Item = &'a str>) -> Output {
    let input = fs::File::open(upstream.path(BUNDLE)).unwrap();
    kbundle_in(upstream.directory.path()).args(arguments).stdin(Stdio::from(input.into_parts().0)).output().unwrap()
}

#[test]
fn verifies_unpacks_and_prints_from_a_file_and_from_standard_input() {
    let upstream = built(&[]);
    let kubelet = "artifacts/linux-amd64/kubelet";
    success(&piped(&upstream, ["verify", "-", KEY]));
    let printed = upstream.kbundle(["cat", BUNDLE, kubelet, KEY]);
    assert!(printed.status.success() && printed.stdout == upstream.kubelet);
    assert!(piped(&upstream, ["cat", "-", kubelet, KEY]).stdout == upstream.kubelet);
    success(&upstream.kbundle(["extract", BUNDLE, kubelet, "-C", "some", KEY]));
    assert_eq!(fs::read(upstream.path("some").join(kubelet)).unwrap(), upstream.kubelet);
    assert!(!upstream.path("some/index.json").exists());
    success(&upstream.kbundle(["extract", BUNDLE, "-C", "all", KEY]));
    success(&piped(&upstream, ["extract", "-", "-C", "piped", KEY]));
    let same = Command::new("diff").args(["-r", "all", "piped"]).current_dir(upstream.directory.path()).status();
    assert!(same.unwrap().success());
    let list = upstream.kbundle(["cat", BUNDLE, "bundle.json", KEY]).stdout;
    assert_eq!(list, fs::read(upstream.path("all/bundle.json")).unwrap());
}

#[test]
fn what_cannot_be_done_says_what_and_why() {
    let upstream = built(&[]);
    let (code, text) = failure(&upstream.kbundle(["cat", BUNDLE, "no/such", KEY]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(text, @r"
    error: the bundle has no no/such
    hint: `kbundle inspect` shows what it holds
    ");
    let (code, text) = failure(&piped(&upstream, ["sign", "-", "--key=signing.key"]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(text, @r"
    error: refused to sign standard input
      caused by: this cannot be done in one pass over standard input
    hint: store the bundle in a file first
    ");
    let (code, text) = failure(&upstream.kbundle(["cat", BUNDLE, "bundle.json"]));
    assert_eq!(code, 2, "{text}");
    assert_eq!(failure(&upstream.kbundle(["verify", "missing", KEY])).0, 2);
}

/// The flipped place in a volume depends on the length of the signature before it.
fn digests_hidden(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "sha256:HEX" + part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit())
    })
}

#[test]
fn damage_is_named_by_volume_and_entry() {
    let upstream = built(&["--split=256KiB", "--parity=1"]);
    fs::create_dir(upstream.path("stick")).unwrap();
    fs::rename(upstream.path("bundle.tar.zst.002"), upstream.path("stick/bundle.tar.zst.002")).unwrap();
    let verify =
        |more: &[&'static str]| upstream.kbundle(["verify", "bundle.tar.zst.001", KEY].iter().chain(more).copied());
    // Parity can replace one volume.
    let (verified, mended) = (verify(&[]), failure(&verify(&[])).1);
    success(&verified);
    insta::assert_snapshot!(mended, @"WARNING: volume bundle.tar.zst.002 (2 of 4) is missing; it is rebuilt from parity in memory. Nothing is lost yet; copy it again, or write it again with `kbundle repair`");
    fs::create_dir(upstream.path("away")).unwrap();
    fs::rename(upstream.path("bundle.tar.zst.p01"), upstream.path("away/p01")).unwrap();
    let (code, text) = failure(&verify(&[]));
    assert_eq!(code, 3);
    insta::assert_snapshot!(text, @"
    error: refused bundle.tar.zst.001
      caused by: of 4 volumes these are missing: 2 (bundle.tar.zst.002)
    hint: name every folder or stick with volumes (`--volumes DIR`), or copy what is missing again; a parity volume beside them stands in for any one
    ");
    let both = ["--volumes=stick"];
    success(&verify(&both));

    let mut volume = fs::read(upstream.path("stick/bundle.tar.zst.002")).unwrap();
    volume[100_000] ^= 1;
    fs::write(upstream.path("stick/bundle.tar.zst.002"), volume).unwrap();
    let (code, text) = failure(&verify(&both));
    assert_eq!(code, 3);
    insta::assert_snapshot!(digests_hidden(&text), @"
    error: refused bundle.tar.zst.001
      caused by: 1 entry is damaged
        volume stick/bundle.tar.zst.002 is damaged
        artifacts/linux-amd64/kubelet: digest sha256:HEX instead of sha256:HEX
          the medium or the copy is bad, within bytes 261888 to 523775 (from byte 256 of stick/bundle.tar.zst.002 on), near artifacts/linux-amd64/kubelet
    hint: copy the damaged volumes again from where the bundle was built; with a parity volume beside them, any one may be damaged
    ");
    let report = verify(&["--volumes=stick", "--output=json"]).stdout;
    insta::assert_snapshot!(digests_hidden(&String::from_utf8(report).unwrap()), @r#"{"schema":1,"bundle":"bundle.tar.zst.001","damagedEntries":[{"from":261888,"path":"artifacts/linux-amd64/kubelet","reason":"digest sha256:HEX instead of sha256:HEX","to":523776,"verdict":"damaged"}],"damagedVolumes":["stick/bundle.tar.zst.002"],"verified":false,"error":{"kind":"refused","message":"refused bundle.tar.zst.001","causes":["1 entry is damaged\nvolume stick/bundle.tar.zst.002 is damaged\nartifacts/linux-amd64/kubelet: digest sha256:HEX instead of sha256:HEX\n  the medium or the copy is bad, within bytes 261888 to 523775 (from byte 256 of stick/bundle.tar.zst.002 on), near artifacts/linux-amd64/kubelet"],"hint":"copy the damaged volumes again from where the bundle was built; with a parity volume beside them, any one may be damaged","exitCode":3}}"#);

    fs::rename(upstream.path("away/p01"), upstream.path("bundle.tar.zst.p01")).unwrap();
    let (code, text) = failure(&verify(&both));
    assert!(code == 0 && text.contains("002 (2 of 4) is damaged; it is rebuilt from parity in memory"), "{text}");
    success(&upstream.kbundle(["repair", ".", "stick", "--out=stick/bundle.tar.zst"]));
    success(&verify(&both));
    fs::remove_file(upstream.path("bundle.tar.zst.001")).unwrap();
    fs::remove_file(upstream.path("bundle.tar.zst.003")).unwrap();
    let (code, text) = failure(&upstream.kbundle(["repair", ".", "stick"]));
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains(
            "parity makes up for 1 lost or damaged volume(s), and there are 2: volume bundle.tar.zst.001 is missing"
        ),
        "{text}"
    );
}

#[test]
fn nothing_is_written_outside_the_target() {
    let upstream = built(&[]);
    let outside = upstream.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(upstream.path("target")).unwrap();
    symlink(&outside, upstream.path("target/artifacts")).unwrap();
    let (code, text) = failure(&upstream.kbundle(["extract", BUNDLE, "-C", "target", KEY]));
    assert_eq!(code, 1);
    assert!(text.contains("links are not followed"), "{text}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

    symlink(&outside, upstream.path("link")).unwrap();
    for arguments in [["extract", BUNDLE, "-C", "link", KEY], ["export", BUNDLE, "--oci", "link", KEY]] {
        let (code, text) = failure(&upstream.kbundle(arguments));
        assert_eq!(code, 3, "{text}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn damaged_and_foreign_bundles_are_not_unpacked() {
    let upstream = built(&[]);
    success(&upstream.kbundle(["keygen", "--out=stranger.key"]));
    let (code, _) = failure(&upstream.kbundle(["extract", BUNDLE, "-C", "out", "--key=stranger.pub"]));
    assert_eq!(code, 3);
    assert!(!upstream.path("out").exists());

    let mut bytes = fs::read(upstream.path(BUNDLE)).unwrap();
    let (kubelet, layer) = (bytes.len() / 2, bytes.len() - 100_000);
    bytes[kubelet] ^= 1;
    bytes[layer] ^= 1;
    fs::write(upstream.path(BUNDLE), bytes).unwrap();
    let verified = failure(&upstream.kbundle(["verify", BUNDLE, KEY]));
    assert!(verified.0 == 3 && verified.1.contains("2 entries are not as signed"), "{}", verified.1);
    assert_eq!(failure(&upstream.kbundle(["extract", BUNDLE, "-C", "out", KEY])), verified);
    for arguments in [
        &["export", BUNDLE, "--oci", "layout", KEY][..],
        &["cat", BUNDLE, "artifacts/linux-amd64/kubelet", KEY],
        &["subset", BUNDLE, "--role=worker", "--out=worker.tar.zst"],
    ] {
        let (code, text) = failure(&upstream.kbundle(arguments.iter().copied()));
        assert_eq!(code, 3, "{text}");
        assert!(
            text.contains("the copy is bad, or the bundle was changed after it was signed, within bytes "),
            "{text}"
        );
    }
    assert!(!upstream.path("out/artifacts/linux-amd64/kubelet").exists(), "the damaged entry has its name");
    assert!(!upstream.path("layout").exists());
    let left = fs::read_dir(upstream.directory.path()).unwrap();
    assert!(left.map(|item| item.unwrap().file_name()).all(|name| !name.to_string_lossy().starts_with(".incomplete-")));
}

/// skopeo has to be installed (`ci/test` does that): a test that cannot run has not passed.
#[test]
fn skopeo_takes_the_exported_layout_with_the_upstream_digests() {
    let upstream = built(&[]);
    success(&upstream.kbundle(["export", BUNDLE, "--oci", "layout", KEY]));
    skopeo_copies(&upstream, "layout");
    let (code, text) = failure(&upstream.kbundle(["export", BUNDLE, "--oci", "layout", KEY]));
    assert_eq!(code, 3, "{text}");
}

fn skopeo_copies(upstream: &Upstream, layout: &str) {
    let copied = Command::new("skopeo")
        .args(["copy", "--preserve-digests"])
        .args([format!("oci:{layout}:registry.k8s.io/pause:3.9"), format!("dir:{layout}-copied")])
        .current_dir(upstream.directory.path())
        .output()
        .expect("skopeo is needed");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let manifest = fs::read(upstream.path(&format!("{layout}-copied/manifest.json"))).unwrap();
    assert_eq!(Digest::of(&manifest), Digest::of(&upstream.image.manifest));
}

#[test]
fn a_subset_exports_the_images_that_it_carries() {
    let upstream = Upstream::new();
    let config = |author: &str| serde_json::json!({ "os": "linux", "architecture": "amd64", "author": author });
    upstream.add_image("api", &Image::of(&config("api"), noise(3, 100_000)));
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    success(&upstream.kbundle(["subset", BUNDLE, "--role=worker", "--out=worker.tar.zst"]));
    let exported = upstream.kbundle(["export", "worker.tar.zst", "--oci", "layout", KEY]);
    let (_, text) = failure(&exported);
    assert!(exported.status.success() && text.contains("1 images of the 2 in the list"), "{text}");
    skopeo_copies(&upstream, "layout");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(upstream.path("layout/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);

    success(&upstream.kbundle(["subset", BUNDLE, "--role=etcd", "--out=etcd.tar.zst"]));
    let (code, text) = failure(&upstream.kbundle(["export", "etcd.tar.zst", "--oci", "none", KEY]));
    assert!(code == 3 && text.contains("the bundle carries none of the 2 images in its list"), "{text}");

    // A newer image on a layer that the base has.
    let newer = Image::of(&config("newer"), noise(3, 100_000));
    upstream.add_image("newer", &newer);
    success(&upstream.build(&["--key=signing.key", "--out=update.tar.zst", "--since=bundle.tar.zst"]));
    let (code, text) = failure(&upstream.kbundle(["export", "update.tar.zst", "--oci", "none", KEY]));
    assert_eq!(code, 3, "{text}");
    let layer = format!("blobs/sha256/{} of registry.k8s.io/pause:newer", Digest::of(&newer.layer).hex());
    assert!(text.contains(&layer) && text.contains("hint: complete it first"), "{text}");
    assert!(!upstream.path("none").exists() && upstream.incomplete() == 0);
}

/// A file system of a few hundred KiB: the kernel refuses to write more. Needs root, like the lab.
#[test]
fn a_full_disk_leaves_nothing_that_looks_whole() {
    let upstream = built(&[]);
    let small = upstream.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"]).arg(&small).status().unwrap();
    assert!(mounted.success(), "mounting a tmpfs needs root");
    let unpacked = upstream.kbundle(["extract", BUNDLE, "-C", "small/out", KEY]);
    let exported = upstream.kbundle(["export", BUNDLE, "--oci", "small/layout", KEY]);
    let found = Command::new("find").arg(&small).args(["-type", "f", "-size", "+8k"]).output().unwrap().stdout;
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    for output in [unpacked, exported] {
        let (code, text) = failure(&output);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("No space left on device"), "{text}");
    }
    assert_eq!(String::from_utf8(found).unwrap(), "");
}
