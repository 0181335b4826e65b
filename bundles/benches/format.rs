//! The parts of reading and writing, each compared with its lower bound: `cargo bench -p kbundle-format`.
//!
//! The content is this program's own machine code, repeated with changes, which compresses about as Kubernetes' binaries do.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark is not a library")]

use std::io::Cursor;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kbundle_format::frame::{RawFrame, decode, decompressor, read_frame};
use kbundle_format::head::SignatureCheck;
use kbundle_format::sha256::{Message, update_pair};
use kbundle_format::{BundleStream, Digest, fixtures};

const ENTRIES: usize = 8;

fn contents() -> Vec<Vec<u8>> {
    let program = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    let piece = &program[..program.len().min(8 << 20)];
    (0..ENTRIES).zip(1..).map(|(_, seed): (_, u8)| piece.iter().map(|byte| byte ^ seed).collect()).collect()
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

/// Entries have the same size, so that every lane has work.
fn hash_in_pairs(contents: &[Vec<u8>]) -> Vec<Digest> {
    let (pairs, _) = contents.as_chunks::<2>();
    let pair = |[one, other]: &[Vec<u8>; 2]| {
        let mut messages = [Message::new(), Message::new()];
        update_pair(messages.each_mut(), [one, other]);
        messages.map(Message::finish)
    };
    pairs.iter().flat_map(pair).collect()
}

fn benches(criterion: &mut Criterion) {
    let contents = contents();
    let names: Vec<_> = (0..ENTRIES).map(|index| format!("artifacts/{index}")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    let (key, trust) = fixtures::key();
    let bundle = fixtures::bundle(&files, &[&key]);
    let size = contents.iter().map(|content| content.len() as u64).sum();

    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(size)).sample_size(10);
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
    group.bench_function("floor: hash alone, two at a time, one core", |bencher| {
        bencher.iter(|| hash_in_pairs(&contents));
    });
    group.finish();

    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Bytes(size)).sample_size(10);
    group.bench_function("pack, all cores", |bencher| bencher.iter(|| fixtures::bundle(&files, &[&key])));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
