//! A bundle that was split into volumes can be read like the bundle, and parity replaces lost volumes.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use kbundle_format::fixtures::{bundle, key};
use kbundle_format::head::SignatureCheck;
use kbundle_format::source::SourceError;
use kbundle_format::stream::Carriage;
use kbundle_format::volume::{HEADER_BYTES, Kind, Split, VolumeError, VolumeWriter, repair, volume_path};
use kbundle_format::whole::VerifyError;
use kbundle_format::{BundleSource, BundleStream, IndexedBundle, TrustPolicy};
use proptest::prelude::*;

/// Cuts `bytes` into volumes of `file_bytes` under `folder`.
fn split(bytes: &[u8], folder: &Path, file_bytes: u64, parity: u32) -> Vec<PathBuf> {
    let mut writer = VolumeWriter::new(&folder.join("b.tar.zst"), Split { file_bytes, parity }).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn joined(place: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    BundleSource::open(place).unwrap().reader().read_to_end(&mut bytes).unwrap();
    bytes
}

fn refusal(places: &[PathBuf]) -> VolumeError {
    match BundleSource::open_all(places).map(drop).unwrap_err() {
        SourceError::Volume(error) => error,
        other => panic!("{other}"),
    }
}

/// A signed bundle of some kilobytes with content that does not compress.
fn sample() -> (Vec<u8>, TrustPolicy) {
    let (key, trust) = key();
    let noise: Vec<u8> = (0..30_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    (bundle(&[("bin/a", &noise), ("bin/b", b"second")], &[&key]), trust)
}

#[test]
fn volumes_read_as_the_bundle_they_were_cut_from() {
    let (bytes, trust) = sample();
    let folder = tempfile::tempdir().unwrap();
    let paths = split(&bytes, folder.path(), 20_000, 0);
    assert!(paths.len() > 3);
    assert!(paths.iter().all(|path| path.metadata().unwrap().len() <= 20_000));
    assert!(joined(folder.path()) == bytes);
    assert!(joined(&paths[2]) == bytes);
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let source = BundleSource::open(folder.path()).unwrap();
    assert_eq!(BundleStream::open(source.reader(), check).unwrap().verify_rest(|_| {}).unwrap().entries, 2);
    let indexed = IndexedBundle::open_source(source, check).unwrap();
    assert_eq!(indexed.read_entry(&indexed.list().entries[1]).unwrap(), b"second");
}

#[test]
fn two_cuts_of_one_bundle_in_a_folder_are_told_as_that() {
    let (bytes, _) = sample();
    let folder = tempfile::tempdir().unwrap();
    split(&bytes, folder.path(), 20_000, 0);
    let last = split(&bytes, folder.path(), 60_000, 0);
    assert!(matches!(refusal(&[folder.path().into()]), VolumeError::Recut { .. }));
    assert!(joined(&last[0]) == bytes);
}

#[test]
fn payloads_joined_by_other_tools_are_the_bundle() {
    let (bytes, _) = sample();
    let folder = tempfile::tempdir().unwrap();
    let payloads = split(&bytes, folder.path(), 20_000, 0)
        .iter()
        .flat_map(|path| fs_err::read(path).unwrap().split_off(HEADER_BYTES))
        .collect::<Vec<_>>();
    assert!(payloads == bytes);
}

#[test]
fn volumes_may_lie_on_several_sticks() {
    let (bytes, _) = sample();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = split(&bytes, one.path(), 20_000, 0);
    let moved = other.path().join(paths[1].file_name().unwrap());
    fs_err::rename(&paths[1], &moved).unwrap();
    assert!(
        matches!(refusal(&[one.path().into()]), VolumeError::Missing { missing, .. } if missing.iter().map(|lost| lost.0).eq([2]))
    );
    let mut read = Vec::new();
    let source = BundleSource::open_all(&[one.path().into(), other.path().into()]).unwrap();
    source.reader().read_to_end(&mut read).unwrap();
    assert!(read == bytes);
}

#[test]
fn volumes_of_two_bundles_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = sample();
    let paths = split(&first, folder.path(), 20_000, 0);
    let (second, _) = sample();
    let mut writer =
        VolumeWriter::new(&folder.path().join("c.tar.zst"), Split { file_bytes: 20_000, parity: 0 }).unwrap();
    writer.write_all(&second).unwrap();
    let others = writer.finish().unwrap();
    assert!(matches!(refusal(&[folder.path().into()]), VolumeError::Mixed { .. }));
    assert!(joined(&paths[0]) == first);
    assert!(joined(&others[0]) == second);
    // If the names are swapped, the headers show it.
    fs_err::copy(&others[1], &paths[1]).unwrap();
    assert!(
        matches!(refusal(&[paths[0].clone()]), VolumeError::Missing { missing, .. } if missing.iter().map(|lost| lost.0).eq([2]))
    );
}

#[test]
fn damage_is_named_by_volume() {
    let (bytes, _) = sample();
    let folder = tempfile::tempdir().unwrap();
    let paths = split(&bytes, folder.path(), 20_000, 0);
    let mut damaged = fs_err::read(&paths[2]).unwrap();
    damaged[5000] ^= 1;
    fs_err::write(&paths[2], &damaged).unwrap();
    assert_eq!(BundleSource::open(folder.path()).unwrap().damaged_volumes(), [paths[2].clone()]);
    damaged.pop();
    fs_err::write(&paths[2], &damaged).unwrap();
    assert!(matches!(refusal(&[folder.path().into()]), VolumeError::Length { path, .. } if path == paths[2]));
    damaged[40] ^= 1;
    fs_err::write(&paths[2], &damaged).unwrap();
    assert!(matches!(refusal(&[paths[2].clone()]), VolumeError::Header { path } if path == paths[2]));
}

#[test]
fn a_folder_without_volumes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(&[folder.path().into()]), VolumeError::None { .. }));
}

