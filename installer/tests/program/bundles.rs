//! Runs the program on small bundles: what is verified, what is refused, and the messages.

use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;
use insta::assert_snapshot;
use kbundle_format::revocations::RevokedBundle;
use kbundle_format::{Digest, Platform, Revocations};

use crate::folder::{Folder, Said, Signature};

/// A folder with the good bundle `good.tar.zst` for this machine.
fn folder() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let bytes = folder.bundle("good.tar.zst", &Platform::of_this_program(), Signature::Inside);
    (folder, bytes)
}

/// The message of verifying the good bundle with one byte changed, without the offset.
fn flipped(position: usize) -> String {
    let (folder, mut bytes) = folder();
    bytes[position] ^= 0x10;
    fs::write(folder.path("flipped.tar.zst"), bytes).unwrap();
    let said = folder.kinstall(&["run", "flipped.tar.zst", "--key", "signing.pub", "--dry-run"]);
    assert_eq!(said.code, Some(3), "{said}");
    assert_eq!(said.stdout, "", "{said}");
    said.stderr.lines().filter(|line| !line.starts_with("Kubernetes")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_bundle_is_verified() {
    let (folder, _) = folder();
    let said = folder.kinstall(&["verify", "good.tar.zst", "--key", "signing.pub"]);
    assert_eq!(said.code, Some(0));
    assert_snapshot!(said.stdout, @"
    good.tar.zst: verified
      kubernetes 1.25.2 for PLATFORM
      signed by  DIGEST (ECDSA P-256, signing.pub)
      list       sha256:DIGEST
      entries    3 (449.22 KiB of content)
      provenance none
    ");
}

#[test]
fn a_result_for_programs_is_one_value() {
    let (folder, _) = folder();
    let said = folder.kinstall(&["verify", "good.tar.zst", "--key", "signing.pub", "--output", "json"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_snapshot!(said.stdout, @r#"
    {
      "schema": 1,
      "bundle": "good.tar.zst",
      "verified": true,
      "kubernetesVersion": "1.25.2",
      "platforms": [
        "PLATFORM"
      ],
      "signers": [
        "DIGEST"
      ],
      "signedBy": [
        {
          "keyId": "DIGEST",
          "algorithm": "ecdsa-p256",
          "keyFile": "signing.pub"
        }
      ],
      "listDigest": "sha256:DIGEST",
      "entries": 3,
      "contentBytes": 460000,
      "leftOut": 0,
      "mendedVolumes": [],
      "provenance": {
        "status": "absent"
      }
    }
    "#);
}

#[test]
fn a_signature_beside_the_bundle_counts_when_it_is_given() {
    let folder = Folder::new();
    folder.bundle("bare.tar.zst", &Platform::of_this_program(), Signature::Beside);
    let verify = ["verify", "bare.tar.zst", "--key", "signing.pub"];
    assert_snapshot!(folder.kinstall(&verify), @"
    exit code 3
    --- stdout
    --- stderr
    error: refused bare.tar.zst
      caused by: the bundle is not signed
    hint: have it signed where it was built, or give a signature that lies beside it with `--signature`
    ");
    let signed = folder.kinstall(&[&verify[..], &["--signature", "bare.tar.zst.sig"]].concat());
    assert_eq!(signed.code, Some(0), "{signed}");
    assert_snapshot!(folder.kinstall(&[&verify[..], &["--signature", "nowhere.sig"]].concat()), @"
    exit code 2
    --- stdout
    --- stderr
    error: cannot read a signature
      caused by: failed to query resolved metadata `nowhere.sig`: No such file or directory (os error 2)
    ");
}

#[test]
fn refuses_without_a_key() {
    let (folder, _) = folder();
    assert_snapshot!(folder.kinstall(&["run", "good.tar.zst"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: no key to verify the bundle with, and an unverified bundle is never used
    hint: give the public key of whoever signs your bundles: `--key signing.pub`; get it another way than the bundle
    ");
    assert_eq!(folder.kinstall(&["verify", "good.tar.zst"]).code, Some(2));
}

#[test]
fn refuses_a_key_that_did_not_sign() {
    let (folder, _) = folder();
    assert_snapshot!(folder.kinstall(&["run", "good.tar.zst", "--key", "stranger.pub", "--dry-run"]), @"
    exit code 3
    --- stdout
    --- stderr
    error: the bundle was refused; nothing on this host was changed
      caused by: 0 of 1 needed signature(s) by trusted keys; the bundle carries: signatures/DIGEST.sig (not by a trusted key over this list)
    hint: check the key with whoever signs your bundles
    ");
}

#[test]
fn refuses_one_signature_where_two_are_asked_for() {
    let (folder, _) = folder();
    let keys = ["--key", "signing.pub", "--key", "stranger.pub", "--threshold", "2"];
    assert_snapshot!(folder.kinstall(&[&["verify", "good.tar.zst"][..], &keys].concat()), @"
    exit code 3
    --- stdout
    --- stderr
    error: refused good.tar.zst
      caused by: 1 of 2 needed signature(s) by trusted keys; the bundle carries: signatures/DIGEST.sig (good)
    hint: check the key with whoever signs your bundles
    ");
}

#[test]
fn refuses_a_flipped_byte_wherever_it_is() {
    let length = folder().1.len();
    assert_snapshot!(flipped(5), @"
    error: the bundle was refused; nothing on this host was changed
      caused by: the medium or the copy is bad, within bytes FROM to TO, near bundle.json
      caused by: the seek table does not describe this file: a frame holds more or less than its row says
    hint: copy the bundle again from where it was built, onto another medium if it fails again
    ");
    assert_snapshot!(flipped(length / 2), @"
    error: the bundle was refused; nothing on this host was changed
      caused by: 1 entry is not as signed
        artifacts/linux-amd64/kubelet: digest sha256:DIGEST instead of sha256:DIGEST
          the copy is bad, or the bundle was changed after it was signed, within bytes FROM to TO, near artifacts/linux-amd64/kubelet
    hint: copy the bundle again from where it was built; if the new copy fails as well, ask whoever signed it and do not use it
    ");
    assert_snapshot!(flipped(length - 60_000), @"
    error: the bundle was refused; nothing on this host was changed
      caused by: 1 entry is not as signed
        artifacts/linux-amd64/kubectl: digest sha256:DIGEST instead of sha256:DIGEST
          the copy is bad, or the bundle was changed after it was signed, within bytes FROM to TO, near artifacts/linux-amd64/kubectl
    hint: copy the bundle again from where it was built; if the new copy fails as well, ask whoever signed it and do not use it
    ");
}

#[test]
fn names_every_damaged_entry_and_volume() {
    let (folder, mut bytes) = folder();
    let length = bytes.len();
    for place in [length / 2, length - 60_000] {
        bytes[place] ^= 1;
    }
    fs::write(folder.path("damaged.tar.zst"), &bytes).unwrap();
    let verify = |name: &str| folder.kinstall(&["verify", name, "--key", "signing.pub"]).to_string();
    let said = verify("damaged.tar.zst");
    assert!(
        said.contains("2 entries are not as signed")
            && said.contains("kubelet: digest")
            && said.contains("kubectl: digest"),
        "{said}"
    );
    assert_eq!(
        said.matches("the copy is bad, or the bundle was changed after it was signed, within bytes ").count(),
        2
    );

    let good = fs::read(folder.path("good.tar.zst")).unwrap();
    let volumes = folder.split(&good, good.len() as u64 / 2, 0);
    assert!(verify("stick").starts_with("exit code 0"), "{}", verify("stick"));
    let mut volume = fs::read(&volumes[1]).unwrap();
    let middle = volume.len() / 2;
    volume[middle] ^= 1;
    fs::write(&volumes[1], volume).unwrap();
    let said = verify("stick");
    assert!(
        said.contains("volume stick/b.tar.zst.002 is damaged") && said.contains("copy the damaged volumes"),
        "{said}"
    );
    // The volume's checksum is wrong as well, so nobody changed the bundle.
    assert!(said.contains("the medium or the copy is bad, within bytes "), "{said}");
}

#[test]
fn refuses_a_bundle_cut_off() {
    let (folder, bytes) = folder();
    fs::write(folder.path("short.tar.zst"), &bytes[..bytes.len() - 1000]).unwrap();
    assert_snapshot!(folder.kinstall(&["verify", "short.tar.zst", "--key", "signing.pub"]), @"
    exit code 3
    --- stdout
    --- stderr
    error: refused short.tar.zst
      caused by: the medium or the copy is bad, within bytes FROM to TO, near artifacts/linux-amd64/kubelet
      caused by: the bundle does not end in a seek table (its footer is not one); it is cut off or something was appended
    hint: copy the bundle again from where it was built, onto another medium if it fails again
    ");
}

#[test]
fn refuses_a_bundle_for_another_machine() {
    let folder = Folder::new();
    let here = Platform::of_this_program();
    let other = if here.architecture() == "amd64" { "linux/arm64" } else { "linux/amd64" };
    folder.bundle("other.tar.zst", &other.parse().unwrap(), Signature::Inside);
    let said = folder.kinstall(&["run", "other.tar.zst", "--key", "signing.pub", "--dry-run"]).to_string();
    assert_snapshot!(said.replace(other, "OTHER").replace(here.architecture(), "HERE"), @"
    exit code 3
    --- stdout
    --- stderr
    error: the bundle is for OTHER, this kinstall is for PLATFORM; nothing was changed
    hint: use one that was built with `--arch HERE`
    ");
}

#[test]
fn preflight_uses_no_bundle_that_is_not_verified() {
    let (folder, _) = folder();
    let said = folder.kinstall(&["preflight", "good.tar.zst"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("no key to verify the bundle with"), "{}", said.stderr);
    let said = folder.kinstall(&["preflight", "good.tar.zst", "--key", "signing.pub", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(value["findings"].is_array(), "one value, without the bundle's own events: {}", said.stdout);
}

#[test]
fn what_makes_no_sense_is_usage() {
    let (folder, _) = folder();
    fs::write(folder.path("cluster.yaml"), "network: {cni: weave}\n").unwrap();
    let run = ["run", "good.tar.zst", "--key", "signing.pub", "--dry-run"];
    assert_snapshot!(folder.kinstall(&[&run[..], &["--config", "cluster.yaml"]].concat()), @"
    exit code 2
    --- stdout
    --- stderr
    error: cluster.yaml cannot be used
      caused by: line 1, column 16: network.cni: unknown value `weave`; known are `bridge`, `flannel`, `calico`, `none`
    ");
    assert_snapshot!(folder.kinstall(&["verify", "nowhere.tar.zst", "--key", "signing.pub"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: refused nowhere.tar.zst
      caused by: cannot open the bundle
      caused by: failed to query resolved metadata `nowhere.tar.zst`: No such file or directory (os error 2)
    ");
    assert_snapshot!(folder.kinstall(&["verify", "good.tar.zst", "--key", "good.tar.zst"]), @"
    exit code 2
    --- stdout
    --- stderr
    error: good.tar.zst cannot be used as a key: there is no key in it (a public key is needed)
    hint: give the signer's public key in PEM; the signer writes it with `openssl pkey -in signing.key -pubout -out signing.pub`
    ");
    let unknown = folder.kinstall(&[&run[..], &["--ignore", "memroy"]].concat());
    assert_eq!(unknown.code, Some(2), "{unknown}");
    assert!(unknown.stderr.contains("did you mean `memory`?"), "{unknown}");
}

#[test]
fn a_reset_without_anyone_to_ask_needs_a_word() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinstall")).arg("reset").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // As another user, on a host with an installation, and on one without.
    let refused = output.status.code() == Some(3) && (said.contains("only root") || said.contains("add `--yes`"));
    assert!(refused || (output.status.success() && said.contains("nothing to do")), "{said}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    let folder = Folder::new();
    let bash = folder.kinstall(&["completion", "bash"]);
    assert!(bash.code == Some(0) && bash.stdout.contains("_kinstall()"), "{bash}");
    assert_eq!(folder.kinstall(&["man", "."]).code, Some(0));
    let help = folder.kinstall(&["--help"]);
    assert_snapshot!("help", help.stdout);
    let page = fs::read_to_string(folder.path("kinstall-run.1")).unwrap();
    assert!(page.contains("dry") && page.contains("Print the plan and change nothing"), "{page}");
}

#[test]
fn bash_is_offered_checks_pages_and_files() {
    const SCRIPT: &str = r#"
        source <(kinstall completion bash) || exit 1
        COMP_WORDS=(kinstall "$@") COMP_CWORD=$# COMP_TYPE=9
        _clap_complete_kinstall kinstall "${@: -1}" "" || exit 1
        printf '%s\n' "${COMPREPLY[@]}""#;
    let (folder, _) = folder();
    let programs = Path::new(env!("CARGO_BIN_EXE_kinstall")).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let offered = |words: &str| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", SCRIPT, "bash"]).args(words.split(' ')).current_dir(folder.path(""));
        let output = bash.env("PATH", &path).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offered("run good.tar.zst --ignore mem"), ["memory"]);
    assert_eq!(offered("manual troubl"), ["troubleshooting"]);
    assert_eq!(offered("verify go"), ["good.tar.zst"]);
    assert_eq!(offered("sta"), ["status"]);
}

#[test]
fn a_key_that_has_expired_is_refused_when_that_is_asked_for() {
    let (folder, _) = folder();
    let key = fs::read_to_string(folder.path("signing.pub")).unwrap();
    fs::write(folder.path("old.pub"), format!("Valid-Until: 2001-12-31\n{key}")).unwrap();
    let verify = ["verify", "good.tar.zst", "--key", "old.pub"];
    let said = folder.kinstall(&verify);
    assert!(said.code == Some(0) && said.stderr.contains("WARNING: the key old.pub expired on 2001-12-31"), "{said}");
    let said = folder.kinstall(&[&verify[..], &["--strict"]].concat());
    assert!(said.code == Some(3) && said.stderr.contains("error: the key old.pub expired on 2001-12-31"), "{said}");
    assert_eq!(said.stdout, "");
}

/// The document on standard output of a failed command, which prints nothing on standard error.
fn failed_document(said: &Said, code: i32) -> serde_json::Value {
    assert_eq!((said.code, said.stderr.as_str()), (Some(code), ""), "{said}");
    let document: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["error"]["exitCode"], code);
    document
}

#[test]
fn a_failure_as_json_is_one_document() {
    let (folder, _) = folder();
    let json = |arguments: &[&str], code: i32| {
        failed_document(&folder.kinstall(&[arguments, &["--output", "json"]].concat()), code)
    };
    let refused = json(&["verify", "good.tar.zst", "--key", "stranger.pub"], 3);
    assert_eq!(refused["error"]["kind"], "refused");
    let flag = json(&["verify", "good.tar.zst", "--treshold", "2"], 2);
    assert_eq!(flag["error"]["hint"], "did you mean `--threshold`?");
    fs::write(folder.path("cluster.yaml"), "network: {cni: weave}\n").unwrap();
    let invalid = json(&["config", "validate", "cluster.yaml"], 2);
    assert_eq!(invalid["valid"], false);
    assert!(invalid["problems"][0]["message"].is_string(), "{invalid}");
}

/// The same mistakes as in kbundle's tests, with the same exit codes.
#[test]
fn mistakes_about_a_bundle_are_usage() {
    let (folder, _) = folder();
    let key = ["--key", "signing.pub"];
    for (arguments, words) in [
        (&["preflight", "-"][..], "one pass over standard input"),
        (&["verify", "-", "--volumes", "."], "--volumes makes no sense with standard input"),
        (&["verify", "good.tar.zst", "--volumes", "nowhere"], "nowhere"),
        (&["verify", "good.tar.zst", "--threshold", "2"], "--threshold"),
        (&["verify", "good.tar.zst", "--signature", "nowhere.sig"], "nowhere.sig"),
        (&["verify", "good.tar.zst", "--key", "nowhere.pub"], "nowhere.pub"),
    ] {
        let said = folder.kinstall(&[arguments, &key].concat());
        assert!(said.code == Some(2) && said.stderr.contains(words), "{said}");
    }
}

#[test]
fn a_revoked_bundle_is_refused_before_the_host_is_changed() {
    let (folder, _) = folder();
    let revoked = |bundles: &[&[u8]]| {
        let mut revocations = Revocations::new("2026-11-28T12:00:00Z".parse().unwrap());
        for list in bundles {
            let revoked = RevokedBundle { reason: "CVE-2026-1".parse().unwrap(), superseded_by: None };
            revocations.bundles.insert(Digest::of(list), revoked);
        }
        fs::write(folder.path("revocations.json"), revocations.sign(&[folder.signing()])).unwrap();
    };
    let verify = ["verify", "good.tar.zst", "--key", "signing.pub", "--revocations", "revocations.json"];
    revoked(&[]);
    let said = folder.kinstall(&verify);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains("revocations.json, number 0"), "{said}");

    revoked(&[&Folder::list_bytes()]);
    let dry_run = ["run", "good.tar.zst", "--key", "signing.pub", "--revocations", "revocations.json", "--dry-run"];
    for line in [&verify[..], &dry_run[..]] {
        let said = folder.kinstall(line);
        assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said}");
        assert!(said.stderr.contains("the bundle is revoked: CVE-2026-1"), "{said}");
    }
}
