use kbundle_format::oci::layout_file;
use serde_json::json;

use super::*;
use crate::fetch::{Cache, keep_image_files};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Files by name: an image and its layout, or its archive.
type Files = Vec<(String, Vec<u8>)>;

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content), "size": content.len() })
}

fn config(layer: &[u8]) -> Vec<u8> {
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [Digest::of(layer)] } })
        .to_string()
        .into_bytes()
}

/// A layout with one image for each tag.
fn layout(tags: &[&str]) -> Files {
    let mut files = vec![("oci-layout".to_owned(), layout_file().to_vec())];
    let mut manifests = Vec::new();
    for tag in tags {
        let layer = format!("layer of {tag}").into_bytes();
        let config = config(&layer);
        let manifest =
            json!({ "schemaVersion": 2, "config": descriptor(CONFIG, &config), "layers": [descriptor(LAYER, &layer)] });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor(MANIFEST, &manifest);
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        manifests.push(entry);
        for blob in [layer, config, manifest] {
            files.push((format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob));
        }
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files
}

/// An archive in the form of `docker save`, in which the layer of the second image is a link to that of the first.
fn saved() -> Files {
    let layer = b"layer".to_vec();
    let config = config(&layer);
    let image = |tag: &str, layer: &str| json!({ "Config": "config.json", "RepoTags": [tag], "Layers": [layer] });
    let manifest = json!([image("team/app:1", "one/layer.tar"), image("team/app:2", "two/layer.tar")]);
    vec![
        ("config.json".to_owned(), config),
        ("one/layer.tar".to_owned(), layer),
        ("manifest.json".to_owned(), manifest.to_string().into_bytes()),
    ]
}

fn write_folder(folder: &Path, files: &Files) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn write_tar(path: &Path, files: &Files, links: &[(&str, &str)]) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    for (name, content) in files {
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    for (name, target) in links {
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut header, name, target).unwrap();
    }
    archive.finish().unwrap();
}

fn platforms() -> BTreeSet<Platform> {
    BTreeSet::from(["linux/amd64".parse().unwrap()])
}

fn read(folder: &Path, file: &str) -> Result<FoundImage, String> {
    let file: ImageFile = file.parse().unwrap();
    file.read(folder, &platforms()).map_err(|error| error.to_string())
}

/// Copies the image into a new cache; returns the error if that fails.
fn keep(folder: &Path, file: &str) -> Result<usize, String> {
    let file: ImageFile = file.parse().unwrap();
    let found = file.read(folder, &platforms()).map_err(|error| error.to_string())?;
    let cache = Cache::open(&folder.join("cache")).unwrap();
    let kept = keep_image_files([(&file, found.digest)], folder, &platforms(), &cache);
    kept.map_err(|error| error.to_string())?;
    Ok(found.pieces.keys().filter(|digest| cache.whole(digest).unwrap().is_some()).count())
}

#[test]
fn a_folder_and_a_tar_hold_the_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let files = layout(&["1", "2"]);
    write_folder(&folder.path().join("layout"), &files);
    write_tar(&folder.path().join("layout.tar"), &files, &[]);
    let in_folder = read(folder.path(), "oci:layout:2").unwrap();
    let in_tar = read(folder.path(), "oci:layout.tar:2").unwrap();
    assert_eq!(in_folder.digest, in_tar.digest);
    assert_ne!(in_folder.digest, read(folder.path(), "oci:layout:1").unwrap().digest);
    assert_eq!(keep(folder.path(), "oci:layout:2"), Ok(3));
    assert_eq!(keep(folder.path(), "oci:layout.tar:1"), Ok(3));
}

#[test]
fn an_image_that_is_not_named_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), &layout(&["1", "2"]));
    for (file, words) in [
        ("oci:.", "several images; add one as `:TAG`: 1, 2"),
        ("oci:.:3", "no image named `3`, it has 1, 2"),
        ("oci:missing", "cannot read the image oci:missing"),
        ("oci:blobs", "lacks the file oci-layout"),
        ("docker-archive:.", "it is a folder"),
    ] {
        let error = read(folder.path(), file).err().unwrap();
        assert!(error.contains(words), "{file}: {error}");
    }
}