#[test]
fn an_unfinished_split_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = VolumeWriter::new(&folder.path().join("b"), Split { file_bytes: 1000, parity: 1 }).unwrap();
    writer.write_all(&[7; 5000]).unwrap();
    drop(writer);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn too_small_and_too_many_volumes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    assert!(VolumeWriter::new(&path, Split { file_bytes: 300, parity: 0 }).is_err());
    let mut writer = VolumeWriter::new(&path, Split { file_bytes: 320, parity: 0 }).unwrap();
    writer.write_all(&vec![1; 64 * 1000]).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, VolumeError::Unusable { .. }), "{error}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn parity_rebuilds_any_volumes_up_to_its_number(
        size in 1..120_000_usize, file_bytes in 4_000..40_000_u64, parity in 1..4_u32, lose in any::<prop::sample::Index>(),
    ) {
        let bytes: Vec<u8> = (0..size).map(|index| (index * index % 251).to_le_bytes()[0]).collect();
        let folder = tempfile::tempdir().unwrap();
        let paths = split(&bytes, folder.path(), file_bytes, parity);
        let before: Vec<_> = paths.iter().map(|path| fs_err::read(path).unwrap()).collect();
        let all = paths.len();
        let lost: Vec<_> = (0..parity as usize).map(|step| (lose.index(all) + step) % all).collect();
        for (&index, round) in lost.iter().zip(0..) {
            if round % 2 == 0 {
                fs_err::remove_file(&paths[index]).unwrap();
            } else {
                let mut damaged = fs_err::read(&paths[index]).unwrap();
                *damaged.last_mut().unwrap() ^= 1;
                fs_err::write(&paths[index], damaged).unwrap();
            }
        }
        let rebuilt = repair(&[folder.path().into()], &folder.path().join("b.tar.zst")).unwrap().rebuilt;
        prop_assert_eq!(rebuilt.len(), lost.len());
        prop_assert!(joined(folder.path()) == bytes);
        let after: Vec<_> = paths.iter().map(|path| fs_err::read(path).unwrap()).collect();
        prop_assert!(before == after);
        prop_assert!(repair(&[folder.path().into()], &folder.path().join("b.tar.zst")).unwrap().rebuilt.is_empty());
    }
}

/// The volumes of the sample, cut small and with parity.
fn with_parity(folder: &Path, parity: u32) -> (Vec<u8>, TrustPolicy, Vec<PathBuf>) {
    let (bytes, trust) = sample();
    let paths = split(&bytes, folder, 20_000, parity);
    (bytes, trust, paths)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[at] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

fn mended(source: &BundleSource) -> Vec<String> {
    source.mended().iter().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn lost_volumes_are_read_from_parity_as_they_were(
        size in 1..120_000_usize, file_bytes in 4_000..40_000_u64, parity in 1..4_u32, lose in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(), length in any::<prop::sample::Index>(),
    ) {
        let bytes: Vec<u8> = (0..size).map(|index| (index * index % 251).to_le_bytes()[0]).collect();
        let folder = tempfile::tempdir().unwrap();
        let paths = split(&bytes, folder.path(), file_bytes, parity);
        for step in 0..parity as usize {
            fs_err::remove_file(&paths[(lose.index(paths.len()) + step) % paths.len()]).unwrap();
        }
        let source = BundleSource::open(folder.path()).unwrap();
        let mut read = Vec::new();
        source.reader().read_to_end(&mut read).unwrap();
        prop_assert!(read == bytes);
        let from = from.index(size);
        let mut piece = vec![0; 1 + length.index(size - from)];
        source.read_exact_at(&mut piece, from as u64).unwrap();
        prop_assert!(piece == bytes[from..from + piece.len()]);
    }
}

#[test]
fn damage_that_parity_makes_up_for_is_mended_while_the_bundle_is_read() {
    // In the head, in an entry, in the seek table.
    for at in [300, 5000, usize::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let (_, trust, paths) = with_parity(folder.path(), 1);
        let data = paths.len() - 1;
        let number = match at {
            300 => 0,
            5000 => 2,
            _ => data - 1,
        };
        flip(&paths[number], at.min(fs_err::read(&paths[number]).unwrap().len() - 1));
        let check = SignatureCheck::Required { trust: &trust, detached: &[] };
        let source = BundleSource::open(folder.path()).unwrap();
        assert!(source.mended().is_empty(), "nobody hashes volumes before they are read");
        let bundle = IndexedBundle::open_source(source.clone(), check).unwrap();
        assert_eq!(bundle.verify(Carriage::Full, &|_| {}).unwrap().entries, 2);
        let path = paths[number].display();
        let number = number + 1;
        let said = format!("volume {path} ({number} of {data}) is damaged; it is rebuilt from parity in memory");
        assert_eq!(mended(&source), [said]);
        assert_eq!(bundle.read_entry(&bundle.list().entries[1]).unwrap(), b"second");
    }
}

#[test]
fn a_missing_volume_and_a_damaged_one_take_two_parity_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, trust, paths) = with_parity(folder.path(), 2);
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let data = paths.len() - 2;
    fs_err::remove_file(&paths[0]).unwrap();
    flip(&paths[2], 5000);
    let open = || {
        let source = BundleSource::open(folder.path()).unwrap();
        let verified = IndexedBundle::open_source(source.clone(), check)
            .map_err(VerifyError::Read)
            .and_then(|bundle| bundle.verify(Carriage::Full, &|_| {}));
        (verified, mended(&source))
    };
    let (verified, said) = open();
    assert_eq!(verified.unwrap().entries, 2);
    assert!(said[0].contains(&format!("001 (1 of {data}) is missing")), "{said:?}");
    assert!(said[1].contains("003") && said[1].contains("is damaged"), "{said:?}");
    // Damaged parity does not help.
    flip(&paths[data], 5000);
    assert!(open().0.is_err());
}

