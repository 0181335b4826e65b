//! Runs the program as people run it: complete outputs, exit codes, and the files left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::upstream::{KUBELET, Upstream, failure, kbundle_in, program_in, success};

/// Key names differ from run to run, digests of lists with the zstd library: 64 hex digits become `HEX`.
fn filtered(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit()) {
        let hex = part.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
        out.push_str(if hex.len() == 64 { "HEX" } else { hex });
        out.push_str(&part[hex.len()..]);
    }
    out
}

#[test]
fn builds_a_bundle_that_verifies() {
    let upstream = Upstream::new();
    let built = success(&upstream.build(&["--key=signing.key"]));
    // A signature's length differs from run to run, and so may the last digit of the size.
    let bytes = fs::metadata(upstream.path("k8s-1.30.0-amd64.tar.zst")).unwrap().len();
    let size = format!("{:.2} KiB (", f64::from(u32::try_from(bytes).unwrap()) / 1024.0);
    insta::assert_snapshot!("build", filtered(&built).replace(&size, "SIZE ("));
    let verified = success(&upstream.kbundle(["verify", "k8s-1.30.0-amd64.tar.zst", "--key", "signing.pub"]));
    insta::assert_snapshot!("verify", filtered(&verified));
    let shown = success(&upstream.kbundle(["inspect", "k8s-1.30.0-amd64.tar.zst", "--key", "signing.pub"]));
    insta::assert_snapshot!("inspect", filtered(&shown));
}

#[test]
fn inspect_without_a_key_says_that_nothing_was_verified() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned"]));
    let output = upstream.kbundle(["inspect", "k8s-1.30.0-amd64.tar.zst", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&success(&output)).unwrap();
    assert_eq!(report["signature"], "not-checked");
    assert!(failure(&output).1.contains("NOTHING WAS VERIFIED"));
}

#[test]
fn the_bundle_is_an_oci_layout_that_others_read() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned", "--out=bundle.tar.zst"]));
    let layout = upstream.path("layout");
    fs::create_dir(&layout).unwrap();
    let tar = Command::new("tar")
        .args(["--zstd", "-xf"])
        .arg(upstream.path("bundle.tar.zst"))
        .arg("-C")
        .arg(&layout)
        .status()
        .expect("tar with zstd is needed");
    assert!(tar.success());
    assert_eq!(fs::read(layout.join("artifacts/linux-amd64/kubelet")).unwrap(), upstream.kubelet);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(fs::read(layout.join("blobs/sha256").join(manifest)).unwrap(), upstream.image.manifest);
}

#[test]
fn the_same_lock_gives_the_same_bytes() {
    let upstream = Upstream::new();
    success(&upstream.run("lock", &[]));
    let lock = fs::read_to_string(upstream.path("kbundle.lock")).unwrap();
    let locked = |out: &str, cache: &str| {
        let port = upstream.server.port();
        success(&upstream.kbundle([
            "build",
            "--locked=kbundle.lock",
            "--unsigned",
            &format!("--out={out}"),
            &format!("--cache={cache}"),
            &format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"),
            &format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"),
        ]));
        fs::read(upstream.path(out)).unwrap()
    };
    assert_eq!(locked("one.tar.zst", "cache"), locked("two.tar.zst", "another-cache"));
    success(&upstream.build(&["--unsigned", "--out=three.tar.zst"]));
    assert_eq!(fs::read(upstream.path("three.tar.zst")).unwrap(), locked("four.tar.zst", "cache"));
    success(&upstream.run("lock", &[]));
    assert_eq!(fs::read_to_string(upstream.path("kbundle.lock")).unwrap(), lock);
}

