//! The parts of reading and writing, each beside the floor that it cannot go under: `cargo bench -p kbundle-format`.
//!
//! The content is this program's own machine code, repeated with changes, which compresses about as Kubernetes' binaries do.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is no library")]

use std::io::Cursor;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kbundle_format::frame::{RawFrame, decode, decompressor, read_frame};
use kbundle_format::head::SignatureCheck;
use kbundle_format::list::FORMAT_VERSION;
use kbundle_format::{
    BundleList, BundleStream, BundleWriter, Compression, Digest, Entry, EntryKind, Role, SignatureFile, SigningKey,
    TrustPolicy, key::Algorithm,
};

const ENTRIES: usize = 8;
const LEVEL: i32 = 3;

fn contents() -> Vec<Vec<u8>> {
    let program = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    let piece = &program[..program.len().min(8 << 20)];
    (0..ENTRIES).zip(1..).map(|(_, seed): (_, u8)| piece.iter().map(|byte| byte ^ seed).collect()).collect()
}

fn list_of(contents: &[Vec<u8>]) -> BundleList {
    let entry = |(index, content): (usize, &Vec<u8>)| Entry {
        path: format!("artifacts/{index}").parse().unwrap(),
        digest: Digest::of(content),
        size: content.len() as u64,
        media_type: "application/octet-stream".into(),
        kind: EntryKind::Binary,
        roles: Role::ALL.into(),
        component: None,
        platform: None,
        origin: None,
        licence: None,
    };
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: ["linux/amd64".parse().unwrap()].into(),
        compression: Compression::at_level(LEVEL),
        sources: vec![],
        images: vec![],
        entries: contents.iter().enumerate().map(entry).collect(),
    }
}

fn pack(list: &BundleList, contents: &[Vec<u8>], key: &SigningKey) -> Vec<u8> {
    let bytes = list.to_bytes();
    let mut writer = BundleWriter::new(Cursor::new(Vec::new()), LEVEL).unwrap();
    writer.list(&bytes).unwrap();
    writer.signature(&SignatureFile::sign(&bytes, key)).unwrap();
    list.entries.iter().zip(contents).for_each(|(entry, content)| writer.entry(entry, &mut &content[..]).unwrap());
    writer.finish().unwrap().into_inner()
}

fn decode_all(bytes: &[u8]) -> usize {
    let mut input = bytes;
    let mut tool = decompressor().unwrap();
    let mut total = 0;
    while let Some(RawFrame::Content(frame)) = read_frame(&mut input, 0).unwrap() {
        total += decode(&mut tool, &frame, Vec::new()).unwrap().len();
    }
    total
}

fn benches(criterion: &mut Criterion) {
    let contents = contents();
    let list = list_of(&contents);
    let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
    let trust = TrustPolicy::new([key.verifying_key()], 1).unwrap();
    let bundle = pack(&list, &contents, &key);

    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(list.size_bytes())).sample_size(10);
    group.bench_function("verify, all cores", |bencher| {
        bencher.iter(|| {
            let check = SignatureCheck::Required { trust: &trust, detached: &[] };
            BundleStream::open(Cursor::new(bundle.clone()), check).unwrap().verify_rest(|_| {}).unwrap()
        });
    });
    group.bench_function("floor: decode alone, one core", |bencher| bencher.iter(|| decode_all(&bundle)));
    group.bench_function("floor: hash alone, one core", |bencher| {
        bencher.iter(|| contents.iter().map(|content| Digest::of(content)).collect::<Vec<_>>());
    });
    group.finish();

    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Bytes(list.size_bytes())).sample_size(10);
    group.bench_function("pack at level 3, all cores", |bencher| bencher.iter(|| pack(&list, &contents, &key)));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