#[test]
fn a_good_copy_is_read_in_place_of_a_damaged_one() {
    let (here, stick) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, trust, paths) = with_parity(here.path(), 0);
    let copy = stick.path().join(paths[1].file_name().unwrap());
    fs_err::copy(&paths[1], &copy).unwrap();
    flip(&paths[1], 5000);
    let source = BundleSource::open_all(&[here.path().into(), stick.path().into()]).unwrap();
    let check = SignatureCheck::Required { trust: &trust, detached: &[] };
    let bundle = IndexedBundle::open_source(source.clone(), check).unwrap();
    bundle.verify(Carriage::Full, &|_| {}).unwrap();
    assert!(mended(&source)[0].ends_with(&format!("{} is read in its place", copy.display())), "{:?}", mended(&source));
}

#[test]
fn more_loss_than_parity_says_what_is_wrong_with_each() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, paths) = with_parity(folder.path(), 1);
    fs_err::remove_file(&paths[0]).unwrap();
    flip(&paths[2], 100);
    let error = refusal(&[folder.path().into()]);
    assert!(matches!(error, VolumeError::BeyondRepair { lost: 2, parity: 1, .. }), "{error}");
    let said = format!("volume b.tar.zst.001 is missing; volume {} is damaged", paths[2].display());
    assert!(error.to_string().contains(&said), "{error}");
}

#[test]
fn a_damaged_volume_on_another_stick_is_named_and_left_alone() {
    let (bytes, _) = sample();
    let (here, stick) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = split(&bytes, here.path(), 20_000, 2);
    let both = [here.path().to_owned(), stick.path().to_owned()];
    // One with a damaged payload, one with a damaged header.
    let moved = [&paths[1], &paths[3]].map(|path| stick.path().join(path.file_name().unwrap()));
    for (from, (to, at)) in [&paths[1], &paths[3]].into_iter().zip(moved.iter().zip([5000, 100])) {
        let mut damaged = fs_err::read(from).unwrap();
        damaged[at] ^= 1;
        fs_err::write(to, damaged).unwrap();
        fs_err::remove_file(from).unwrap();
    }
    let before = moved.each_ref().map(|path| fs_err::read(path).unwrap());
    let repair = repair(&both, &here.path().join("b.tar.zst")).unwrap();
    assert_eq!(repair.rebuilt, [paths[1].clone(), paths[3].clone()]);
    assert_eq!(repair.damaged.iter().collect::<std::collections::BTreeSet<_>>(), moved.iter().collect());
    assert_eq!(moved.each_ref().map(|path| fs_err::read(path).unwrap()), before);
    let mut read = Vec::new();
    BundleSource::open_all(&both).unwrap().reader().read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    // The volume that the user names first is used first.
    let reversed = [stick.path().to_owned(), here.path().to_owned()];
    assert_eq!(BundleSource::open_all(&reversed).unwrap().damaged_volumes(), [moved[0].clone()]);
}

#[test]
fn more_loss_than_parity_is_refused_and_nothing_is_written() {
    let (bytes, _) = sample();
    let folder = tempfile::tempdir().unwrap();
    let paths = split(&bytes, folder.path(), 20_000, 1);
    fs_err::remove_file(&paths[0]).unwrap();
    fs_err::remove_file(&paths[1]).unwrap();
    let bundle = folder.path().join("b.tar.zst");
    let error = repair(&[folder.path().into()], &bundle).unwrap_err();
    assert!(matches!(error, VolumeError::BeyondRepair { lost: 2, parity: 1, .. }), "{error}");
    assert!(!volume_path(&bundle, Kind::Data, 1).exists());
}
