use std::io::Write as _;

use tar::EntryType;

use super::*;
use crate::fixtures::{tar, tar_of};
use crate::tar_files::GZIP_MAGIC;

const STATUS: &[u8] = b"Package: a\nVersion: 1\n";

fn layer(files: &[(&str, &[u8])]) -> Layer {
    Layer::read(&mut &tar(files)[..]).unwrap()
}

#[test]
fn all_compressions_are_read_and_all_bytes_are_taken() {
    let plain = tar(&[("./var/lib/dpkg/status", STATUS)]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for mut bytes in [plain, gzip.finish().unwrap(), zstd] {
        bytes.resize(bytes.len() + 70_000, 0);
        let mut content = &bytes[..];
        let layer = Layer::read(&mut content).unwrap();
        assert_eq!(layer.found.keys().collect::<Vec<_>>(), ["var/lib/dpkg/status"]);
        assert_eq!(content.len(), 0);
    }
}

#[test]
fn whiteouts_files_and_opaque_folders_hide_what_lies_below() {
    let upper = layer(&[("a/.wh.gone", b""), (".wh.root", b""), ("b/.wh..wh..opq", b""), ("c", b""), ("d/file", b"")]);
    for hidden in ["a/gone", "a/gone/x", "root/x", "b/x", "b/x/y", "c", "c/x", "d/file"] {
        assert!(upper.hides(hidden), "{hidden}");
    }
    for seen in ["a", "a/x", "a/gone2", "b", "d", "d/x", "e"] {
        assert!(!upper.hides(seen), "{seen}");
    }
    assert!(layer(&[(".wh..wh..opq", b"")]).hides("x"));
}

#[test]
fn the_last_file_of_a_name_counts() {
    let twice = layer(&[("var/lib/dpkg/status", STATUS), ("var/lib/dpkg/status", b"Package: b\nVersion: 1\n")]);
    let Finding::Packages(packages) = &twice.found["var/lib/dpkg/status"] else { panic!() };
    assert_eq!(packages[0].name, "b");
}

#[test]
fn long_names_are_read_and_bounded() {
    let long = format!("{}/node_modules/a/package.json", "d".repeat(300));
    let found = layer(&[(&long, br#"{"name":"a","version":"1"}"#)]).found;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&long]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    let name = vec![b'x'; 2 << 20];
    header.set_size(name.len() as u64);
    header.set_cksum();
    builder.append(&header, &name[..]).unwrap();
    let cut_short = Layer::read(&mut &builder.into_inner().unwrap()[..]).unwrap().cut_short.unwrap();
    assert!(cut_short.contains("file name beyond"), "{cut_short}");
}

#[test]
fn an_archive_that_breaks_off_says_so_and_keeps_what_was_found() {
    let mut bytes = tar(&[("var/lib/dpkg/status", STATUS), ("x", &[1; 5000])]);
    bytes.truncate(3000);
    let layer = Layer::read(&mut &bytes[..]).unwrap();
    assert_eq!(layer.found.len(), 1);
    assert!(layer.cut_short.is_some());
}

#[test]
fn unread_databases_are_named() {
    let found = layer(&[("var/lib/rpm/Packages", b"\0\0\0\0")]).found;
    assert!(matches!(&found["var/lib/rpm/Packages"], Finding::NotRead(reason) if reason.contains("Berkeley DB")));
}

#[test]
fn files_that_give_more_rights_are_found_by_mode_and_by_capability() {
    let bytes = tar_of(&[
        ("bin/su", 0o4755, false),
        ("bin/wall", 0o2755, false),
        ("bin/ping", 0o755, true),
        ("bin/ls", 0o755, false),
    ]);
    let layer = Layer::read(&mut &bytes[..]).unwrap();
    let found: Vec<_> =
        layer.privileged.iter().map(|(path, privilege)| (path.as_str(), privilege.to_string())).collect();
    let text = |text: &str| text.to_owned();
    let expected = [("bin/ping", text("file capabilities")), ("bin/su", text("setuid")), ("bin/wall", text("setgid"))];
    assert_eq!(found, expected);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        Layer::read(&mut &bytes[..]).unwrap();
        Layer::read(&mut &[GZIP_MAGIC, &bytes].concat()[..]).unwrap();
        Layer::program("x", &mut &[&read::ELF_MAGIC[..], &bytes].concat()[..]).unwrap();
    }
}