/// Another clock, locale, umask, number of cores, and a cache whose folders list their files in another order.
#[test]
fn the_same_lock_gives_the_same_bytes_on_a_machine_that_is_set_up_otherwise() {
    let upstream = Upstream::new();
    success(&upstream.run("lock", &[]));
    let port = upstream.server.port();
    let build = |program: &mut Command, out: &str, cache: &Path| {
        program
            .args(["build", "--locked=kbundle.lock", "--unsigned", &format!("--out={out}")])
            .arg(format!("--cache={}", cache.display()))
            .arg(format!("--mirror=dl.k8s.io=http://127.0.0.1:{port}/dl"))
            .arg(format!("--mirror=registry.k8s.io=http://127.0.0.1:{port}"));
        let output = program.output().expect("faketime and taskset are needed");
        success(&output);
        (fs::read(upstream.path(out)).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (here, _) = build(&mut kbundle_in(upstream.directory.path()), "here.tar.zst", &upstream.path("cache"));
    let in_memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut otherwise = program_in("faketime", upstream.directory.path());
    let script = "umask 077; { date +%Y; nproc; umask; } >&2; exec \"$@\"";
    otherwise.args(["2031-02-03 04:05:06", "taskset", "-c", "0", "sh", "-c", script, "sh"]);
    otherwise.arg(env!("CARGO_BIN_EXE_kbundle"));
    otherwise.envs([("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Asia/Kathmandu"), ("DONT_FAKE_MONOTONIC", "1")]);
    let (there, said) = build(&mut otherwise, "there.tar.zst", in_memory.path());
    assert!(said.starts_with("2031\n1\n0077\n"), "{said}");
    assert!(here == there);
}

#[test]
fn an_unsigned_bundle_has_to_be_asked_for_and_is_not_verified() {
    let upstream = Upstream::new();
    let (code, text) = failure(&upstream.build(&[]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(text, @r"
    error: no key to sign the bundle with was given
    hint: make one with `kbundle keygen` and give it with `--key signing.key`, or say `--unsigned`
    ");
    success(&upstream.build(&["--unsigned"]));
    let (code, text) = failure(&upstream.kbundle(["verify", "k8s-1.30.0-amd64.tar.zst", "--key", "signing.pub"]));
    assert_eq!(code, 3);
    insta::assert_snapshot!(text, @r"
    error: refused k8s-1.30.0-amd64.tar.zst
      caused by: the bundle is not signed
    hint: sign it with `kbundle sign`, give a detached signature with `--signature`, or check that `--key` is the signer's
    ");
}

#[test]
fn a_second_officer_signs_inside_or_beside_the_bundle() {
    let upstream = Upstream::new();
    success(&upstream.kbundle(["keygen", "--algorithm=ed25519", "--out=second.key"]));
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let both = ["verify", "bundle.tar.zst", "--key=signing.pub", "--key=second.pub", "--threshold=2"];
    assert_eq!(failure(&upstream.kbundle(both)).0, 3);

    success(&upstream.kbundle(["sign", "bundle.tar.zst", "--key=second.key", "--detached"]));
    let mut paths = fs::read_dir(upstream.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let signature = paths.find(|path| path.extension().is_some_and(|extension| extension == "sig")).unwrap();
    success(&upstream.kbundle(both.into_iter().chain(["--signature", signature.to_str().unwrap()])));

    success(&upstream.kbundle(["sign", "bundle.tar.zst", "--key=second.key"]));
    success(&upstream.kbundle(both));
}

#[test]
fn does_not_sign_or_verify_a_damaged_bundle() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let mut bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(upstream.path("bundle.tar.zst"), &bytes).unwrap();
    for arguments in
        [["verify", "bundle.tar.zst", "--key=signing.pub"], ["sign", "bundle.tar.zst", "--key=signing.key"]]
    {
        let (code, text) = failure(&upstream.kbundle(arguments));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("hint: copy the bundle again"), "{text}");
    }
    assert_eq!(fs::read(upstream.path("bundle.tar.zst")).unwrap(), bytes);
}

#[test]
fn keys_are_private_and_never_replaced() {
    let upstream = Upstream::new();
    let mode = fs::metadata(upstream.path("signing.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(upstream.path("signing.key")).unwrap();
    let (code, text) = failure(&upstream.kbundle(["keygen"]));
    assert_eq!(code, 3);
    insta::assert_snapshot!(text, @r"
    error: signing.key already exists
    hint: give another name, or move it away if nobody needs it
    ");
    assert_eq!(fs::read(upstream.path("signing.key")).unwrap(), before);
    let verify = upstream.kbundle(["verify", "any", "--key", "signing.key"]);
    assert!(failure(&verify).1.contains("signing.key cannot be used as a key: it is a private key"));
}

/// Free space differs from machine to machine.
fn without_space(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix(" free").and_then(|line| line.rsplit_once(": ")) {
        Some((place, _)) => format!("{place}: SPACE free\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_dry_run_shows_pins_and_fetches_nothing() {
    let upstream = Upstream::new();
    let shown = success(&upstream.build(&["--dry-run", "--key=signing.key"]));
    let port = upstream.server.port().to_string();
    insta::assert_snapshot!(without_space(&shown).replace(&port, "PORT"));
    assert!(!upstream.path("cache").exists());
    assert!(upstream.server.requests(KUBELET).is_empty());
}

/// What a user types first, for every version and both architectures: with the defaults, without a network.
#[test]
fn a_dry_run_of_every_version_of_the_built_in_catalog_says_what_pins_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = kbundle::catalog::Catalog::built_in().unwrap();
    assert!(!catalog.releases.is_empty());
    for (version, arch) in catalog.releases.keys().flat_map(|version| [(version, "amd64"), (version, "arm64")]) {
        let run = |more: &[&str]| {
            let mut command = kbundle_in(directory.path());
            command.args(["build", "--unsigned", &format!("--k8s={version}"), &format!("--arch={arch}")]);
            command.env("KBUNDLE_CACHE", directory.path().join("cache")).args(more).output().unwrap()
        };
        let report: serde_json::Value = serde_json::from_str(&success(&run(&["--dry-run", "--output=json"]))).unwrap();
        let named = |key: &str, pointer: &str, wanted: &str| {
            report[key].as_array().unwrap().iter().filter(|item| item.pointer(pointer).unwrap() == wanted).count()
        };
        assert_eq!(named("files", "/component/name", "calico"), 1, "{version} {arch}");
        let loose = report["pinnedAtFirstBuild"].as_array().unwrap();
        assert_eq!(
            named("files", "/pin/source", "trust-on-first-use") + named("images", "/pin/source", "trust-on-first-use"),
            loose.len()
        );
        // HAProxy's tags are rebuilt upstream, and nothing pins them.
        assert!(loose.iter().any(|what| what.as_str().unwrap().contains("/haproxy:")), "{loose:?}");
        let (code, said) = failure(&run(&[]));
        assert!(code == 3 && said.contains("--trust-on-first-use"), "{said}");
        assert!(loose.iter().all(|what| said.contains(what.as_str().unwrap())), "{said}");
        assert!(!directory.path().join("cache").exists(), "nothing was fetched");
    }
}

#[test]
fn bundle_yaml_says_what_flags_say() {
    let upstream = Upstream::new();
    let port = upstream.server.port();
    let settings = upstream.path("bundle.yaml");
    let text = format!(
        "schema: 1\nkubernetes: 1.30.0\ncatalog: catalog.yaml\ncni: bridge\nkey: signing.key\nlevel: 3\nout: from-file.tar.zst\nmirrors:\n  dl.k8s.io: http://127.0.0.1:{port}/dl\n  registry.k8s.io: http://127.0.0.1:{port}\n"
    );
    fs::write(&settings, &text).unwrap();
    success(&upstream.kbundle(["build", "-f", "bundle.yaml", "--cache=cache"]));
    success(&upstream.kbundle(["verify", "from-file.tar.zst", "--key", "signing.pub"]));

    fs::write(&settings, text.replace("cni:", "cmi:")).unwrap();
    let (code, text) = failure(&upstream.kbundle(["build", "-f", "bundle.yaml"]));
    assert_eq!(code, 2);
    assert!(text.contains("line 4, column 1: unknown field `cmi`; did you mean `cni`?"), "{text}");
}

#[test]
fn the_help_of_every_command() {
    let upstream = Upstream::new();
    for name in [
        "build", "lock", "keygen", "sign", "verify", "inspect", "extract", "cat", "export", "join", "subset", "split",
        "repair", "config", "push", "licences", "seal",
    ] {
        let help = success(&upstream.kbundle([name, "--help"]));
        insta::assert_snapshot!(format!("help-{name}"), help);
    }
}

#[test]
fn completions_and_man_pages_come_out() {
    let upstream = Upstream::new();
    assert!(success(&upstream.kbundle(["completion", "bash"])).contains("_kbundle"));
    success(&upstream.kbundle(["man", "man"]));
    let page = fs::read_to_string(upstream.path("man/kbundle-build.1")).unwrap();
    for section in ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"] {
        assert!(page.contains(&format!(".SH \"{section}\"")) || page.contains(&format!(".SH {section}")), "{section}");
    }
}

#[test]
fn commands_stand_under_headings() {
    let upstream = Upstream::new();
    insta::assert_snapshot!("help", success(&upstream.kbundle(["--help"])));
    let (code, text) = failure(&upstream.kbundle(["biuld"]));
    assert!(code == 2 && text.contains("'build'"), "{text}");
}

/// The document on standard output of a failed command, which prints nothing on standard error.
fn failed_document(output: &std::process::Output, code: i32) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["exitCode"], code);
    document
}

#[test]
fn a_failure_as_json_is_one_document() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let json = |arguments: &[&str], code: i32| {
        failed_document(&upstream.kbundle([arguments, &["--output=json"]].concat()), code)
    };
    let wrong_flag = json(&["verify", "bundle.tar.zst", "--treshold=2"], 2);
    assert_eq!(wrong_flag["error"]["hint"], "did you mean `--threshold`?");
    let missing = json(&["verify", "missing", "--key=signing.pub"], 2);
    assert_eq!(missing["error"]["kind"], "usage");

    let mut bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(upstream.path("bundle.tar.zst"), &bytes).unwrap();
    let damaged = json(&["verify", "bundle.tar.zst", "--key=signing.pub"], 3);
    assert_eq!(damaged["error"]["kind"], "refused");
    assert!(!damaged["error"]["hint"].as_str().unwrap().is_empty());
}

#[test]
fn the_flags_of_every_command_are_followed() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned", "--out=bundle.tar.zst"]));
    let quiet = upstream.kbundle(["keygen", "--out=quiet.key", "-q"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet:?}");
    // A warning is not a note.
    let warned = upstream.kbundle(["inspect", "bundle.tar.zst", "--quiet"]);
    assert!(failure(&warned).1.contains("NOTHING WAS VERIFIED"));
    let colored = failure(&upstream.kbundle(["verify", "missing", "--key=signing.pub", "--color=always"])).1;
    assert!(colored.starts_with("\u{1b}["), "{colored:?}");
    assert!(failure(&upstream.kbundle(["verify", "missing", "--key=signing.pub"])).1.starts_with("error: "));
    let mut log = kbundle_in(upstream.directory.path());
    let (code, text) = failure(&log.args(["inspect", "bundle.tar.zst"]).env("KBUNDLE_LOG", "a=b=c").output().unwrap());
    assert!(code == 2 && text.contains("KBUNDLE_LOG does not hold a log filter"), "{text}");
}
