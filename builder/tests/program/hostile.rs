//! Malicious bundles, each signed by a trusted key: they are refused with exit code 3 from a file and from a pipe, and nothing is written
//! beside the target. The bundles are made here, piece by piece.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use fs_err as fs;
use kbundle_format::fixtures::{Piece, body, end, frames, head, list_of, piece};
use kbundle_format::key::Algorithm;
use kbundle_format::tar_layer::TarHeader;
use kbundle_format::{Digest, SigningKey, seek_table};

use crate::upstream::{failure, kbundle_in};

const CONTENTS: [(&str, &[u8]); 3] = [("bin/a", b"first"), ("bin/b", b"second"), ("bin/c", b"third")];
/// The offset of an entry's kind in a tar header.
const KIND: usize = 156;

/// A bundle before it is assembled.
struct Parts {
    list: Vec<u8>,
    /// The pieces after the head.
    pieces: Vec<Piece>,
    /// Frames that are written unchanged, before all others.
    before: Vec<u8>,
    /// Bytes after the seek table.
    after: Vec<u8>,
    lie: bool,
}

fn good() -> Parts {
    let list = list_of(&CONTENTS);
    let pieces = body(&list, &CONTENTS);
    Parts { list: list.to_bytes(), pieces, before: Vec::new(), after: Vec::new(), lie: false }
}

