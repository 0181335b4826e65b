//! Small bundles for tests, whole and deliberately broken.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::io::Cursor;

use kbundle_format::frame::compressor;
use kbundle_format::head::SignatureCheck;
use kbundle_format::key::Algorithm;
use kbundle_format::list::FORMAT_VERSION;
use kbundle_format::seek_table::{self, FrameSizes};
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::tar_layer::{END, TarHeader};
use kbundle_format::{
    BundleList, BundleStream, BundleWriter, Compression, Digest, Entry, EntryKind, IndexedBundle, ReadError, Role,
    SignatureFile, SigningKey, TrustPolicy,
};

/// A list of entries with the given paths and contents.
pub fn list_of(contents: &[(&str, &[u8])]) -> BundleList {
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(3),
        sources: vec![],
        images: vec![],
        entries: contents.iter().map(|(path, content)| entry(path, content)).collect(),
    }
}

fn entry(path: &str, content: &[u8]) -> Entry {
    Entry {
        path: path.parse().unwrap(),
        digest: Digest::of(content),
        size: content.len() as u64,
        media_type: "application/octet-stream".into(),
        kind: EntryKind::Binary,
        roles: BTreeSet::from(Role::ALL),
        component: None,
        platform: None,
        origin: None,
        licence: None,
    }
}

/// A key and the policy that trusts it.
pub fn key() -> (SigningKey, TrustPolicy) {
    let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
    let trust = TrustPolicy::new([key.verifying_key()], 1).unwrap();
    (key, trust)
}

/// Writes a good bundle.
pub fn bundle(contents: &[(&str, &[u8])], keys: &[&SigningKey]) -> Vec<u8> {
    let list = list_of(contents);
    let bytes = list.to_bytes();
    let mut writer = BundleWriter::new(Cursor::new(Vec::new()), 3).unwrap();
    writer.list(&bytes).unwrap();
    for key in keys {
        writer.signature(&SignatureFile::sign(&bytes, key)).unwrap();
    }
    for (entry, (_, content)) in list.entries.iter().zip(contents) {
        writer.entry(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Reads a whole bundle in one pass, checking everything, and makes sure that the reader by entry says the same.
pub fn verify(bytes: Vec<u8>, trust: &TrustPolicy) -> Result<Summary, ReadError> {
    let by_entry = verify_by_entry(&bytes, trust);
    let check = SignatureCheck::Required { trust, detached: &[] };
    let in_one_pass = BundleStream::open(Cursor::new(bytes), check).and_then(|stream| stream.verify_rest(|_| {}));
    match (&in_one_pass, &by_entry) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(_), Err(_)) => {}
        _ => panic!("the readers disagree: {in_one_pass:?} in one pass, {by_entry:?} by entry"),
    }
    in_one_pass
}

/// Checks a whole bundle by its seek table; the first damage is the error.
fn verify_by_entry(bytes: &[u8], trust: &TrustPolicy) -> Result<Summary, ReadError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), bytes).unwrap();
    let bundle = IndexedBundle::open(file.path(), SignatureCheck::Required { trust, detached: &[] })?;
    let findings = bundle.check_entries(Carriage::Full, &|_| {})?;
    match findings.damage.into_iter().next() {
        Some(damage) => Err(damage.error),
        None => Ok(findings.summary),
    }
}

/// One piece of a hand-made archive: it becomes a frame.
pub type Piece = Vec<u8>;

/// Header, content and padding as one frame's content.
pub fn piece(header: &TarHeader, content: &[u8]) -> Piece {
    let mut bytes = header.to_block().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len() + header.padding(), 0);
    bytes
}

/// The head of a bundle with this list, signed with `key`.
pub fn head(list: &[u8], key: &SigningKey) -> Vec<Piece> {
    let signature = SignatureFile::sign(list, key);
    vec![
        piece(&TarHeader::of_file("bundle.json".parse().unwrap(), list.len() as u64), list),
        piece(&TarHeader::of_signature(&signature).unwrap(), &signature.content),
    ]
}

/// The entries of a list as pieces.
pub fn entries(list: &BundleList, contents: &[(&str, &[u8])]) -> Vec<Piece> {
    list.entries.iter().zip(contents).map(|(entry, (_, content))| piece(&TarHeader::of_entry(entry), content)).collect()
}

/// Compresses each piece as a frame and appends a true seek table.
pub fn assemble(pieces: &[Piece]) -> Vec<u8> {
    let mut compressor = compressor(3).unwrap();
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for piece in pieces {
        let frame = compressor.compress(piece).unwrap();
        frames.push(FrameSizes {
            compressed: u32::try_from(frame.len()).unwrap(),
            content: u32::try_from(piece.len()).unwrap(),
        });
        bytes.extend(frame);
    }
    bytes.extend(seek_table::encode(&frames));
    bytes
}

/// The end of the archive as a piece.
pub fn end() -> Piece {
    END.to_vec()
}
