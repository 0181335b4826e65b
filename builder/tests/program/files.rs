//! Files as people have them: with a byte order mark and Windows line ends, in other encodings, keys in every form, and files that are not
//! bundles.

use std::process::{Command, Stdio};

use fs_err as fs;

use crate::upstream::{Upstream, failure, kbundle_in, success};

const BUNDLE: &str = "bundle.tar.zst";

/// Rewrites a text file as an editor on Windows would.
fn as_on_windows(upstream: &Upstream, name: &str) {
    let text = fs::read_to_string(upstream.path(name)).unwrap();
    fs::write(upstream.path(name), format!("\u{FEFF}{}", text.replace('\n', "\r\n"))).unwrap();
}

/// Rewrites a text file in the encoding that Windows calls "Unicode".
fn as_utf16(upstream: &Upstream, name: &str) {
    let text = fs::read_to_string(upstream.path(name)).unwrap();
    let bytes: Vec<u8> = format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(upstream.path(name), bytes).unwrap();
}

fn shell(upstream: &Upstream, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(upstream.directory.path()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", failure(&output).1);
}

#[test]
fn every_text_input_may_come_from_windows() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=plain.tar.zst"]));
    success(&upstream.run("lock", &["--out=kbundle.lock"]));
    fs::write(upstream.path("bundle.yaml"), "schema: 1\nkubernetes: 1.30.0\n").unwrap();
    fs::write(upstream.path("config.json"), "{\n\"auths\": {}\n}\n").unwrap();
    for name in ["catalog.yaml", "kbundle.lock", "bundle.yaml", "config.json", "signing.key", "signing.pub"] {
        as_on_windows(&upstream, name);
    }
    success(&upstream.build(&["--file=bundle.yaml", "--key=signing.key", "--out=bundle.tar.zst"]));
    success(&upstream.kbundle(["verify", BUNDLE, "--key=signing.pub"]));
    // The two bundles do not show which editor was used.
    assert!(fs::read(upstream.path(BUNDLE)).unwrap() == fs::read(upstream.path("plain.tar.zst")).unwrap());
    let flags: Vec<_> = upstream
        .flags()
        .into_iter()
        .filter(|flag| flag.starts_with("--mirror") || flag.starts_with("--cache"))
        .collect();
    let locked = kbundle_in(upstream.directory.path())
        .args(["build", "--locked=kbundle.lock", "--key=signing.key", "--out=locked.tar.zst"])
        .args(flags)
        .output()
        .unwrap();
    success(&locked);
}

#[test]
fn utf16_is_named_with_the_command_that_converts_it() {
    let upstream = Upstream::new();
    as_utf16(&upstream, "catalog.yaml");
    let (_, text) = failure(&upstream.build(&["--key=signing.key"]));
    assert!(
        text.contains("UTF-16") && text.contains("`iconv -f UTF-16 -t UTF-8 catalog.yaml -o catalog.yaml.utf8`"),
        "{text}"
    );
}

#[test]
fn a_passphrase_comes_from_a_file_of_windows() {
    let upstream = Upstream::new();
    fs::write(upstream.path("passphrase"), "\u{FEFF}correct horse\r\n").unwrap();
    let with = |arguments: &[&str]| {
        let (file, _) = fs::File::open(upstream.path("passphrase")).unwrap().into_parts();
        kbundle_in(upstream.directory.path())
            .args(arguments)
            .arg("--passphrase-fd=0")
            .stdin(Stdio::from(file))
            .output()
            .unwrap()
    };
    success(&with(&["keygen", "--encrypt", "--out=officer.key"]));
    shell(&upstream, "openssl pkey -in officer.key -passin 'pass:correct horse' -noout");
}

