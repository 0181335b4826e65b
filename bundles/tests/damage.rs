//! Damage is reported as damage and a change as a change, with the place and the entry.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use kbundle_format::diagnosis::Verdict;
use kbundle_format::fixtures::{self, Piece, assemble, body, bundle, head, key, list_of, noise};
use kbundle_format::head::{ReadError, SignatureCheck};
use kbundle_format::stream::Carriage;
use kbundle_format::tar_layer::TarHeader;
use kbundle_format::volume::{Split, VolumeWriter};
use kbundle_format::{BundleSource, BundleStream, Diagnosis, IndexedBundle, SigningKey, TrustPolicy};

struct Bench {
    folder: tempfile::TempDir,
    key: SigningKey,
    trust: TrustPolicy,
    noise: Vec<u8>,
    text: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let (key, trust) = key();
        let text = (0..20_000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect();
        Self { folder: tempfile::tempdir().unwrap(), key, trust, noise: noise(7, 300_000), text }
    }

    fn contents(&self) -> [(&str, &[u8]); 3] {
        [("bin/noise", &self.noise), ("bin/text", &self.text), ("bin/small", b"small")]
    }

    fn good(&self) -> Vec<u8> {
        bundle(&self.contents(), &[&self.key])
    }

    /// The good bundle with a change, assembled again so that the frames and the seek table are right.
    fn changed(&self, change: impl FnOnce(&mut Vec<Piece>)) -> Vec<u8> {
        let list = list_of(&self.contents());
        let mut pieces = head(&list.to_bytes(), &self.key);
        pieces.extend(body(&list, &self.contents()));
        change(&mut pieces);
        assemble(&pieces)
    }

    fn check(&self) -> SignatureCheck<'_> {
        SignatureCheck::Required { trust: &self.trust, detached: &[] }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("site.tar.zst")
    }

    /// The diagnosis of a bundle with these bytes.
    fn diagnose(&self, bytes: &[u8]) -> (Diagnosis, String) {
        fs_err::write(self.path(), bytes).unwrap();
        self.diagnose_at(&self.path())
    }

    fn diagnose_at(&self, path: &Path) -> (Diagnosis, String) {
        let source = BundleSource::open(path).unwrap();
        let found = |error: &ReadError| (Diagnosis::of_source(error, &source), error.plain().to_string());
        let opened = match IndexedBundle::open_source(source.clone(), self.check()) {
            Ok(opened) => opened,
            Err(error) => return found(&error),
        };
        match opened.check_entries(Carriage::Full, &|_| {}) {
            Err(error) => found(&error),
            Ok(findings) => {
                let damage = findings.damage.into_iter().next().expect("the bundle is good");
                (Diagnosis::of_entry(&damage.error, &opened, &damage.path), damage.error.to_string())
            }
        }
    }

    /// The same in one pass over a pipe.
    fn diagnose_stream(&self, bytes: &[u8]) -> (Diagnosis, String) {
        let read =
            BundleStream::open(Cursor::new(bytes.to_vec()), self.check()).and_then(|stream| stream.verify_rest(|_| {}));
        let error = read.unwrap_err();
        (Diagnosis::of_stream(&error), error.plain().to_string())
    }

    /// The offset of an entry in the good bundle.
    fn start(&self, path: &str) -> u64 {
        fs_err::write(self.path(), self.good()).unwrap();
        let opened = IndexedBundle::open(&self.path(), self.check()).unwrap();
        let entry = opened.list().entries.iter().find(|entry| entry.path.as_str() == path).unwrap();
        opened.extent(entry).unwrap().start
    }
}

fn near(diagnosis: &Diagnosis) -> &str {
    diagnosis.near.as_ref().map_or("", |path| path.as_str())
}

/// The bytes of the tar header are unchanged in the frame, since random bytes do not compress.
#[test]
fn a_flipped_bit_in_a_header_is_damage() {
    let bench = Bench::new();
    let mut bytes = bench.good();
    let name = bytes.windows(9).rposition(|part| part == b"bin/small").unwrap();
    bytes[name] ^= 1;
    for (diagnosis, error) in [bench.diagnose(&bytes), bench.diagnose_stream(&bytes)] {
        assert_eq!(diagnosis.verdict, Verdict::Damaged, "{error}");
        assert!(diagnosis.to_string().starts_with("the medium or the copy is bad"), "{diagnosis}");
        assert!(!format!("{diagnosis} {error}").contains("owner"), "{diagnosis}: {error}");
    }
}

/// Every flip is found near its place, and none is reported as a certain change.
#[test]
fn flipped_bits_are_never_told_as_a_change() {
    let bench = Bench::new();
    let good = bench.good();
    let starts = ["bin/noise", "bin/text", "bin/small"].map(|path| bench.start(path));
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        for (diagnosis, error) in [bench.diagnose(&bytes), bench.diagnose_stream(&bytes)] {
            assert!(
                matches!(diagnosis.verdict, Verdict::Damaged | Verdict::DamagedOrChanged),
                "byte {at}: {diagnosis}: {error}"
            );
            let named = near(&diagnosis);
            let expected = match starts.iter().rposition(|&start| start <= at as u64) {
                Some(0) => "bin/noise",
                Some(1) => "bin/text",
                _ => continue,
            };
            assert_eq!(named, expected, "byte {at}: {diagnosis}: {error}");
        }
    }
}

