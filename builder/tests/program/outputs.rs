//! Where a command may write: one rule for all commands.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use kbundle_format::{IndexedBundle, SignatureCheck};

use crate::upstream::{Upstream, failure, success};

const KEY: &str = "--key=signing.pub";

/// An upstream with a signed bundle `b.tar.zst`, and a differential one `d.tar.zst` on its base.
fn built() -> Upstream {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=b.tar.zst"]));
    success(&upstream.build(&["--key=signing.key", "--out=d.tar.zst", "--since=b.tar.zst"]));
    upstream
}

/// Runs every command that writes one file, with `out` as its output.
fn each_writer(upstream: &Upstream, out: &str, more: &[&str], check: impl Fn(&str, Output)) {
    let port = upstream.server.port();
    let mirrors = [
        format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"),
        format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
    ];
    let fetching =
        ["--k8s=1.30.0", "--catalog=catalog.yaml", "--cni=bridge", "--cache=cache", &mirrors[0], &mirrors[1]];
    let with_fetching = |command: &[&'static str]| -> Vec<String> {
        command.iter().chain(&fetching).map(|text| (*text).to_owned()).collect()
    };
    let plain = |command: &[&str]| -> Vec<String> { command.iter().map(|text| (*text).to_owned()).collect() };
    for command in [
        with_fetching(&["build", "--key=signing.key"]),
        with_fetching(&["lock"]),
        plain(&["join", "d.tar.zst", "b.tar.zst"]),
        plain(&["subset", "b.tar.zst", "--role=worker"]),
    ] {
        let arguments = command.iter().map(String::as_str).chain(["--out", out]).chain(more.iter().copied());
        check(&command[0], upstream.kbundle(arguments));
    }
}

#[test]
fn devices_folders_pipes_and_links_are_never_replaced() {
    let upstream = built();
    let at = |name: &str| upstream.path(name);
    fs::create_dir(at("folder")).unwrap();
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    symlink("b.tar.zst", at("link")).unwrap();
    let bundle = fs::read(at("b.tar.zst")).unwrap();
    // A separate device node with the numbers of /dev/null. Only root can make one, and not everywhere.
    let device = Command::new("mknod").arg(at("null")).args(["c", "1", "3"]).output().unwrap();
    let mut names = vec!["folder", "pipe", "link"];
    if device.status.success() {
        names.push("null");
    } else {
        eprintln!("NOT TESTED: a device node as output, mknod says {}", failure(&device).1);
    }
    for (name, flags) in names.iter().flat_map(|name| [(name, &[][..]), (name, &["--force"][..])]) {
        each_writer(&upstream, name, flags, |command, output| {
            let (code, text) = failure(&output);
            assert_eq!(code, 3, "{command} -o {name}: {text}");
            assert!(text.contains("is not replaced") || text.contains("is a symbolic link"), "{command}: {text}");
            assert!(text.contains("hint: give "), "{text}");
        });
    }
    for name in names {
        let (code, text) = failure(&upstream.kbundle(["keygen", "--out", name]));
        assert_eq!(code, 3, "{text}");
        let (code, text) = failure(&upstream.kbundle(["export", "b.tar.zst", "--oci", name, KEY]));
        assert_eq!(code, 3, "{text}");
    }
    assert!(!device.status.success() || fs::symlink_metadata(at("null")).unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
    assert!(at("link").is_symlink() && fs::read(at("b.tar.zst")).unwrap() == bundle);
    assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 0);
    assert_eq!(upstream.incomplete(), 0);
}