#[test]
fn keys_are_read_or_named_with_what_to_do() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    shell(
        &upstream,
        "openssl ec -in signing.key -out sec1.key 2>&1
        openssl req -x509 -new -key signing.key -subj /CN=site -days 10 -out 'the site.crt'
        openssl pkey -pubin -in signing.pub -outform DER -out signing.der
        openssl genrsa -out rsa.key 2048 2>&1
        openssl pkcs8 -topk8 -in signing.key -v1 PBE-SHA1-3DES -passout pass:abc -out old.key",
    );
    success(&upstream.kbundle(["sign", BUNDLE, "--key=sec1.key"]));
    success(&upstream.build(&["--key=sec1.key", "--out=sec1.tar.zst"]));
    for key in ["the site.crt", "signing.der"] {
        success(&upstream.kbundle(["verify", BUNDLE, "--key", key]));
    }
    let (code, text) = failure(&upstream.kbundle(["sign", BUNDLE, "--key=rsa.key"]));
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("a key for RSA, not for ECDSA P-256 or Ed25519") && text.contains("hint: make a key"),
        "{text}"
    );
    // The passphrase is not what is wrong, so it is not asked for.
    let (code, text) = failure(&upstream.kbundle(["sign", BUNDLE, "--key=old.key"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("`openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.key -out old.key.pkcs8`"), "{text}");
    let (code, text) = failure(&upstream.kbundle(["verify", BUNDLE, "--key=signing.key"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("`openssl pkey -in signing.key -pubout -out signing.key.pub`"), "{text}");
}

#[test]
fn what_is_no_bundle_is_named() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst", "--split=256KiB"]));
    fs::create_dir(upstream.path("empty")).unwrap();
    shell(
        &upstream,
        "tar -czf archive.tar.gz catalog.yaml
        tar --zstd -cf archive.tar.zst catalog.yaml
        printf '<!DOCTYPE html><title>Sign in</title>' > page.html
        printf 'PK\\003\\004....' > archive.zip
        : > nothing",
    );
    for (name, words) in [
        ("archive.tar.gz", "a gzip file"),
        ("archive.tar.zst", "a .tar.zst that another program made"),
        ("page.html", "an HTML page"),
        ("archive.zip", "a zip file"),
        ("nothing", "an empty file"),
        ("empty", "no volumes in empty"),
    ] {
        let (code, text) = failure(&upstream.kbundle(["verify", name, "--key=signing.pub"]));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(words) && text.contains("hint: "), "{text}");
    }
    let (volume, _) = fs::File::open(upstream.path("bundle.tar.zst.002")).unwrap().into_parts();
    let verify = ["verify", "-", "--key=signing.pub"];
    let output = kbundle_in(upstream.directory.path()).args(verify).stdin(Stdio::from(volume)).output().unwrap();
    let (code, text) = failure(&output);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("it is volume 2 of 4 of a bundle"), "{text}");
}

#[test]
fn one_flipped_bit_is_told_as_damage_with_its_place() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let mut bytes = fs::read(upstream.path(BUNDLE)).unwrap();
    // The kubelet's content does not compress, so its header is unchanged in the file.
    let path = b"artifacts/linux-amd64/kubelet";
    let header = bytes.windows(path.len()).position(|part| part == path).unwrap();
    bytes[header + 3] ^= 1;
    fs::write(upstream.path("flipped.tar.zst"), &bytes).unwrap();
    let (code, text) = failure(&upstream.kbundle(["verify", "flipped.tar.zst", "--key=signing.pub"]));
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("1 entry is damaged") && text.contains("the medium or the copy is bad, within bytes "),
        "{text}"
    );
    assert!(
        text.contains("near artifacts/linux-amd64/kubelet") && text.contains("hint: copy the bundle again"),
        "{text}"
    );
    assert!(!text.contains("owner"), "{text}");

    fs::write(upstream.path("cut.tar.zst"), &bytes[..bytes.len() / 2]).unwrap();
    let (code, text) = failure(&upstream.kbundle(["verify", "cut.tar.zst", "--key=signing.pub"]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the medium or the copy is bad, within bytes "), "{text}");
}