#[test]
fn lost_sectors_are_damage_and_named() {
    let bench = Bench::new();
    let mut bytes = bench.good();
    let start = usize::try_from(bench.start("bin/noise")).unwrap() + 100_000;
    bytes[start..start + 8192].fill(0);
    let (diagnosis, error) = bench.diagnose(&bytes);
    assert_eq!((diagnosis.verdict, near(&diagnosis)), (Verdict::Damaged, "bin/noise"), "{error}");
    let zeros = diagnosis.zeros.unwrap();
    assert!(zeros.contains(&(start as u64)) && zeros.contains(&(start as u64 + 8191)), "{zeros:?}");
}

#[test]
fn a_cut_is_damage_and_says_where() {
    let bench = Bench::new();
    let good = bench.good();
    let within = usize::try_from(bench.start("bin/text")).unwrap() + 1000;
    for length in [within, good.len() - 5] {
        for (diagnosis, error) in [bench.diagnose(&good[..length]), bench.diagnose_stream(&good[..length])] {
            assert_eq!(diagnosis.verdict, Verdict::Damaged, "{length}: {error}");
        }
    }
    let (diagnosis, _) = bench.diagnose(&good[..within]);
    assert_eq!(near(&diagnosis), "bin/noise");
    assert_eq!(diagnosis.place.unwrap().offset, bench.start("bin/text"));
}

#[test]
fn an_unfinished_copy_that_ends_in_zeros_is_damage() {
    let bench = Bench::new();
    let mut bytes = bench.good();
    let from = bytes.len() - 100_000;
    bytes[from..].fill(0);
    let (diagnosis, error) = bench.diagnose(&bytes);
    assert_eq!(diagnosis.verdict, Verdict::Damaged, "{error}");
}

#[test]
fn what_somebody_put_together_is_a_change() {
    let bench = Bench::new();
    let header = |path: &str, size| TarHeader::of_file(path.parse().unwrap(), size);
    let another = bench.changed(|pieces| pieces.insert(3, fixtures::piece(&header("bin/evil", 4), b"evil")));
    let link = bench.changed(|pieces| {
        let mut link = tar::Header::from_byte_slice(&pieces[2][..512]).clone();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_cksum();
        pieces[2][..512].copy_from_slice(link.as_bytes());
    });
    for bytes in [another, link] {
        let (diagnosis, error) = bench.diagnose_stream(&bytes);
        assert_eq!(diagnosis.verdict, Verdict::Changed, "{error}");
    }
    let (diagnosis, error) = bench.diagnose_stream(&bench.changed(|pieces| pieces[2][600] ^= 1));
    assert_eq!(diagnosis.verdict, Verdict::DamagedOrChanged, "{error}");
}

fn split(bench: &Bench, bytes: &[u8]) -> Vec<PathBuf> {
    let mut writer = VolumeWriter::new(&bench.path(), Split { file_bytes: 100_000, parity: 0 }).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn damage_in_a_volume_names_the_volume_and_the_byte_in_it() {
    let bench = Bench::new();
    let good = bench.good();
    let volumes = split(&bench, &good);
    let mut volume = fs_err::read(&volumes[1]).unwrap();
    volume[40_000] ^= 1;
    fs_err::write(&volumes[1], volume).unwrap();
    let (diagnosis, error) = bench.diagnose_at(&volumes[0]);
    assert_eq!((diagnosis.verdict, near(&diagnosis)), (Verdict::Damaged, "bin/noise"), "{error}");
    let (volume, from) = diagnosis.place.unwrap().volume.unwrap();
    assert_eq!((volume.file_name(), from), (volumes[1].file_name(), 256));
}

/// The volumes prove that nothing happened to their payloads since the split.
#[test]
fn a_wrong_digest_in_whole_volumes_is_a_change() {
    let bench = Bench::new();
    let volumes = split(&bench, &bench.changed(|pieces| pieces[2][600] ^= 1));
    let (diagnosis, error) = bench.diagnose_at(&volumes[0]);
    assert_eq!((diagnosis.verdict, near(&diagnosis)), (Verdict::Changed, "bin/noise"), "{error}");
}

#[test]
fn other_files_are_named_for_what_they_are_by_both_readers() {
    let bench = Bench::new();
    for (bytes, words) in
        [(&b"\x1F\x8B\x08\0\0\0"[..], "a gzip file"), (b"<!DOCTYPE html>", "an HTML page"), (b"", "an empty file")]
    {
        for (diagnosis, error) in [bench.diagnose(bytes), bench.diagnose_stream(bytes)] {
            assert_eq!(diagnosis.verdict, Verdict::NotABundle);
            assert!(error.contains(words), "{error}");
        }
    }
}
