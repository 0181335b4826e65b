//! Keys with a passphrase, signers elsewhere, and the verdicts of other tools on its signatures.

use std::io::Write as _;
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::upstream::{Upstream, failure, kbundle_in, success};

const BUNDLE: &str = "bundle.tar.zst";

fn unsigned() -> Upstream {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned", "--out=bundle.tar.zst"]));
    upstream
}

fn openssl(upstream: &Upstream, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(upstream.directory.path())
        .output()
        .expect("openssl is needed");
    success(&output)
}

#[test]
fn an_encrypted_key_needs_its_passphrase() {
    let upstream = unsigned();
    let with = |passphrase: &str, arguments: &[&str]| {
        let mut command = kbundle_in(upstream.directory.path());
        command.args(arguments).env("KBUNDLE_PASSPHRASE", passphrase).output().unwrap()
    };
    success(&with("correct horse", &["keygen", "--encrypt", "--out=officer.key"]));
    assert!(fs::read_to_string(upstream.path("officer.key")).unwrap().contains("BEGIN ENCRYPTED PRIVATE KEY"));
    openssl(&upstream, &["pkey", "-in", "officer.key", "-passin", "pass:correct horse", "-noout"]);
    let sign = ["sign", BUNDLE, "--key=officer.key"];
    let (code, text) = failure(&with("wrong", &sign));
    assert_eq!(code, 2);
    assert!(text.contains("the passphrase does not open the private key"), "{text}");
    let (code, text) = failure(&upstream.kbundle(sign));
    assert_eq!(code, 2);
    assert!(text.contains("hint: give it with `--passphrase-fd N` or in KBUNDLE_PASSPHRASE"), "{text}");

    let mut from_descriptor = kbundle_in(upstream.directory.path());
    from_descriptor.args(sign).arg("--passphrase-fd=0").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = from_descriptor.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", failure(&output).1);
    success(&upstream.kbundle(["verify", BUNDLE, "--key=officer.pub"]));
    assert_eq!(failure(&with("", &["keygen", "--encrypt", "--out=empty.key"])).0, 2);
}

#[test]
fn verify_shows_what_the_files_of_the_keys_say_about_them() {
    let upstream = unsigned();
    let with_notes = ["--comment=releases of site A", "--valid-from=2001-01-01", "--valid-until=9999-12-31"];
    success(&upstream.kbundle([&["keygen", "--out=a.key"][..], &with_notes].concat()));
    success(&upstream.kbundle(["keygen", "--algorithm=ed25519", "--out=old.key", "--valid-until=2001-12-31"]));
    for key in ["--key=a.key", "--key=old.key"] {
        success(&upstream.kbundle(["sign", BUNDLE, key]));
    }
    let verify = ["verify", BUNDLE, "--key=a.pub", "--key=old.pub", "--threshold=2"];
    let output = upstream.kbundle(verify);
    let shown = success(&output);
    assert!(shown.contains("(ECDSA P-256, a.pub): releases of site A, from 2001-01-01 until 9999-12-31\n"), "{shown}");
    assert!(shown.contains("(Ed25519, old.pub): until 2001-12-31\n"), "{shown}");
    let warned = String::from_utf8(output.stderr).unwrap();
    assert_eq!(warned.matches("WARNING").count(), 1, "{warned}");
    assert!(
        warned.contains("WARNING: the key old.pub expired on 2001-12-31, and this machine's clock says "),
        "{warned}"
    );
    let strict = upstream.kbundle(verify.into_iter().chain(["--strict"]));
    let (code, text) = failure(&strict);
    assert_eq!((code, strict.stdout.len()), (3, 0), "{text}");
    assert!(text.contains("error: the key old.pub expired on 2001-12-31"), "{text}");
    success(&upstream.kbundle(["verify", BUNDLE, "--key=a.pub", "--strict"]));

    let report = success(&upstream.kbundle(verify.into_iter().chain(["--output=json"])));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let signer =
        |file: &str| report["signedBy"].as_array().unwrap().iter().find(|signer| signer["keyFile"] == file).unwrap();
    assert_eq!(signer("a.pub")["comment"], "releases of site A");
    assert_eq!(signer("a.pub")["validFrom"], "2001-01-01");
    assert_eq!(signer("old.pub")["validUntil"], "2001-12-31");
    assert_eq!(signer("old.pub").get("comment"), None);

    // Other tools skip the notes.
    let plain = fs::read_to_string(upstream.path("a.pub")).unwrap();
    let plain = &plain[plain.find("-----BEGIN").unwrap()..];
    assert_eq!(openssl(&upstream, &["pkey", "-pubin", "-in", "a.pub"]), plain);
}