/// Changes a field of a header and corrects its checksum. Source: POSIX.1-2017, `pax`, "ustar Interchange Format".
fn set(header: &mut [u8], at: usize, value: &[u8]) {
    header[at..at + value.len()].copy_from_slice(value);
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

fn replace(parts: &mut Parts, from: &str, to: &str) {
    let text = String::from_utf8(parts.list.clone()).unwrap();
    assert!(text.contains(from), "{from}");
    parts.list = text.replacen(from, to, 1).into_bytes();
}

fn rename(parts: &mut Parts, to: &str) {
    replace(parts, r#""path":"bin/b""#, &format!(r#""path":"{to}""#));
}

impl Parts {
    fn assemble(&self, key: &SigningKey) -> Vec<u8> {
        let pieces = [head(&self.list, key), self.pieces.clone()].concat();
        let (frames, mut rows) = frames(&pieces);
        let mut bytes = [self.before.as_slice(), &frames].concat();
        if self.lie {
            rows[2].compressed += 1;
            rows[3].compressed -= 1;
        }
        bytes.extend(seek_table::encode(&rows));
        bytes.extend(&self.after);
        bytes
    }
}

type Case = (&'static str, fn(&mut Parts), &'static str);

/// What is wrong, how the bundle is made, and the message of the reader of a pipe.
const CASES: &[Case] = &[
    ("absolute path in the list", |parts| rename(parts, "/etc/kbundle-was-here"), "bundle.json cannot be read"),
    ("path that climbs in the list", |parts| rename(parts, "../escaped"), "bundle.json cannot be read"),
    ("one name twice", |parts| rename(parts, "bin/a"), "lists entry bin/a twice"),
    ("names that differ by case", |parts| rename(parts, "bin/A"), "differs by case alone"),
    ("name that Unicode can write in two ways", |parts| rename(parts, "bin/\u{e9}"), "bundle.json cannot be read"),
    ("name of the format's own", |parts| rename(parts, "signatures/x"), "a name that the format keeps for itself"),
    ("blob that is named after another digest", |parts| rename(parts, "blobs/sha256/00"), "lists blob"),
    ("absolute path in the archive", |parts| set(&mut parts.pieces[0], 0, b"/etc/x\0"), "no bundle may hold"),
    ("path that climbs in the archive", |parts| set(&mut parts.pieces[0], 0, b"../../x\0"), "no bundle may hold"),
    ("hard link", |parts| set(&mut parts.pieces[0], KIND, b"1/etc/passwd"), "it is a hard link"),
    ("symbolic link", |parts| set(&mut parts.pieces[0], KIND, b"2/etc/passwd"), "it is a symbolic link"),
    ("character device", |parts| set(&mut parts.pieces[0], KIND, b"3"), "it is a device"),
    ("block device", |parts| set(&mut parts.pieces[0], KIND, b"4"), "it is a device"),
    ("folder", |parts| set(&mut parts.pieces[0], KIND, b"5"), "it is a directory"),
    ("FIFO", |parts| set(&mut parts.pieces[0], KIND, b"6"), "it is a FIFO"),
    ("set-uid bit", |parts| set(&mut parts.pieces[0], 100, b"0004755\0"), "is not a bundle's"),
    (
        "entry that is not listed",
        |parts| parts.pieces.insert(1, piece(&TarHeader::of_file("bin/evil".parse().unwrap(), 4), b"evil")),
        "the archive holds bin/evil",
    ),
    ("listed entry that is missing", |parts| drop(parts.pieces.remove(1)), "entry bin/b is in the signed list"),
    ("wrong order", |parts| parts.pieces.swap(0, 1), "the signed list"),
    ("size too small", |parts| set(&mut parts.pieces[0], 124, b"00000000004\0"), "the archive holds bin/a"),
    ("size too large", |parts| set(&mut parts.pieces[0], 124, b"00000007777\0"), "the archive holds bin/a"),
    ("other content", |parts| parts.pieces[0][512..517].copy_from_slice(b"thief"), "entry bin/a has digest"),
    ("bytes after the end", |parts| parts.after.push(0), "bytes follow the end"),
    ("second archive appended", |parts| parts.after = good().assemble(&stranger()), "bytes follow the end"),
    ("second archive within", |parts| parts.pieces.push(end()), "frames follow the end"),
    // A frame with a single segment that states 4 GiB, then a block that repeats one byte.
    (
        "decompression bomb by ratio",
        |parts| parts.before = b"\x28\xb5\x2f\xfd\xa4\xff\xff\xff\xff\x03\x00\x10\x00....".to_vec(),
        "more content than a bundle's frame may hold",
    ),
    // Not a single segment, with a window descriptor for the largest possible window.
    (
        "decompression bomb by window",
        |parts| parts.before = b"\x28\xb5\x2f\xfd\x04\xff\x03\x00\x10\x00....".to_vec(),
        "is not a single segment",
    ),
    (
        "deep list",
        |parts| parts.list = [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
        "bundle.json cannot be read",
    ),
    ("huge list", |parts| parts.list = vec![b' '; (32 << 20) + 1], "larger than allowed"),
    (
        "list of another form",
        |parts| replace(parts, r#"{"compression""#, r#"{ "compression""#),
        "not in canonical form",
    ),
    (
        "format version of the future",
        |parts| replace(parts, r#""formatVersion":1"#, r#""formatVersion":2"#),
        "has format version 2, this program knows 1",
    ),
    ("seek table that lies", |parts| parts.lie = true, "the seek table does not describe this file"),
];

fn stranger() -> SigningKey {
    SigningKey::generate(Algorithm::Ed25519).unwrap()
}

/// Runs `kbundle` in `folder` on the bundle, from the file or through a pipe.
fn run(folder: &Path, bytes: &[u8], command: &str, pipe: bool) -> Output {
    let mut program = kbundle_in(folder);
    program.args([command, if pipe { "-" } else { "bundle" }, "--key=key.pub"]);
    if command == "extract" {
        program.args(["-C", "inside/target"]);
    }
    if !pipe {
        return program.output().unwrap();
    }
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The program closes the pipe when it has read enough.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

/// Names in `folder`, without those that unpacking may write.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = [folder.to_owned(), folder.join("inside")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|item| item.unwrap().path().display().to_string())
        .filter(|name| !name.ends_with("inside/target"))
        .collect();
    names.sort();
    names
}

#[test]
fn is_refused_and_nothing_leaves_the_target() {
    let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
    let bundle = good().assemble(&key);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("inside")).unwrap();
    fs::write(folder.join("key.pub"), key.verifying_key().to_pem()).unwrap();
    fs::write(folder.join("bundle"), &bundle).unwrap();
    for command in ["verify", "extract"] {
        assert!(run(folder, &bundle, command, false).status.success(), "the bundle is good until it is changed");
        fs::remove_dir_all(folder.join("inside/target")).ok();
        assert!(run(folder, &bundle, command, true).status.success());
    }
    let before = names(folder);
    for (what, change, message) in CASES {
        let mut parts = good();
        change(&mut parts);
        let bundle = parts.assemble(&key);
        fs::write(folder.join("bundle"), &bundle).unwrap();
        for (command, pipe) in [("verify", false), ("verify", true), ("extract", false), ("extract", true)] {
            fs::remove_dir_all(folder.join("inside/target")).ok();
            let output = run(folder, &bundle, command, pipe);
            let (code, text) = failure(&output);
            assert_eq!(code, 3, "{what}, {command}, pipe {pipe}: {text}");
            assert!(text.contains("hint: "), "{what}: {text}");
            assert!(!pipe || text.contains(message), "{what}: {text}");
            assert_eq!(names(folder), before, "{what}");
        }
    }
    assert!(!Path::new("/etc/kbundle-was-here").exists());
}

#[test]
fn killed_in_the_middle_leaves_nothing_that_looks_whole() {
    let upstream = crate::upstream::Upstream::new();
    crate::upstream::success(&upstream.build(&["--key=signing.key", "--out=bundle.tar.zst"]));
    let bytes = fs::read(upstream.path("bundle.tar.zst")).unwrap();
    let kubelet = upstream.path("out/artifacts/linux-amd64/kubelet");
    for arguments in [["extract", "-", "-C", "out"], ["export", "-", "--oci", "layout"]] {
        let mut command = kbundle_in(upstream.directory.path());
        let mut child = command.args(arguments).arg("--key=signing.pub").stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&bytes[..bytes.len() - 100_000]).unwrap();
        // The layer, which is cut off, comes after the kubelet. Its file stays incomplete; others may be incomplete for a moment.
        let (waiting, looks) = (if arguments[0] == "extract" { 1 } else { 2 }, 20);
        let mut in_a_row = 0;
        let seen = (0..2000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            in_a_row = if kubelet.exists() && upstream.incomplete() >= waiting { in_a_row + 1 } else { 0 };
            in_a_row == looks
        });
        assert!(seen, "{arguments:?}: nothing was unpacked while the rest was on its way");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(upstream.incomplete() >= 2, "the programs were not killed in the middle");
    let layer = upstream.path("out/blobs/sha256").join(Digest::of(&upstream.image.layer).hex());
    assert!(!layer.exists());
    assert!(!upstream.path("layout").exists());
    assert_eq!(fs::read(&kubelet).unwrap(), upstream.kubelet);
    crate::upstream::success(&upstream.kbundle([
        "extract",
        "bundle.tar.zst",
        "-C",
        "out",
        "--force",
        "--key=signing.pub",
    ]));
    assert_eq!(fs::read(&layer).unwrap(), upstream.image.layer);
    crate::upstream::success(&upstream.kbundle(["export", "bundle.tar.zst", "--oci=layout", "--key=signing.pub"]));
    assert_eq!(upstream.incomplete(), 0, "what was left is still there");
}
