//! Content that is packed is read back unchanged, by both readers and by other programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::io::Cursor;
use std::process::Command;

use kbundle_format::fixtures::{bundle, key, list_of};
use kbundle_format::head::SignatureCheck;
use kbundle_format::limits::MAX_FRAME_BYTES;
use kbundle_format::tar_layer::BLOCK_BYTES;
use kbundle_format::{BundleStream, BundleWriter, IndexedBundle, SignatureFile};
use proptest::prelude::*;

use common::{content, verify};

/// Sizes near the boundaries of frames and padding.
fn sizes() -> Vec<usize> {
    let frame = MAX_FRAME_BYTES - BLOCK_BYTES;
    vec![0, 1, 511, 512, 513, frame - 1, frame, frame + 1, frame + MAX_FRAME_BYTES, frame + MAX_FRAME_BYTES + 512]
}

#[test]
fn both_readers_give_back_what_was_written_at_every_edge() {
    let contents: Vec<_> = sizes().into_iter().zip(0..).map(|(size, seed)| content(size, seed)).collect();
    let names: Vec<_> = (0..contents.len()).map(|index| format!("bin/file-{index}")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    let (key, trust) = key();
    let bytes = bundle(&files, &[&key]);
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };

    let summary = verify(bytes.clone(), &trust).unwrap();
    assert_eq!(summary.entries, contents.len());
    assert_eq!(summary.content_bytes, contents.iter().map(|content| content.len() as u64).sum::<u64>());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.tar.zst");
    fs_err::write(&path, &bytes).unwrap();
    let indexed = IndexedBundle::open(&path, check).unwrap();
    assert_eq!(indexed.list().signers(), [key.verifying_key().id()]);
    for (entry, content) in indexed.list().entries.iter().zip(&contents).rev() {
        assert!(indexed.read_entry(entry).unwrap() == *content, "{}", entry.path);
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let big = content(3 * MAX_FRAME_BYTES, 1);
    let contents: [(&str, &[u8]); 2] = [("bin/a", &big), ("bin/b", b"b")];
    let (key, _) = key();
    assert!(bundle(&contents, &[&key]) == bundle(&contents, &[&key]));
}

#[test]
fn tar_and_zstd_alone_open_a_bundle() {
    let (key, _) = key();
    let bytes = bundle(&[("bin/kubelet", b"program"), ("manifests/a.yaml", b"text")], &[&key]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.tar.zst");
    fs_err::write(&path, bytes).unwrap();
    let unpacked =
        Command::new("tar").arg("--zstd").arg("-xf").arg(&path).arg("-C").arg(directory.path()).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    assert_eq!(fs_err::read(directory.path().join("bin/kubelet")).unwrap(), b"program");
    assert_eq!(fs_err::read(directory.path().join("manifests/a.yaml")).unwrap(), b"text");
}

#[test]
fn openssl_accepts_our_signature_and_we_accept_its() {
    let (key, trust) = key();
    let list = list_of(&[("bin/a", b"a")]).to_bytes();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs_err::write(path("bundle.json"), &list).unwrap();
    fs_err::write(path("key.pem"), key.to_pem().unwrap()).unwrap();
    fs_err::write(path("pub.pem"), key.verifying_key().to_pem()).unwrap();
    fs_err::write(path("ours.b64"), SignatureFile::sign(&list, &key).content).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run("openssl", &["base64", "-d", "-in", "ours.b64", "-out", "ours.sig"]);
    let said = run("openssl", &["dgst", "-sha256", "-verify", "pub.pem", "-signature", "ours.sig", "bundle.json"]);
    assert_eq!(String::from_utf8(said).unwrap(), "Verified OK\n");

    run("openssl", &["dgst", "-sha256", "-sign", "key.pem", "-out", "theirs.sig", "bundle.json"]);
    let content = run("openssl", &["base64", "-A", "-in", "theirs.sig"]);
    let theirs = SignatureFile { name: "theirs.sig".into(), content };
    assert_eq!(trust.check(&list, &[theirs]).unwrap(), [key.verifying_key().id()]);
}

#[test]
fn content_that_differs_from_the_list_is_not_packed() {
    let list = list_of(&[("bin/a", b"promised")]);
    for content in [&b"promises"[..], b"promise", b"promised and more"] {
        let mut writer = BundleWriter::new(Cursor::new(Vec::new()), 3).unwrap();
        writer.list(&list.to_bytes()).unwrap();
        let error = writer.entry(&list.entries[0], &mut &content[..]).unwrap_err();
        assert!(error.to_string().starts_with("the content for bin/a has digest"), "{error}");
    }
}

#[test]
fn the_writer_tells_when_its_output_fails() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = BundleWriter::new(Full, 3).unwrap();
    let _ = writer.list(b"{}");
    let error = writer.finish().map(drop).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "no storage space");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn entries_come_back_in_order(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..12)) {
        let (key, trust) = key();
        let names: Vec<_> = (0..contents.len()).map(|index| format!("x/{index}")).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let bytes = bundle(&files, &[&key]);
        let check = SignatureCheck::Required { trust: &trust, detached: &[] };
        let mut stream = BundleStream::open(Cursor::new(bytes), check).unwrap();
        for content in &contents {
            let mut sink = Vec::new();
            let entry = stream.next_entry(|_| Ok(Box::new(&mut sink))).unwrap();
            prop_assert!(entry.is_some());
            prop_assert_eq!(&sink, content);
        }
        prop_assert!(stream.next_entry(|_| Ok(Box::new(std::io::sink()))).unwrap().is_none());
    }
}
