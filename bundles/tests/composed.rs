//! Bundles made from bundles: differences, roles, additional signatures.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use kbundle_format::compose::{ComposeError, NewHead, compose};
use kbundle_format::fixtures::{self, Contents, key, list_of};
use kbundle_format::head::SignatureCheck;
use kbundle_format::indexed::Excerpt;
use kbundle_format::limits::MAX_FRAME_BYTES;
use kbundle_format::stream::Carriage;
use kbundle_format::whole::VerifyError;
use kbundle_format::{
    BundleList, BundleStream, Compression, Entry, IndexedBundle, ReadError, Role, SignatureFile, SigningKey,
    TrustPolicy,
};

struct Made {
    path: PathBuf,
    list: BundleList,
    bytes: Vec<u8>,
}

/// Writes a bundle of `list` that carries the entries that `carried` picks.
fn write(
    folder: &Path,
    name: &str,
    list: BundleList,
    contents: &Contents<'_>,
    key: &SigningKey,
    carried: impl Fn(&Entry) -> bool,
) -> Made {
    let content = |entry: &Entry| {
        let found = contents.iter().find(|(path, _)| *path == entry.path.as_str());
        found.filter(|_| carried(entry)).map(|found| found.1)
    };
    let bytes = fixtures::write(&list, &[key], Cursor::new(Vec::new()), content).into_inner();
    let path = folder.join(name);
    fs_err::write(&path, &bytes).unwrap();
    Made { path, list, bytes }
}

fn open(made: &Made) -> IndexedBundle {
    IndexedBundle::open(&made.path, SignatureCheck::Skipped).unwrap()
}

fn head(bundle: &IndexedBundle) -> NewHead<'_> {
    bundle.head().into()
}

fn big(seed: u8) -> Vec<u8> {
    (0..2 * MAX_FRAME_BYTES).map(|index| (index / 3 % 251).to_le_bytes()[0] ^ seed).collect()
}

fn stream(bytes: Vec<u8>, trust: &TrustPolicy) -> BundleStream {
    BundleStream::open(Cursor::new(bytes), SignatureCheck::Required { trust, detached: &[] }).unwrap()
}

/// A differential bundle and its base: one entry is kept, one has another name, and some are new.
#[test]
fn a_difference_is_read_with_its_base_as_if_it_were_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust) = key();
    let (kept, new) = (big(1), big(3));
    let old_contents: [(&str, &[u8]); 2] = [("bin/kept", &kept), ("bin/moved", b"moved")];
    let new_contents: [(&str, &[u8]); 4] =
        [("bin/kept", &kept), ("bin/new", &new), ("lib/moved", b"moved"), ("z", b"z")];
    let base = write(folder.path(), "base", list_of(&old_contents), &old_contents, &key, |_| true);
    let in_base = |entry: &Entry| base.list.entries.iter().any(|old| old.digest == entry.digest);
    let difference =
        write(folder.path(), "difference", list_of(&new_contents), &new_contents, &key, |entry| !in_base(entry));

    let alone = open(&difference);
    assert!(
        matches!(alone.verify(Carriage::Full, &|_| {}), Err(VerifyError::Damaged(damage)) if damage.entries.len() == 2)
    );
    let whole = alone.completed_from(vec![open(&base)]);
    assert_eq!(whole.verify(Carriage::Full, &|_| {}).unwrap().entries, 4);
    for (entry, (_, content)) in whole.list().entries.iter().zip(&new_contents) {
        assert!(whole.read_entry(entry).unwrap() == *content, "{}", entry.path);
    }
    // Entries for other hosts need no base.
    let excerpt = Excerpt::of(&whole, |_| true).unwrap();
    let mut bytes = Vec::new();
    excerpt.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, excerpt.size_bytes());
    assert_eq!(stream(bytes, &trust).verify_rest(|_| {}).unwrap().entries, 4);

    // Damage in the base is reported as such.
    let mut damaged = base.bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs_err::write(&base.path, damaged).unwrap();
    let whole = open(&difference).completed_from(vec![open(&base)]);
    let error = whole.verify(Carriage::Full, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("bin/kept") && error.contains(&format!("of the base {}", base.path.display())), "{error}");
}

