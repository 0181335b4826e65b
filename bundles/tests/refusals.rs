//! Anything that is not exactly a bundle is refused, with an error that gives the reason.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use kbundle_format::fixtures::{self, Piece, assemble, body, bundle, end, head, key, list_of};
use kbundle_format::head::{ReadError, SignatureCheck};
use kbundle_format::list::ListError;
use kbundle_format::seek_table::SeekTableError;
use kbundle_format::signature::TrustError;
use kbundle_format::tar_layer::{TarError, TarHeader};
use kbundle_format::{BundleSource, BundleStream, IndexedBundle, SignatureFile};

use common::{content, verify};

const CONTENTS: [(&str, &[u8]); 3] = [("bin/a", b"first"), ("bin/b", b"second"), ("bin/c", b"third")];

/// The error of a good bundle whose head and entries were changed by `change`, assembled with a right seek table.
fn refusal(change: impl FnOnce(&mut Vec<Piece>)) -> ReadError {
    let (key, trust) = key();
    let list = list_of(&CONTENTS);
    let mut pieces = head(&list.to_bytes(), &key);
    pieces.extend(body(&list, &CONTENTS));
    change(&mut pieces);
    verify(assemble(&pieces), &trust).unwrap_err()
}

fn header(path: &str, size: u64) -> TarHeader {
    TarHeader::of_file(path.parse().unwrap(), size)
}

#[test]
fn the_hand_made_bundle_is_good_until_it_is_changed() {
    let (key, trust) = key();
    let list = list_of(&CONTENTS);
    let mut pieces = head(&list.to_bytes(), &key);
    pieces.extend(body(&list, &CONTENTS));
    assert_eq!(verify(assemble(&pieces), &trust).unwrap().entries, 3);
    assert!(assemble(&pieces) == bundle(&CONTENTS, &[&key]));
}

#[test]
fn unsigned_and_strangers() {
    let (key, trust) = key();
    let (stranger, _) = fixtures::key();
    assert!(matches!(verify(bundle(&CONTENTS, &[]), &trust), Err(ReadError::Trust(TrustError::Unsigned))));
    let error = verify(bundle(&CONTENTS, &[&stranger]), &trust).unwrap_err();
    assert!(matches!(error, ReadError::Trust(TrustError::NotEnough { good: 0, .. })), "{error}");
    assert!(verify(bundle(&CONTENTS, &[&stranger, &key]), &trust).is_ok());
}

#[test]
fn a_signature_of_another_bundle() {
    let (key, trust) = key();
    let other = SignatureFile::sign(&list_of(&CONTENTS[..2]).to_bytes(), &key);
    let bytes = bundle(&CONTENTS, &[]);
    let check = SignatureCheck::Required { trust: &trust, detached: &[other] };
    let error = BundleStream::open(std::io::Cursor::new(bytes), check).map(drop).unwrap_err();
    assert!(matches!(error, ReadError::Trust(TrustError::NotEnough { good: 0, .. })), "{error}");
}

/// zstd can write the same content in several ways, so a few flips have no effect on the content. All others are refused.
#[test]
fn every_flipped_byte_that_changes_anything() {
    let (key, trust) = key();
    let bytes = bundle(&CONTENTS, &[&key]);
    let mut harmless = 0;
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        if verify(damaged.clone(), &trust).is_ok() {
            assert_eq!(unzstd(&damaged), unzstd(&bytes), "byte {index}");
            harmless += 1;
        }
    }
    assert!(harmless * 100 < bytes.len(), "{harmless} of {} flips were taken", bytes.len());
}

fn unzstd(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(bytes).unwrap()
}

#[test]
fn every_truncation() {
    let (key, trust) = key();
    let bytes = bundle(&CONTENTS, &[&key]);
    for length in 0..bytes.len() {
        assert!(verify(bytes[..length].to_vec(), &trust).is_err(), "length {length} of {}", bytes.len());
    }
}

#[test]
fn bytes_after_the_end() {
    let (key, trust) = key();
    let mut bytes = bundle(&CONTENTS, &[&key]);
    bytes.push(0);
    let error = verify(bytes, &trust).unwrap_err();
    assert!(error.to_string().contains("bytes follow the end"), "{error}");
}

#[test]
fn a_second_bundle_appended() {
    let (key, trust) = key();
    let mut bytes = bundle(&CONTENTS, &[&key]);
    bytes.extend(bundle(&CONTENTS, &[&key]));
    let error = verify(bytes, &trust).unwrap_err();
    assert!(error.to_string().contains("bytes follow the end"), "{error}");
}

#[test]
fn a_second_archive_within() {
    let error = refusal(|pieces| pieces.extend([end(), end()]));
    assert!(error.to_string().contains("frames follow the end"), "{error}");
}