#[test]
fn content_with_another_digest_or_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = layout(&["1"]);
    for (number, words) in [(1, "instead of"), (2, "has digest"), (3, "which its descriptor does not say")] {
        let (path, mut changed) = (folder.path().join(format!("changed{number}")), files.clone());
        changed[number].1[0] ^= 1;
        write_folder(&path, &changed);
        let error = keep(&path, "oci:.").unwrap_err();
        assert!(error.contains(words), "{number}: {error}");
        assert!(!path.join("cache/sha256").join(&files[number].0["blobs/sha256/".len()..]).exists());
        let (path, mut missing) = (folder.path().join(format!("missing{number}")), files.clone());
        missing.remove(number);
        write_folder(&path, &missing);
        assert!(keep(&path, "oci:.").unwrap_err().contains("it lacks blobs/sha256/"));
    }
}

#[test]
fn a_saved_image_gets_a_manifest_and_its_links_are_followed_inside() {
    let folder = tempfile::tempdir().unwrap();
    write_tar(&folder.path().join("saved.tar"), &saved(), &[("two/layer.tar", "../one/layer.tar")]);
    let one = read(folder.path(), "docker-archive:saved.tar:team/app:1").unwrap();
    let two = read(folder.path(), "docker-archive:saved.tar:docker.io/team/app:2").unwrap();
    assert_eq!(one.digest, two.digest);
    assert_eq!(keep(folder.path(), "docker-archive:saved.tar:team/app:2"), Ok(3));
    let error = read(folder.path(), "docker-archive:saved.tar").err().unwrap();
    assert!(error.contains("several images; add one as `:REFERENCE`: team/app:1, team/app:2"), "{error}");
}

#[test]
fn a_saved_layer_that_is_not_what_the_config_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = saved();
    files[1].1 = b"other".to_vec();
    write_tar(&folder.path().join("saved.tar"), &files, &[]);
    let error = keep(folder.path(), "docker-archive:saved.tar:team/app:1").unwrap_err();
    assert!(error.contains("one/layer.tar has digest"), "{error}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"other").unwrap();
    files[1].1 = gzip.finish().unwrap();
    write_tar(&folder.path().join("saved.tar"), &files, &[]);
    let error = keep(folder.path(), "docker-archive:saved.tar:team/app:1").unwrap_err();
    assert!(error.contains("one/layer.tar has the tar"), "{error}");
}

#[test]
fn hostile_archives_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("a.tar");
    let refused = |words: &str| {
        let error = read(folder.path(), "docker-archive:a.tar:team/app:2").err().unwrap();
        assert!(error.contains(words), "{error}");
    };
    for (target, words) in [
        ("../../etc/passwd", "leads out of the image"),
        ("/etc/passwd", "leads out of the image"),
        ("layer.tar", "is a link to two/layer.tar, which is not a file of the archive"),
    ] {
        write_tar(&tar, &saved(), &[("two/layer.tar", target)]);
        refused(words);
    }
    write_tar(&tar, &[saved(), saved()].concat(), &[]);
    refused("the archive has config.json twice");

    // The tar library writes no such names.
    for (name, words) in [("../config.json", "leads out of the image"), ("/config.json", "leads out of the image")] {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(0);
        header.set_cksum();
        fs::write(&tar, [header.as_bytes().as_slice(), &[0; 1024]].concat()).unwrap();
        refused(words);
    }
    let header = |kind, size| {
        let mut header = tar::Header::new_gnu();
        header.set_path("config.json").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for (kind, size, words) in [
        (tar::EntryType::GNULongName, 2 << 20, "is larger than 1 MiB"),
        (tar::EntryType::Regular, 5 << 30, "larger than the archive"),
        (tar::EntryType::GNUSparse, 0, "is not a file, folder or link"),
        (tar::EntryType::Char, 0, "is not a file, folder or link"),
    ] {
        let file = fs::File::create(&tar).unwrap();
        std::io::Write::write_all(&mut &file, &header(kind, size)).unwrap();
        file.set_len(3 << 20).unwrap();
        refused(words);
    }
    fs::write(&tar, [0x1f, 0x8b, 8, 0]).unwrap();
    refused("the archive is compressed");
    fs::write(&tar, b"no archive").unwrap();
    refused("it is not a tar archive");
}

#[test]
fn links_in_a_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = layout(&["1"]);
    write_folder(folder.path(), &files);
    let blob = folder.path().join(&files[1].0);
    fs::rename(&blob, folder.path().join("elsewhere")).unwrap();
    fs::os::unix::fs::symlink(folder.path().join("elsewhere"), &blob).unwrap();
    let error = read(folder.path(), "oci:.").err().unwrap();
    assert!(error.contains("is not a regular file, or lies behind a link"), "{error}");
}