#[test]
fn notes_that_make_no_sense_are_refused() {
    let upstream = unsigned();
    for (arguments, words) in [
        (&["--valid-until=31.12.2027"][..], "`31.12.2027` is not a day such as 2027-12-31"),
        (&["--valid-from=2027-01-01", "--valid-until=2026-01-01"], "2027-01-01 comes after 2026-01-01"),
        (&["--comment=two\nlines"], "the comment is longer than 200 characters or holds control characters"),
    ] {
        let (code, text) = failure(&upstream.kbundle([&["keygen", "--out=new.key"][..], arguments].concat()));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(!upstream.path("new.key").exists() && !upstream.path("new.pub").exists());
    }
    let file = fs::read_to_string(upstream.path("signing.pub")).unwrap();
    fs::write(upstream.path("odd.pub"), format!("Valid-Until: soon\n{file}")).unwrap();
    let (code, text) = failure(&upstream.kbundle(["verify", BUNDLE, "--key=odd.pub"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("odd.pub cannot be used as a key") && text.contains("`soon` is not a day"), "{text}");
}

/// `script` gives the program a terminal of its own.
#[test]
fn a_terminal_is_asked_for_the_passphrase_and_does_not_show_it() {
    let upstream = unsigned();
    let at_terminal = |arguments: &str, typed: &str| {
        let program = env!("CARGO_BIN_EXE_kbundle");
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{program} {arguments}"), "/dev/null"]);
        script.current_dir(upstream.directory.path()).env_remove("KBUNDLE_PASSPHRASE");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is needed");
        let mut keyboard = child.stdin.take().unwrap();
        // Typed character by character, like a person: characters before the prompt would be echoed.
        for line in typed.lines() {
            std::thread::sleep(std::time::Duration::from_millis(700));
            writeln!(keyboard, "{line}").unwrap();
        }
        let output = child.wait_with_output().unwrap();
        drop(keyboard);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(!shown.contains("horse"), "{shown}");
        (output.status.success(), shown)
    };
    let (made, shown) = at_terminal("keygen --encrypt --out=officer.key", "correct horse\ncorrect horse");
    assert!(made && shown.contains("the same again: "), "{shown}");
    let sign = format!("sign {BUNDLE} --key=officer.key");
    let (signed, shown) = at_terminal(&sign, "wrong horse");
    assert!(!signed && shown.contains("the passphrase does not open the private key"), "{shown}");
    let (signed, shown) = at_terminal(&sign, "correct horse");
    assert!(signed && shown.contains("passphrase of officer.key: "), "{shown}");
    success(&upstream.kbundle(["verify", BUNDLE, "--key=officer.pub"]));
    let (made, shown) = at_terminal("keygen --encrypt --out=other.key", "one horse\nother horse");
    assert!(!made && shown.contains("the two passphrases differ"), "{shown}");
    assert!(!upstream.path("other.key").exists());
}

/// The key stays where openssl has it; kbundle gets only the signature, raw from openssl and in base64.
#[test]
fn a_signer_elsewhere_signs_the_list_and_the_signature_is_attached() {
    let upstream = unsigned();
    openssl(&upstream, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "hsm.key"]);
    openssl(&upstream, &["genpkey", "-algorithm", "ed25519", "-out", "card.key"]);
    let list = upstream.kbundle(["cat", BUNDLE, "bundle.json", "--unsigned"]).stdout;
    fs::write(upstream.path("bundle.json"), &list).unwrap();
    let digest = success(&upstream.kbundle(["sign", BUNDLE, "--print-digest"]));
    assert_eq!(digest.trim(), kbundle_format::Digest::of(&list).hex());

    openssl(&upstream, &["dgst", "-sha256", "-sign", "hsm.key", "-out", "hsm.der", "bundle.json"]);
    openssl(&upstream, &["pkeyutl", "-sign", "-rawin", "-inkey", "card.key", "-in", "bundle.json", "-out", "card.raw"]);
    openssl(&upstream, &["base64", "-A", "-in", "card.raw", "-out", "card.sig"]);
    for (name, signature) in [("hsm", "hsm.der"), ("card", "card.sig")] {
        let (private, public) = (format!("{name}.key"), format!("{name}.pub"));
        openssl(&upstream, &["pkey", "-in", &private, "-pubout", "-out", &public]);
        success(&upstream.kbundle(["sign", BUNDLE, "--attach", signature, "--public-key", &public]));
    }
    let verified = success(&upstream.kbundle(["verify", BUNDLE, "--key=hsm.pub", "--key=card.pub", "--threshold=2"]));
    assert!(verified.contains("(ECDSA P-256, hsm.pub)") && verified.contains("(Ed25519, card.pub)"), "{verified}");
    let before = fs::read(upstream.path(BUNDLE)).unwrap();
    let (code, text) = failure(&upstream.kbundle(["sign", BUNDLE, "--attach=hsm.der", "--public-key=card.pub"]));
    assert_eq!(code, 3, "{text}");
    assert_eq!(fs::read(upstream.path(BUNDLE)).unwrap(), before);
}

#[test]
fn openssl_accepts_our_signatures() {
    let upstream = unsigned();
    success(&upstream.kbundle(["keygen", "--algorithm=ed25519", "--out=second.key"]));
    for key in ["signing.key", "second.key"] {
        success(&upstream.kbundle(["sign", BUNDLE, "--key", key]));
    }
    success(&upstream.kbundle(["extract", BUNDLE, "bundle.json", "signatures", "-C", ".", "--unsigned"]));
    for key in ["signing", "second"] {
        let public = format!("{key}.pub");
        let der = openssl(&upstream, &["pkey", "-pubin", "-in", &public, "-outform", "DER", "-out", "pub.der"]);
        assert_eq!(der, "");
        let id = kbundle_format::Digest::of(&fs::read(upstream.path("pub.der")).unwrap()).hex();
        openssl(&upstream, &["base64", "-d", "-A", "-in", &format!("signatures/{id}.sig"), "-out", "sig.raw"]);
        let verify = if key == "signing" {
            vec!["dgst", "-sha256", "-verify", &public, "-signature", "sig.raw", "bundle.json"]
        } else {
            vec![
                "pkeyutl",
                "-verify",
                "-rawin",
                "-pubin",
                "-inkey",
                &public,
                "-sigfile",
                "sig.raw",
                "-in",
                "bundle.json",
            ]
        };
        openssl(&upstream, &verify);
    }
}

/// One key with two signature files is one signer.
#[test]
fn one_key_counts_once_toward_the_threshold() {
    let upstream = unsigned();
    success(&upstream.kbundle(["keygen", "--out=second.key"]));
    success(&upstream.kbundle(["sign", BUNDLE, "--key=signing.key", "--detached"]));
    success(&upstream.kbundle(["sign", BUNDLE, "--key=signing.key"]));
    let mut names = fs::read_dir(upstream.directory.path()).unwrap().map(|item| item.unwrap().path());
    let detached = names.find(|path| path.extension().is_some_and(|extension| extension == "sig")).unwrap();
    let arguments = ["verify", BUNDLE, "--key=signing.pub", "--key=second.pub", "--threshold=2", "--signature"];
    let (code, text) = failure(&upstream.kbundle(arguments.into_iter().chain([detached.to_str().unwrap()])));
    assert_eq!(code, 3);
    assert!(text.contains("1 of 2 needed signature(s)") && text.contains("key counted already"), "{text}");
}

#[test]
fn the_provenance_names_every_material_and_is_checked() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let report = success(&upstream.kbundle(["verify", BUNDLE, "--key=signing.pub", "--output=json"]));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["provenance"]["status"], "verified");
    // The catalog, the kubelet, and index, manifest, config and layer of an image.
    assert_eq!(report["provenance"]["materials"], 6);
    success(&upstream.kbundle(["keygen", "--out=second.key"]));
    success(&upstream.kbundle(["sign", BUNDLE, "--key=second.key"]));
    let seen = success(&upstream.kbundle(["verify", BUNDLE, "--key=second.pub"]));
    assert!(seen.contains("provenance not signed by a trusted key"), "{seen}");

    // Built again with the same key, every byte is the same: the provenance contains no times.
    success(&upstream.build(&["--key=signing.key", "--out=again.tar.zst"]));
    success(&upstream.build(&["--key=signing.key", "--out=once-more.tar.zst"]));
    assert!(fs::read(upstream.path("again.tar.zst")).unwrap() == fs::read(upstream.path("once-more.tar.zst")).unwrap());
}