#[test]
fn a_difference_and_its_base_make_the_full_bundle_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust) = key();
    let (kept, old, new) = (big(1), big(2), big(3));
    let old_contents: [(&str, &[u8]); 3] = [("bin/old", &old), ("bin/kept", &kept), ("bin/moved", b"moved")];
    let new_contents: [(&str, &[u8]); 4] =
        [("bin/kept", &kept), ("bin/new", &new), ("lib/moved", b"moved"), ("z", b"z")];
    let base = write(folder.path(), "base", list_of(&old_contents), &old_contents, &key, |_| true);
    let in_base = |entry: &Entry| base.list.entries.iter().any(|old| old.digest == entry.digest);
    let full = write(folder.path(), "full", list_of(&new_contents), &new_contents, &key, |_| true);
    let difference =
        write(folder.path(), "difference", list_of(&new_contents), &new_contents, &key, |entry| !in_base(entry));
    assert!(difference.bytes.len() < full.bytes.len());

    let error = stream(difference.bytes.clone(), &trust).verify_rest(|_| {}).unwrap_err();
    assert!(matches!(error, ReadError::Missing { path } if path.as_str() == "bin/kept"));
    let summary = stream(difference.bytes.clone(), &trust).carriage(Carriage::Partial).verify_rest(|_| {}).unwrap();
    assert_eq!(summary.left_out.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["bin/kept", "lib/moved"]);

    let (base, difference) = (open(&base), open(&difference));
    let joined = compose(head(&difference), |_| true, &[&difference, &base], Cursor::new(Vec::new())).unwrap();
    assert!(joined.into_inner() == full.bytes);
    let error = compose(head(&difference), |_| true, &[&difference], std::io::sink()).map(drop).unwrap_err();
    assert!(matches!(&error, ComposeError::NotCarried { path, .. } if path.as_str() == "bin/kept"), "{error}");
}

#[test]
fn a_base_of_another_compression_level_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = key();
    let kept = big(1);
    let contents: [(&str, &[u8]); 2] = [("bin/kept", &kept), ("bin/new", b"new")];
    let other_level = BundleList { compression: Compression::at_level(1), ..list_of(&contents[..1]) };
    let base = write(folder.path(), "base", other_level, &contents[..1], &key, |_| true);
    let full = write(folder.path(), "full", list_of(&contents), &contents, &key, |_| true);
    let difference = write(folder.path(), "difference", list_of(&contents), &contents, &key, |entry| {
        entry.path.as_str() == "bin/new"
    });
    let (base, difference) = (open(&base), open(&difference));
    let joined = compose(head(&difference), |_| true, &[&difference, &base], Cursor::new(Vec::new())).unwrap();
    assert!(joined.into_inner() == full.bytes);
}

#[test]
fn a_role_gets_just_its_entries_under_the_same_signatures() {
    let folder = tempfile::tempdir().unwrap();
    let (key, trust) = key();
    let contents: [(&str, &[u8]); 3] = [("bin/etcd", b"etcd"), ("bin/kubelet", b"kubelet"), ("bin/api", b"api")];
    let mut list = list_of(&contents);
    list.entries[0].roles = [Role::Etcd].into();
    list.entries[1].roles = [Role::ControlPlane, Role::Worker].into();
    list.entries[2].roles = [Role::ControlPlane].into();
    let full = open(&write(folder.path(), "full", list, &contents, &key, |_| true));
    let for_workers = |entry: &Entry| entry.roles.contains(&Role::Worker);
    let subset = compose(head(&full), for_workers, &[&full], Cursor::new(Vec::new())).unwrap().into_inner();
    let mut excerpt = Vec::new();
    let taken = Excerpt::of(&full, for_workers).unwrap();
    taken.write_to(&mut excerpt).unwrap();
    assert_eq!((taken.size_bytes(), taken.content_bytes()), (excerpt.len() as u64, 7));
    assert!(excerpt == subset, "taking ranges gives what composing does");
    let read = stream(subset, &trust).carriage(Carriage::Partial);
    assert_eq!(read.head().list_bytes, full.head().list_bytes);
    let summary = read.verify_rest(|_| {}).unwrap();
    assert_eq!((summary.entries, summary.left_out.len()), (1, 2));
}

#[test]
fn a_signature_is_added_without_decoding_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let ((first, _), (second, trust)) = (key(), key());
    let content = big(9);
    let contents: [(&str, &[u8]); 2] = [("bin/a", &content), ("bin/b", b"b")];
    let old = open(&write(folder.path(), "old", list_of(&contents), &contents, &first, |_| true));
    let signatures = [old.head().signatures[0].clone(), SignatureFile::sign(&old.head().list_bytes, &second)];
    let new_head = NewHead { signatures: &signatures, ..head(&old) };
    let signed = compose(new_head, |_| true, &[&old], Cursor::new(Vec::new())).unwrap().into_inner();
    let read = stream(signed, &trust);
    assert_eq!(read.head().signatures.len(), 2);
    assert_eq!(read.verify_rest(|_| {}).unwrap().entries, 2);
}
