//! Time stamps of bundles, by OpenSSL's authority.

use std::process::Command;

use fs_err as fs;

use crate::diff::two;
use crate::upstream::{Upstream, failure, success};

const CONFIGURATION: &str = "
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
";

/// Makes an authority in the folder: `tsa.pem` and the files to sign with it.
fn make_authority(upstream: &Upstream) {
    fs::write(upstream.path("tsa.cnf"), CONFIGURATION).unwrap();
    shell(
        upstream,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout tsa.key -subj '/CN=Time of Example' -days 30 \\
            -addext extendedKeyUsage=critical,timeStamping -out tsa.pem",
    );
}

/// Writes the authority's answer to `request.tsq` into the file `answer`.
fn answer(upstream: &Upstream, answer: &str) {
    shell(upstream, &format!("openssl ts -reply -config tsa.cnf -queryfile request.tsq -out {answer}"));
}

fn shell(upstream: &Upstream, script: &str) {
    let output = Command::new("sh").args(["-euc", script]).current_dir(upstream.path("")).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

const VERIFY: [&str; 6] = ["verify", "bundle.tar.zst", "--key", "signing.pub", "--timestamp-authority", "tsa.pem"];
const ADD: [&str; 7] =
    ["timestamp", "add", "bundle.tar.zst", "--answer", "answer.tsr", "--timestamp-authority", "tsa.pem"];

/// Writes the authority's answer for `bundle` into `answer.tsr`.
pub fn stamp(upstream: &Upstream, bundle: &str) {
    make_authority(upstream);
    success(&upstream.kbundle(["timestamp", "request", bundle, "--out", "request.tsq"]));
    answer(upstream, "answer.tsr");
}

#[test]
fn a_time_stamp_is_requested_added_and_demanded() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--key", "signing.key", "--out", "bundle.tar.zst"]));
    stamp(&upstream, "bundle.tar.zst");
    let (code, text) = failure(&upstream.kbundle(VERIFY));
    assert_eq!((code, text.contains("there is no time stamp of the bundle: bundle.tar.zst.tsr")), (3, true), "{text}");
    success(&upstream.kbundle(ADD));
    assert_eq!(fs::read(upstream.path("bundle.tar.zst.tsr")).unwrap(), fs::read(upstream.path("answer.tsr")).unwrap());
    let said = success(&upstream.kbundle(VERIFY));
    assert!(said.contains("time stamp 20") && said.contains("Z by CN=Time of Example"), "{said}");
    let (code, text) = failure(&upstream.kbundle(ADD));
    assert_eq!((code, text.contains("bundle.tar.zst.tsr already exists")), (3, true), "{text}");
    success(&upstream.kbundle([&ADD[..], &["--force"]].concat()));
}

#[test]
fn the_time_stamp_of_another_bundle_is_not_taken() {
    let upstream = two();
    stamp(&upstream, "old.tar.zst");
    let (code, text) =
        failure(&upstream.kbundle(ADD.map(|word| if word == "bundle.tar.zst" { "new.tar.zst" } else { word })));
    assert_eq!((code, text.contains("is not about this bundle")), (3, true), "{text}");
    assert!(!upstream.path("new.tar.zst.tsr").exists());
}
