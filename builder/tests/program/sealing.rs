//! Sealed bundles: what opens them, what does not, and that nothing is left unencrypted.

use age::secrecy::ExposeSecret as _;
use fs_err as fs;

use crate::upstream::{Upstream, failure, success};

const VERIFY: [&str; 4] = ["verify", "sealed.age", "--key", "signing.pub"];
const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

/// A signed bundle, sealed to the identity in `identity.txt`.
fn sealed() -> Upstream {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    let recipient = identity(&upstream, "identity.txt");
    success(&upstream.kbundle(["seal", "bundle.tar.zst", "--to", &recipient, "--out", "sealed.age"]));
    upstream
}

/// Makes an identity; returns its recipient.
fn identity(upstream: &Upstream, name: &str) -> String {
    let identity = age::x25519::Identity::generate();
    fs::write(upstream.path(name), identity.to_string().expose_secret()).unwrap();
    identity.to_public().to_string()
}

fn with(line: &[&'static str]) -> Vec<&'static str> {
    line.iter().copied().chain(IDENTITY).collect()
}

#[test]
fn reading_commands_open_a_sealed_bundle_and_write_no_plain_copy() {
    let upstream = sealed();
    let plain = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    fs::remove_file(upstream.path("bundle.tar.zst")).unwrap();
    success(&upstream.kbundle(with(&VERIFY)));
    let shown = success(&upstream.kbundle(with(&["inspect", "sealed.age"])));
    assert!(shown.contains("1.30.0"), "{shown}");
    success(&upstream.kbundle(with(&["extract", "sealed.age", "--directory", "all", "--key", "signing.pub"])));
    assert!(upstream.path("all/bundle.json").exists());
    success(&upstream.kbundle(with(&["licences", "sealed.age", "--key", "signing.pub"])));
    success(&upstream.kbundle(with(&["audit", "sealed.age", "--key", "signing.pub"])));
    let sealed = fs::read(upstream.path("sealed.age")).unwrap();
    assert!(!sealed.windows(64).any(|window| window == &plain[..64]));
    let copies = fs::read_dir(upstream.path("")).unwrap().filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.is_file() && fs::read(path).unwrap() == plain
    });
    assert_eq!(copies.count(), 0);
}

#[test]
fn another_identity_a_cut_and_a_flipped_bit_are_refused() {
    let upstream = sealed();
    identity(&upstream, "other.txt");
    let refused = |line: &[&str], part: &str| {
        let (code, text) = failure(&upstream.kbundle(line.iter().copied()));
        assert_eq!((code, text.contains(part)), (3, true), "{text}");
    };
    refused(&VERIFY, "it is sealed, and nothing was given that opens it");
    refused(&[&VERIFY[..], &["--identity", "other.txt"]].concat(), "the identity does not open it");
    let bytes = fs::read(upstream.path("sealed.age")).unwrap();
    fs::write(upstream.path("sealed.age"), &bytes[..bytes.len() - 10]).unwrap();
    refused(&with(&VERIFY), "it is damaged or not complete");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(upstream.path("sealed.age"), flipped).unwrap();
    let (code, text) = failure(&upstream.kbundle(with(&VERIFY)));
    assert_eq!(code, 3, "{text}");
}

#[test]
fn a_sealed_bundle_is_signed_beside_and_never_in_the_clear() {
    let upstream = sealed();
    let before = fs::read(upstream.path("sealed.age")).unwrap();
    let sign = ["sign", "sealed.age", "--key", "signing.key"];
    let (code, text) = failure(&upstream.kbundle(with(&sign)));
    assert_eq!((code, text.contains("a sealed bundle cannot be changed")), (2, true), "{text}");
    success(&upstream.kbundle(with(&[&sign[..], &["--detached"]].concat())));
    assert_eq!(fs::read(upstream.path("sealed.age")).unwrap(), before);
}

#[test]
fn a_passphrase_seals_and_opens_and_a_short_one_does_not() {
    let upstream = sealed();
    fs::write(upstream.path("passphrase"), "correct horse battery\n").unwrap();
    fs::write(upstream.path("wrong"), "correct horse batterz\n").unwrap();
    fs::write(upstream.path("short"), "horse\n").unwrap();
    success(&upstream.kbundle(["seal", "bundle.tar.zst", "--passphrase-file", "passphrase"]));
    let verify =
        |file: &'static str| ["verify", "bundle.tar.zst.age", "--key", "signing.pub", "--passphrase-file", file];
    success(&upstream.kbundle(verify("passphrase")));
    let (code, text) = failure(&upstream.kbundle(verify("wrong")));
    assert_eq!((code, text.contains("the passphrase does not open it")), (3, true), "{text}");
    let (code, text) = failure(&upstream.kbundle(["seal", "bundle.tar.zst", "--passphrase-file", "short", "--force"]));
    assert_eq!((code, text.contains("has less than 12 characters")), (2, true), "{text}");
}

#[test]
fn a_seal_replaces_nothing_unasked_and_is_not_put_around_a_seal() {
    let upstream = sealed();
    let before = fs::read(upstream.path("sealed.age")).unwrap();
    let recipient = identity(&upstream, "second.txt");
    let (code, text) =
        failure(&upstream.kbundle(["seal", "bundle.tar.zst", "--to", &recipient, "--out", "sealed.age"]));
    assert_eq!((code, text.contains("--force")), (3, true), "{text}");
    let (code, text) = failure(&upstream.kbundle(["seal", "sealed.age", "--to", &recipient]));
    assert_eq!((code, text.contains("it is sealed")), (3, true), "{text}");
    let (code, _) = failure(&upstream.kbundle(["seal", "bundle.tar.zst"]));
    assert_eq!(code, 2);
    assert_eq!(fs::read(upstream.path("sealed.age")).unwrap(), before);
    assert_eq!(upstream.incomplete(), 0);
}