#[test]
fn an_entry_that_is_not_listed() {
    let error = refusal(|pieces| pieces.insert(3, fixtures::piece(&header("bin/evil", 4), b"evil")));
    assert!(matches!(&error, ReadError::NotListed { path, .. } if path.as_str() == "bin/evil"), "{error}");
    let error = refusal(|pieces| pieces.insert(5, fixtures::piece(&header("bin/evil", 4), b"evil")));
    assert!(matches!(&error, ReadError::NotListed { .. }), "{error}");
}

#[test]
fn a_listed_entry_that_is_missing() {
    for index in [2, 3] {
        let error = refusal(|pieces| drop(pieces.remove(index)));
        assert!(matches!(&error, ReadError::Missing { .. }), "{error}");
    }
    let error = refusal(|pieces| drop(pieces.remove(4)));
    assert!(matches!(&error, ReadError::Missing { path } if path.as_str() == "bin/c"), "{error}");
}

#[test]
fn entries_in_another_order_or_twice() {
    let error = refusal(|pieces| pieces.swap(2, 3));
    assert!(matches!(&error, ReadError::Missing { path } if path.as_str() == "bin/a"), "{error}");
    let error = refusal(|pieces| {
        let again = pieces[2].clone();
        pieces.insert(3, again);
    });
    assert!(matches!(&error, ReadError::NotListed { path, .. } if path.as_str() == "bin/a"), "{error}");
}

#[test]
fn swapped_content() {
    let error = refusal(|pieces| pieces[2][512..517].copy_from_slice(b"thief"));
    assert!(matches!(&error, ReadError::Digest { path, .. } if path.as_str() == "bin/a"), "{error}");
}

#[test]
fn a_size_that_lies_either_way() {
    for size in [4, 6, 5000] {
        let error = refusal(|pieces| pieces[2][..512].copy_from_slice(&header("bin/a", size).to_block()));
        assert!(matches!(error, ReadError::NotListed { .. }), "{size}: {error}");
    }
}

#[test]
fn content_longer_or_shorter_than_its_header() {
    let error = refusal(|pieces| pieces[2].extend([0; 512]));
    assert!(error.plain().to_string().contains("more than one entry"), "{error}");
    let error = refusal(|pieces| pieces[2].truncate(514));
    assert!(matches!(error.plain(), ReadError::Digest { .. } | ReadError::Layout { .. }), "{error}");
}

#[test]
fn padding_that_hides_something() {
    let error = refusal(|pieces| *pieces[2].last_mut().unwrap() = 1);
    assert!(error.plain().to_string().contains("padding is not empty"), "{error}");
}

#[test]
fn a_link_where_a_file_belongs() {
    let error = refusal(|pieces| {
        let mut link = tar::Header::from_byte_slice(&pieces[2][..512]).clone();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_cksum();
        pieces[2][..512].copy_from_slice(link.as_bytes());
    });
    assert!(matches!(error.plain(), ReadError::Tar { source: TarError::Foreign { .. }, .. }), "{error}");
}

/// A reader by seek table recognizes an entry with a damaged header by its size, but must not accept it as the entry.
#[test]
fn frames_as_large_as_an_entry_before_and_behind_it() {
    for place in [2, 3, 4] {
        for of in [2, 3, 4] {
            refusal(|pieces| {
                let mut garbage = pieces[of].clone();
                garbage[..512].fill(7);
                pieces.insert(place, garbage);
            });
        }
    }
}

#[test]
fn a_list_that_comes_second_or_not_at_all() {
    for count in [1, 2] {
        let error = refusal(|pieces| drop(pieces.drain(..count)));
        assert!(error.to_string().contains("does not begin with bundle.json"), "{error}");
    }
}

#[test]
fn a_bad_signature_is_found_before_a_bad_list_is_parsed() {
    let (key, trust) = key();
    let (stranger, _) = fixtures::key();
    let garbage = br#"{"formatVersion":1,"#;
    for (signer, parsed) in [(&stranger, false), (&key, true)] {
        let mut pieces = head(garbage, signer);
        pieces.push(end());
        let error = verify(assemble(&pieces), &trust).unwrap_err();
        assert_eq!(matches!(error, ReadError::List(ListError::Syntax { .. })), parsed, "{error}");
    }
}

#[test]
fn a_deep_list() {
    let (key, trust) = key();
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let mut pieces = head(&deep, &key);
    pieces.push(end());
    let error = verify(assemble(&pieces), &trust).unwrap_err();
    assert!(matches!(error, ReadError::List(ListError::Syntax { .. })), "{error}");
}

