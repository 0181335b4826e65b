//! What `ci/bench-format` measures beside the programs: packing a folder, and the floors that reading cannot go under.
//!
//!     measure pack FOLDER OUT LEVEL    every file of FOLDER as an entry; the public key goes to OUT.pub
//!     measure decode BUNDLE            decodes every frame on all cores and looks at nothing
//!     measure hash FOLDER              hashes every file on all cores
//!     measure sha256 BUNDLE            hashes as many bytes as the bundle's content has, of a piece of memory that stays in the cache

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run has nobody to tell but the shell")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use kbundle_format::{BundleList, BundleSource, Compression, Digest, Entry, Hasher, fixtures, frame, seek_table};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["pack", folder, out, level] => pack(folder, out, level.parse().unwrap()),
        ["decode", bundle] => decode(bundle),
        ["hash", folder] => drop(hashes(&files(folder))),
        ["sha256", bundle] => sha256(bundle),
        _ => panic!("usage: measure pack FOLDER OUT LEVEL | decode BUNDLE | hash FOLDER | sha256 BUNDLE"),
    }
}

/// Calls `task` with every number below `count`, on all cores; each thread has its own tool.
fn on_all_cores<Tool>(count: usize, tool: impl Fn() -> Tool + Sync, task: impl Fn(&mut Tool, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..frame::threads() {
            scope.spawn(|| {
                let mut tool = tool();
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        index if index < count => task(&mut tool, index),
                        _ => break,
                    }
                }
            });
        }
    });
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect();
    paths.sort();
    paths
}

fn hashes(paths: &[PathBuf]) -> Vec<(Digest, u64)> {
    let found: Vec<_> = paths.iter().map(|_| std::sync::OnceLock::new()).collect();
    on_all_cores(
        paths.len(),
        || (),
        |(), index| {
            let mut hasher = Hasher::new(std::io::sink());
            let mut buffered = std::io::BufReader::with_capacity(1 << 20, fs::File::open(&paths[index]).unwrap());
            std::io::copy(&mut buffered, &mut hasher).unwrap();
            let (digest, size, _) = hasher.finish();
            found[index].set((digest, size)).unwrap();
        },
    );
    found.into_iter().map(|slot| slot.into_inner().unwrap()).collect()
}

fn pack(folder: &str, out: &str, level: i32) {
    let paths = files(folder);
    let path_of = |path: &PathBuf| format!("artifacts/{}", path.file_name().unwrap().to_str().unwrap());
    let hashed = paths.iter().zip(hashes(&paths));
    let entries = hashed.map(|(path, (digest, size))| fixtures::entry(&path_of(path), digest, size)).collect();
    let list = BundleList { compression: Compression::at_level(level), ..fixtures::list(entries) };
    let (key, _) = fixtures::key();
    fs::write(format!("{out}.pub"), key.verifying_key().to_pem()).unwrap();
    let open =
        |entry: &Entry| fs::File::open(Path::new(folder).join(entry.path.as_str().strip_prefix("artifacts/")?)).ok();
    fixtures::write(&list, &[&key], fs::File::create(out).unwrap(), open);
}

fn decode(bundle: &str) {
    let source = BundleSource::open(Path::new(bundle)).unwrap();
    let frames = seek_table::read(&source).unwrap();
    let offsets: Vec<u64> = frames
        .iter()
        .scan(0, |offset, frame| Some(std::mem::replace(offset, *offset + u64::from(frame.compressed))))
        .collect();
    let tool = || (frame::decompressor().unwrap(), Vec::new(), Vec::new());
    on_all_cores(frames.len(), tool, |(decompressor, compressed, content), index| {
        compressed.resize(frames[index].compressed as usize, 0);
        source.read_exact_at(compressed, offsets[index]).unwrap();
        let frame = frame::whole(std::mem::take(compressed), offsets[index]).unwrap();
        *content = frame::decode(decompressor, &frame, std::mem::take(content)).unwrap();
        *compressed = frame.bytes;
    });
}

fn sha256(bundle: &str) {
    let frames = seek_table::read(&BundleSource::open(Path::new(bundle)).unwrap()).unwrap();
    let piece = vec![1; 128 << 10];
    on_all_cores(
        frames.len(),
        || (),
        |(), index| {
            let mut hasher = Hasher::new(std::io::sink());
            let content_bytes = u64::from(frames[index].content);
            for offset in (0..content_bytes).step_by(piece.len()) {
                let left = usize::try_from(content_bytes - offset).unwrap();
                hasher.write_all(&piece[..piece.len().min(left)]).unwrap();
            }
            std::hint::black_box(hasher.finish().0);
        },
    );
}