#[test]
fn openssl_reads_private_keys_of_both_kinds() {
    let upstream = unsigned();
    for algorithm in ["ecdsa-p256", "ed25519"] {
        let (key, public) = (format!("{algorithm}.key"), format!("{algorithm}.pub"));
        success(&upstream.kbundle(["keygen", "--algorithm", algorithm, "--out", &key]));
        let said = openssl(&upstream, &["pkey", "-in", &key, "-pubout"]);
        assert_eq!(said, fs::read_to_string(upstream.path(&public)).unwrap());
    }
}

/// Run by `ci/cosign`, which fetches cosign.
#[test]
#[ignore = "needs cosign; run ./ci/cosign"]
fn cosign_and_kbundle_accept_each_other() {
    let upstream = unsigned();
    let cosign = |arguments: &[&str]| {
        let output = Command::new("cosign")
            .args(arguments)
            .env("COSIGN_PASSWORD", "")
            .current_dir(upstream.directory.path())
            .output()
            .expect("cosign is needed");
        (output.status.success(), failure(&output).1)
    };
    // No transparency log and no network: an air-gapped site can check only this.
    let verify = |key: &str, signature: &str| {
        cosign(&["verify-blob", "--key", key, "--signature", signature, "--insecure-ignore-tlog=true", "bundle.json"])
    };
    success(&upstream.kbundle(["sign", BUNDLE, "--key=signing.key"]));
    success(&upstream.kbundle(["extract", BUNDLE, "bundle.json", "signatures", "-C", ".", "--unsigned"]));
    let ours = fs::read_dir(upstream.path("signatures")).unwrap().next().unwrap().unwrap().path();
    let (accepted, text) = verify("signing.pub", ours.to_str().unwrap());
    assert!(accepted && text.contains("Verified OK"), "{text}");
    let notes = ["--comment=releases of site A", "--valid-until=2001-12-31"];
    success(&upstream.kbundle([&["keygen", "--algorithm=ed25519", "--out=ed25519.key"][..], &notes].concat()));
    success(&upstream.kbundle(["sign", BUNDLE, "--key=ed25519.key", "--detached"]));
    let mut files = fs::read_dir(upstream.directory.path()).unwrap().map(|item| item.unwrap().path());
    let detached = files.find(|path| path.extension().is_some_and(|ending| ending == "sig")).unwrap();
    let (accepted, text) = verify("ed25519.pub", detached.to_str().unwrap());
    assert!(accepted && text.contains("Verified OK"), "{text}");
    let (accepted, _) = verify("signing.pub", detached.to_str().unwrap());
    assert!(!accepted, "cosign took a signature for that of another key");

    let (made, text) = cosign(&["generate-key-pair"]);
    assert!(made, "{text}");
    let (signed, text) = cosign(&[
        "sign-blob",
        "--key=cosign.key",
        "--tlog-upload=false",
        "--yes",
        "--output-signature=theirs.sig",
        "bundle.json",
    ]);
    assert!(signed, "{text}");
    success(&upstream.kbundle(["sign", BUNDLE, "--attach=theirs.sig", "--public-key=cosign.pub"]));
    success(&upstream.kbundle(["verify", BUNDLE, "--key=signing.pub", "--key=cosign.pub", "--threshold=2"]));
    let (accepted, _) = verify("cosign.pub", ours.to_str().unwrap());
    assert!(!accepted, "cosign took a signature of kbundle for its own");
}