#[test]
fn a_seek_table_that_lies() {
    use kbundle_format::seek_table::{FrameSizes, encode};
    let (key, trust) = key();
    let bytes = bundle(&CONTENTS, &[&key]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.tar.zst");
    fs_err::write(&path, &bytes).unwrap();
    let frames = kbundle_format::seek_table::read(&BundleSource::open(&path).unwrap()).unwrap();
    let body = bytes.len() - encode(&frames).len();
    // Two adjacent frames have the same size together as before: only the frames themselves show the change.
    let mut lying = frames.clone();
    lying[3] = FrameSizes { compressed: frames[3].compressed + 1, ..frames[3] };
    lying[4] = FrameSizes { compressed: frames[4].compressed - 1, ..frames[4] };
    let bytes = [&bytes[..body], &encode(&lying)].concat();
    assert!(matches!(verify(bytes.clone(), &trust), Err(ReadError::SeekTable(SeekTableError::Lies { .. }))));

    fs_err::write(&path, bytes).unwrap();
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let refused = match IndexedBundle::open(&path, check) {
        Err(_) => true,
        Ok(bundle) => bundle.list().entries.iter().any(|entry| bundle.read_entry(entry).is_err()),
    };
    assert!(refused);
}

#[test]
fn a_file_that_is_replaced_while_it_is_read() {
    let (key, trust) = key();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.tar.zst");
    fs_err::write(&path, bundle(&CONTENTS, &[&key])).unwrap();
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let opened = IndexedBundle::open(&path, check).unwrap();
    let other = bundle(&[("bin/a", b"worst"), ("bin/b", b"second"), ("bin/c", b"third")], &[&key]);
    fs_err::write(&path, other).unwrap();
    let entry = opened.list().entries[0].clone();
    let error = opened.read_entry(&entry).unwrap_err();
    assert!(matches!(error, ReadError::Digest { .. } | ReadError::Frame(_) | ReadError::Missing { .. }), "{error}");
}

/// Entries of all sizes, so that two entries that are hashed together end at different places.
#[test]
fn a_check_of_all_entries_says_of_each_what_reading_it_says() {
    let (key, trust) = key();
    let sizes = [0, 1, 63, 64, 65, 3000, 200_000, 1 << 20, (8 << 20) + 5, 0, 17 << 20, 100, 2 << 20];
    let contents: Vec<_> = (0_u8..).zip(sizes).map(|(seed, size)| content(size, seed)).collect();
    let names: Vec<_> = (10..10 + sizes.len()).map(|number| format!("bin/{number}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    let list = list_of(&named);
    let mut pieces = head(&list.to_bytes(), &key);
    pieces.extend(body(&list, &named));
    for (entry, byte) in [(3, 512 + 60), (6, 512), (8, 512 + (8 << 20)), (10, 512 + 12_000_000)] {
        pieces[2 + entry][byte] ^= 1;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), assemble(&pieces)).unwrap();
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let bundle = IndexedBundle::open(file.path(), check).unwrap();
    let entries: Vec<_> = bundle.list().entries.iter().collect();
    let hashed = AtomicU64::new(0);
    let progress = |count| {
        hashed.fetch_add(count, Ordering::Relaxed);
    };
    let found = bundle.check_each(&entries, &progress);
    assert_eq!(
        found.iter().map(|damage| damage.path.as_str()).collect::<Vec<_>>(),
        ["bin/13", "bin/16", "bin/18", "bin/20"]
    );
    let alone = entries.iter().filter_map(|entry| bundle.copy_entry(entry, &mut std::io::sink()).err());
    let words = |error: &ReadError| error.to_string();
    assert_eq!(
        found.iter().map(|damage| words(&damage.error)).collect::<Vec<_>>(),
        alone.map(|error| words(&error)).collect::<Vec<_>>()
    );
    assert_eq!(hashed.into_inner(), sizes.iter().sum::<usize>() as u64);
}

#[test]
fn all_damaged_entries_are_named() {
    use kbundle_format::stream::Carriage;
    let (key, trust) = key();
    let list = list_of(&CONTENTS);
    let mut pieces = head(&list.to_bytes(), &key);
    pieces.extend(body(&list, &CONTENTS));
    pieces[2][512] ^= 1;
    pieces[4][512] ^= 1;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), assemble(&pieces)).unwrap();
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let bundle = IndexedBundle::open(file.path(), check).unwrap();
    let findings = bundle.check_entries(Carriage::Full, &|_| {}).unwrap();
    let damaged: Vec<_> = findings.damage.iter().map(|damage| damage.path.as_str()).collect();
    assert_eq!(damaged, ["bin/a", "bin/c"]);
}
