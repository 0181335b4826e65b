//! Makes the bundles in `bundles/fixtures/v1`, which every later reader has to read: `cargo run --example fixtures -- FOLDER`.
//!
//! They were made once, by the first release of format 1, and stay as they are. The keys are thrown away.

#![allow(clippy::unwrap_used, reason = "whoever makes fixtures sees what failed")]

use std::io::{Cursor, Write as _};
use std::path::Path;

use kbundle_format::bases::{Base, Bases};
use kbundle_format::fixtures::noise;
use kbundle_format::head::Attestation;
use kbundle_format::key::Algorithm;
use kbundle_format::list::{Compression, FORMAT_VERSION, OCI_INDEX_PATH, OCI_LAYOUT_PATH};
use kbundle_format::volume::{Split, VolumeWriter};
use kbundle_format::{BundleList, BundleWriter, Component, Digest, Entry, EntryKind, EntryPath, Image, Role};
use kbundle_format::{SignatureFile, SigningKey};

type Content = (Entry, Vec<u8>);

fn entry(path: EntryPath, kind: EntryKind, media_type: &str, content: Vec<u8>) -> Content {
    let entry = Entry {
        path,
        digest: Digest::of(&content),
        size: content.len() as u64,
        media_type: media_type.to_owned(),
        kind,
        roles: Role::ALL.into(),
        component: None,
        platform: None,
        origin: None,
        licence: None,
        host_file: None,
    };
    (entry, content)
}

fn program(name: &str, version: &str, content: Vec<u8>) -> Content {
    let path = format!("artifacts/linux-amd64/{name}").parse().unwrap();
    let (entry, content) = entry(path, EntryKind::Binary, "application/octet-stream", content);
    let component = Some(Component { name: name.to_owned(), version: version.to_owned() });
    (
        Entry {
            component,
            platform: Some("linux/amd64".parse().unwrap()),
            licence: Some("Apache-2.0".to_owned()),
            host_file: None,
            ..entry
        },
        content,
    )
}

fn blob(kind: EntryKind, media_type: &str, content: Vec<u8>) -> Content {
    entry(EntryPath::blob(&Digest::of(&content)), kind, media_type, content)
}

/// An image of one layer, and the files that make the bundle an OCI image layout.
fn image() -> (Image, Vec<Content>) {
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let layer = blob(EntryKind::ImageLayer, LAYER, noise(11, 4000));
    let config = serde_json::json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer.0.digest] } });
    let config = blob(EntryKind::ImageConfig, CONFIG, config.to_string().into_bytes());
    let descriptor = |content: &Content| serde_json::json!({ "mediaType": content.0.media_type, "digest": content.0.digest, "size": content.0.size });
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(&config),
        "layers": [descriptor(&layer)] });
    let manifest = blob(EntryKind::ImageManifest, MANIFEST, manifest.to_string().into_bytes());
    let image = Image {
        reference: "registry.k8s.io/pause:3.8".parse().unwrap(),
        platform: "linux/amd64".parse().unwrap(),
        manifest: manifest.0.digest,
        pinned: manifest.0.digest,
        roles: Role::ALL.into(),
    };
    let index =
        serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor(&manifest)] }).to_string().into_bytes();
    let layout = entry(
        OCI_LAYOUT_PATH.parse().unwrap(),
        EntryKind::OciLayout,
        "application/json",
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    );
    let index = entry(OCI_INDEX_PATH.parse().unwrap(), EntryKind::OciLayout, "application/json", index);
    (image, vec![layout, index, manifest, config, layer])
}

fn contents(version: &str, seed: u64) -> (BundleList, Vec<Content>) {
    let (image, layout) = image();
    let text: Vec<_> = (0..400).map(|number| format!("a program in text, line {number}\n")).collect();
    let mut contents = vec![
        program("kubectl", version, text.concat().into_bytes()),
        program("kubelet", version, noise(seed, 20_000)),
        program("runc", "1.1.4", noise(3, 5000)),
    ];
    contents.extend(layout);
    let list = BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: version.parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(3),
        sources: vec![],
        images: vec![image],
        after: kbundle_format::Prerequisites::default(),
        entries: contents.iter().map(|(entry, _)| entry.clone()).collect(),
    };
    (list, contents)
}

fn bundle(
    list: &BundleList,
    contents: &[Content],
    keys: &[SigningKey],
    note: Option<&Attestation>,
    wanted: impl Fn(&Entry) -> bool,
) -> Vec<u8> {
    let bytes = list.to_bytes();
    let mut writer = BundleWriter::new(Cursor::new(Vec::new()), list.compression.level).unwrap();
    writer.list(&bytes).unwrap();
    let mut signatures: Vec<_> = keys.iter().map(|key| SignatureFile::sign(&bytes, key)).collect();
    signatures.sort_by(|one, other| one.name.cmp(&other.name));
    for signature in &signatures {
        writer.signature(signature).unwrap();
    }
    if let Some(note) = note {
        writer.attestation(note).unwrap();
    }
    for (entry, content) in contents.iter().filter(|(entry, _)| wanted(entry)) {
        writer.entry(entry, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = Path::new(&folder);
    let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    for (key, name) in keys.iter().zip(["ecdsa.pub", "ed25519.pub"]) {
        fs_err::write(folder.join(name), key.verifying_key().to_pem()).unwrap();
    }
    let (list, base) = contents("1.25.2", 1);
    let full = bundle(&list, &base, &keys, None, |_| true);
    fs_err::write(folder.join("bundle.tar.zst"), &full).unwrap();
    let split = Split { file_bytes: 12 << 10, parity: 1 };
    let mut volumes = VolumeWriter::new(&folder.join("volumes.tar.zst"), split).unwrap();
    volumes.write_all(&full).unwrap();
    volumes.finish().unwrap();

    let (next, new) = contents("1.25.3", 2);
    let bases = Bases(vec![Base {
        name: "bundle.tar.zst".to_owned(),
        kubernetes_version: list.kubernetes_version,
        list_digest: Digest::of(&list.to_bytes()),
    }]);
    let lacks = |entry: &Entry| !base.iter().any(|(known, _)| known.digest == entry.digest);
    let differential = bundle(&next, &new, &keys, bases.to_attestation().as_ref(), lacks);
    fs_err::write(folder.join("differential.tar.zst"), differential).unwrap();
}
