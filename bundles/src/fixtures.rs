//! Small bundles for tests and measurements: whole, or in pieces that a test breaks before it puts them together.
//!
//! Here only with the feature `fixtures`, which no program asks for.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{Cursor, Read, Write};

use crate::frame::{Guard, compress, compressor};
use crate::head::is_head;
use crate::key::Algorithm;
use crate::limits::MAX_FRAME_BYTES;
use crate::list::{FORMAT_VERSION, LIST_PATH};
use crate::seek_table::{self, FrameSizes};
use crate::tar_layer::{END, TarHeader};
use crate::{
    BundleList, BundleWriter, Compression, Digest, Entry, EntryKind, Role, SignatureFile, SigningKey, TrustPolicy,
};

/// The level at which these bundles are compressed.
pub const LEVEL: i32 = 3;

/// Paths and what lies there.
pub type Contents<'a> = [(&'a str, &'a [u8])];

/// A binary for every role.
#[must_use]
pub fn entry(path: &str, digest: Digest, size: u64) -> Entry {
    Entry {
        path: path.parse().unwrap(),
        digest,
        size,
        media_type: "application/octet-stream".into(),
        kind: EntryKind::Binary,
        roles: Role::ALL.into(),
        component: None,
        platform: None,
        origin: None,
        licence: None,
        host_file: None,
    }
}

/// Bytes that do not compress, the same in every run.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(byte).take(length).collect()
}

/// A list of `entries` for one platform.
#[must_use]
pub fn list(entries: Vec<Entry>) -> BundleList {
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(LEVEL),
        sources: vec![],
        images: vec![],
        after: crate::Prerequisites::default(),
        entries,
    }
}

/// A list of entries with the given paths and contents.
#[must_use]
pub fn list_of(contents: &Contents<'_>) -> BundleList {
    list(contents.iter().map(|(path, content)| entry(path, Digest::of(content), content.len() as u64)).collect())
}

/// A key and the policy that trusts it.
#[must_use]
pub fn key() -> (SigningKey, TrustPolicy) {
    let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
    let trust = TrustPolicy::new([key.verifying_key()], 1).unwrap();
    (key, trust)
}

/// Writes a bundle of `list` to `output`. `content` opens what an entry holds, or leaves the entry out.
pub fn write<W: Write + Send + 'static, R: Read>(
    list: &BundleList,
    keys: &[&SigningKey],
    output: W,
    content: impl Fn(&Entry) -> Option<R>,
) -> W {
    let bytes = list.to_bytes();
    let mut writer = BundleWriter::new(output, list.compression.level).unwrap();
    writer.list(&bytes).unwrap();
    for key in keys {
        writer.signature(&SignatureFile::sign(&bytes, key)).unwrap();
    }
    for entry in &list.entries {
        if let Some(mut content) = content(entry) {
            writer.entry(entry, &mut content).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// A good bundle.
#[must_use]
pub fn bundle(contents: &Contents<'_>, keys: &[&SigningKey]) -> Vec<u8> {
    let content = |entry: &Entry| contents.iter().find(|(path, _)| *path == entry.path.as_str());
    let written = write(&list_of(contents), keys, Cursor::new(Vec::new()), |entry| content(entry).map(|found| found.1));
    written.into_inner()
}

/// One piece of a hand-made archive: it begins a frame.
pub type Piece = Vec<u8>;

/// Header, content and padding.
#[must_use]
pub fn piece(header: &TarHeader, content: &[u8]) -> Piece {
    let mut bytes = header.to_block().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len() + header.padding(), 0);
    bytes
}

/// The head of a bundle with this list, which may be anything, signed with `key`.
#[must_use]
pub fn head(list: &[u8], key: &SigningKey) -> Vec<Piece> {
    let signature = SignatureFile::sign(list, key);
    vec![
        piece(&TarHeader::of_file(LIST_PATH.parse().unwrap(), list.len() as u64), list),
        piece(&TarHeader::of_signature(&signature).unwrap(), &signature.content),
    ]
}

/// The entries of a list, and the end of the archive.
#[must_use]
pub fn body(list: &BundleList, contents: &Contents<'_>) -> Vec<Piece> {
    let entries = list.entries.iter().zip(contents);
    let pieces = entries.map(|(entry, (_, content))| piece(&TarHeader::of_entry(entry), content));
    pieces.chain([end()]).collect()
}

/// The end of the archive.
#[must_use]
pub fn end() -> Piece {
    END.to_vec()
}

/// Compresses the pieces, and tells what a true seek table says of the frames.
#[must_use]
pub fn frames(pieces: &[Piece]) -> (Vec<u8>, Vec<FrameSizes>) {
    let mut compressor = compressor(LEVEL).unwrap();
    let (mut bytes, mut rows) = (Vec::new(), Vec::new());
    for piece in pieces {
        let guard = guard(piece);
        for content in piece.chunks(MAX_FRAME_BYTES) {
            let frame = compress(&mut compressor, content, guard).unwrap();
            let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
            rows.push(FrameSizes { compressed: size(&frame), content: size(content) });
            bytes.extend(frame);
        }
    }
    (bytes, rows)
}

/// What the writer guards a piece with.
fn guard(piece: &Piece) -> Guard {
    let header = piece.first_chunk().and_then(|block| TarHeader::parse(block).ok().flatten());
    if header.is_some_and(|header| is_head(&header.path)) { Guard::Checksum } else { Guard::Digest }
}

/// Compresses the pieces and appends a true seek table.
#[must_use]
pub fn assemble(pieces: &[Piece]) -> Vec<u8> {
    let (mut bytes, rows) = frames(pieces);
    bytes.extend(seek_table::encode(&rows));
    bytes
}