#[test]
fn existing_files_are_replaced_only_with_force() {
    let upstream = built();
    fs::write(upstream.path("there"), "before").unwrap();
    each_writer(&upstream, "there", &[], |command, output| {
        let (code, text) = failure(&output);
        assert_eq!(code, 3, "{command}: {text}");
        assert!(text.contains("error: there already exists\nhint: give another name, or `--force`"), "{text}");
        assert_eq!(fs::read(upstream.path("there")).unwrap(), b"before");
    });
    each_writer(&upstream, "there", &["--force"], |_, output| {
        success(&output);
        assert_ne!(fs::read(upstream.path("there")).unwrap(), b"before");
    });
    let (code, text) = failure(&upstream.kbundle(["subset", "b.tar.zst", "--role=worker", "--out=none/there"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("there is no folder none"), "{text}");
}

#[test]
fn a_signed_bundle_is_not_replaced_by_an_unsigned_one() {
    let upstream = built();
    let before = fs::read(upstream.path("b.tar.zst")).unwrap();
    let (code, text) = failure(&upstream.build(&["--unsigned", "--out=b.tar.zst"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("b.tar.zst is a signed bundle, and the new one is not signed"), "{text}");
    success(&upstream.build(&["--unsigned", "--out=u.tar.zst"]));
    let (code, text) =
        failure(&upstream.kbundle(["subset", "u.tar.zst", "--role=worker", "--out=b.tar.zst", "--force"]));
    assert_eq!(code, 3, "{text}");
    assert!(fs::read(upstream.path("b.tar.zst")).unwrap() == before);
    success(&upstream.build(&["--unsigned", "--out=u.tar.zst"]));
    success(&upstream.build(&["--key=signing.key", "--out=u.tar.zst"]));

    success(&upstream.kbundle(["split", "b.tar.zst", "--size=300KiB"]));
    let (code, text) = failure(&upstream.build(&["--unsigned", "--out=b.tar.zst", "--split=300KiB"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("b.tar.zst.001 is a signed bundle"), "{text}");
}

#[test]
fn standard_output_carries_the_bundle_and_stderr_the_result() {
    let upstream = built();
    each_writer(&upstream, "-", &[], |command, output| {
        assert!(output.status.success(), "{command}: {}", failure(&output).1);
        if command == "lock" {
            assert!(output.stdout.starts_with(b"schema: 1"));
            return;
        }
        fs::write(upstream.path("piped"), &output.stdout).unwrap();
        let bundle = IndexedBundle::open(&upstream.path("piped"), SignatureCheck::Skipped).unwrap();
        assert_eq!(bundle.head().signatures.len(), 1, "{command}");
        assert_eq!(command == "build", failure(&output).1.contains("  signed by  "), "{command}");
    });
    let output = upstream.build(&["--key=signing.key", "--out=-", "--output=json"]);
    let report = failure(&output).1;
    let report: serde_json::Value = serde_json::from_str(&report[report.find('{').unwrap()..]).unwrap();
    assert_eq!(report["sizeBytes"], output.stdout.len());
    assert!(!upstream.path("-").exists());

    for arguments in [
        &["keygen", "--out=-"][..],
        &["export", "b.tar.zst", "--oci=-", KEY],
        &["extract", "b.tar.zst", "--directory=-", KEY],
        &["split", "b.tar.zst", "--size=300KiB", "--out=-"],
    ] {
        let (code, text) = failure(&upstream.kbundle(arguments.iter().copied()));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("cannot be written to standard output"), "{text}");
    }
}

/// `script` runs the program in a terminal.
#[test]
fn a_terminal_gets_no_bundle() {
    let upstream = built();
    let command = format!("{} subset b.tar.zst --role=worker --out=-", env!("CARGO_BIN_EXE_kbundle"));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(upstream.directory.path())
        .output()
        .expect("script of util-linux is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("standard output is a terminal"), "{text}");
}

fn volumes(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains(".tar.zst.")).collect();
    names.sort();
    names
}

#[test]
fn splitting_again_leaves_no_volume_of_the_first_time() {
    let upstream = built();
    let split = |more: &[&str]| {
        upstream.kbundle(["split", "b.tar.zst", "--out=stick/s.tar.zst"].into_iter().chain(more.iter().copied()))
    };
    fs::create_dir(upstream.path("stick")).unwrap();
    success(&split(&["--size=100KiB", "--parity=2"]));
    let before = volumes(&upstream.path("stick"));
    let (code, text) = failure(&split(&["--size=300KiB"]));
    assert_eq!(code, 3, "{text}");
    assert!(before.iter().all(|name| text.contains(&format!("stick/{name}"))), "{text}");
    assert_eq!(volumes(&upstream.path("stick")), before);

    fs::write(upstream.path("stick/s.tar.zst.999"), "somebody's notes").unwrap();
    let output = split(&["--size=300KiB", "--force"]);
    success(&output);
    let said = failure(&output).1;
    let after = volumes(&upstream.path("stick"));
    let stays = |name: &String| after.contains(name) || said.contains(&format!("stick/{name}: removed"));
    assert!(before.iter().all(stays), "{said}");
    assert!(after.len() < before.len() && after.contains(&"s.tar.zst.999".to_owned()), "{after:?}");
    success(&upstream.kbundle(["verify", "stick", KEY]));
}

#[test]
fn volumes_of_another_bundle_in_the_folder_are_named() {
    let upstream = built();
    fs::create_dir(upstream.path("stick")).unwrap();
    success(&upstream.kbundle(["split", "d.tar.zst", "--size=100KiB", "--out=stick/other.tar.zst"]));
    let output = upstream.kbundle(["split", "b.tar.zst", "--size=300KiB", "--out=stick/s.tar.zst"]);
    success(&output);
    let said = failure(&output).1;
    assert!(said.contains("also holds volumes of another bundle: stick/other.tar.zst.001"), "{said}");
    assert!(said.contains("such as stick/s.tar.zst.001"), "{said}");
    success(&upstream.kbundle(["verify", "stick/s.tar.zst.001", KEY]));
}

#[test]
fn volumes_do_not_replace_what_is_no_file() {
    let upstream = built();
    fs::create_dir(upstream.path("s.tar.zst.002")).unwrap();
    let (code, text) =
        failure(&upstream.kbundle(["split", "b.tar.zst", "--size=300KiB", "--out=s.tar.zst", "--force"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("s.tar.zst.002 is a folder"), "{text}");
    assert!(!upstream.path("s.tar.zst.001").exists());
}

#[test]
fn extract_replaces_only_with_force_and_checks_every_name_first() {
    let upstream = built();
    let extract = |more: &[&str]| {
        let command = ["extract", "b.tar.zst", "-C", "out", KEY];
        upstream.kbundle(command.into_iter().chain(more.iter().copied()))
    };
    let kubelet = upstream.path("out/artifacts/linux-amd64/kubelet");
    fs::create_dir_all(kubelet.parent().unwrap()).unwrap();
    fs::write(&kubelet, "before").unwrap();
    let (code, text) = failure(&extract(&[]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("out/artifacts/linux-amd64/kubelet already exists"), "{text}");
    assert!(!upstream.path("out/bundle.json").exists(), "nothing was unpacked");
    success(&extract(&["--force"]));
    assert!(fs::read(&kubelet).unwrap() == upstream.kubelet);
    fs::remove_file(&kubelet).unwrap();
    symlink("elsewhere", &kubelet).unwrap();
    let (code, text) = failure(&extract(&["--force"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("is a symbolic link") && kubelet.is_symlink(), "{text}");
}

#[test]
fn signing_a_linked_bundle_signs_the_bundle_and_keeps_the_link() {
    let upstream = built();
    success(&upstream.kbundle(["keygen", "--out=second.key"]));
    symlink("b.tar.zst", upstream.path("latest")).unwrap();
    let before = fs::metadata(upstream.path("b.tar.zst")).unwrap().size();
    success(&upstream.kbundle(["sign", "latest", "--key=second.key"]));
    assert!(upstream.path("latest").is_symlink());
    assert!(fs::metadata(upstream.path("b.tar.zst")).unwrap().size() > before);
}
