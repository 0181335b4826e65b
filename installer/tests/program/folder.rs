//! Small signed bundles, and the program run on them.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use kbundle_format::fixtures::noise;
use kbundle_format::key::Algorithm;
use kbundle_format::list::{Compression, FORMAT_VERSION};
use kbundle_format::volume::{Split, VolumeWriter};
use kbundle_format::{
    BundleList, BundleWriter, Component, Digest, Entry, EntryKind, Platform, Role, SignatureFile, SigningKey,
};

/// The place of a bundle's signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// In the bundle.
    Inside,
    /// In a file beside it, named as the bundle with `.sig` after it.
    Beside,
}

/// A folder with keys `signing` and `stranger` and bundles beside them.
pub struct Folder {
    directory: tempfile::TempDir,
    signing: SigningKey,
}

impl Folder {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [signing, stranger] =
            [Algorithm::EcdsaP256, Algorithm::Ed25519].map(|kind| SigningKey::generate(kind).unwrap());
        for (name, key) in [("signing.pub", &signing), ("stranger.pub", &stranger)] {
            fs::write(directory.path().join(name), key.verifying_key().to_pem()).unwrap();
        }
        Self { directory, signing }
    }

    /// The key that signs the bundles.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a signed bundle for `platform` and returns its bytes.
    pub fn bundle(&self, name: &str, platform: &Platform, place: Signature) -> Vec<u8> {
        self.partial(name, platform, place, |_| true)
    }

    /// Writes a bundle for this machine that carries the kubelet alone; one that carries everything completes it.
    pub fn differential(&self, name: &str) -> Vec<u8> {
        self.partial(name, &Platform::of_this_program(), Signature::Inside, |name| name == "kubelet")
    }

    /// The list of bundles for this machine.
    pub fn list_bytes() -> Vec<u8> {
        list(&Platform::of_this_program(), &contents()).to_bytes()
    }

    fn partial(&self, name: &str, platform: &Platform, place: Signature, carried: impl Fn(&str) -> bool) -> Vec<u8> {
        let contents = contents();
        let list = list(platform, &contents);
        let bytes = list.to_bytes();
        let mut writer = BundleWriter::new(Cursor::new(Vec::new()), list.compression.level).unwrap();
        writer.list(&bytes).unwrap();
        let signature = SignatureFile::sign(&bytes, &self.signing);
        match place {
            Signature::Inside => writer.signature(&signature).unwrap(),
            Signature::Beside => fs::write(self.path(&format!("{name}.sig")), signature.content).unwrap(),
        }
        for (entry, (_, content)) in list.entries.iter().zip(&contents).filter(|(_, (name, _))| carried(name)) {
            writer.entry(entry, &mut content.as_slice()).unwrap();
        }
        let bundle = writer.finish().unwrap().into_inner();
        fs::write(self.path(name), &bundle).unwrap();
        bundle
    }

    /// Cuts a file into volumes of about `file_bytes` in the folder `stick`, with parity.
    pub fn split(&self, bytes: &[u8], file_bytes: u64, parity: u32) -> Vec<PathBuf> {
        fs::create_dir(self.path("stick")).unwrap();
        let mut writer = VolumeWriter::new(&self.path("stick/b.tar.zst"), Split { file_bytes, parity }).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    /// Runs kinstall in the folder.
    pub fn kinstall(&self, arguments: &[&str]) -> Said {
        self.kinstall_reading(Stdio::null(), arguments)
    }

    /// Runs kinstall in the folder with something on its standard input.
    pub fn kinstall_reading(&self, input: impl Into<Stdio>, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_kinstall"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("KINSTALL_LOG")
            .stdin(input)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| plain(&String::from_utf8_lossy(bytes), self.directory.path());
        let said = Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        // kbundle is not on the hosts on which kinstall runs.
        assert!(!said.stderr.contains("kbundle"), "a hint names a program that may be absent: {said}");
        said
    }
}

/// The output of the program, without the parts that vary.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        write!(f, "exit code {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

fn contents() -> [(&'static str, Vec<u8>); 3] {
    [("runc", noise(1, 70_000)), ("kubelet", noise(2, 300_000)), ("kubectl", noise(3, 90_000))]
}

fn list(platform: &Platform, contents: &[(&str, Vec<u8>)]) -> BundleList {
    let entry = |(name, content): &(&str, Vec<u8>)| Entry {
        path: format!("artifacts/{}-{}/{name}", platform.os(), platform.architecture()).parse().unwrap(),
        digest: Digest::of(content),
        size: content.len() as u64,
        media_type: "application/octet-stream".into(),
        kind: EntryKind::Binary,
        roles: Role::ALL.into(),
        component: Some(Component { name: (*name).into(), version: "1.25.2".into() }),
        platform: Some(platform.clone()),
        origin: None,
        licence: None,
        host_file: None,
    };
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: "1.25.2".parse().unwrap(),
        platforms: [platform.clone()].into(),
        compression: Compression::at_level(3),
        sources: vec![],
        images: vec![],
        after: kbundle_format::Prerequisites::default(),
        entries: contents.iter().map(entry).collect(),
    }
}

/// The text with the folder, digests, offsets, durations and the machine's platform replaced.
fn plain(text: &str, folder: &Path) -> String {
    let platform = Platform::of_this_program().to_string();
    let text = text.replace(&folder.display().to_string(), "FOLDER").replace(&platform, "PLATFORM");
    let text = replace_runs(&text, "", 64, |byte| byte.is_ascii_hexdigit(), "DIGEST");
    let text = replace_runs(&text, "at offset ", 1, |byte| byte.is_ascii_digit(), "OFFSET");
    let text = replace_runs(&text, "within bytes ", 1, |byte| byte.is_ascii_digit(), "FROM");
    let text = replace_runs(&text, "FROM to ", 1, |byte| byte.is_ascii_digit(), "TO");
    replace_runs(&text, "in ", 3, |byte| byte.is_ascii_digit() || byte == b'.', "SECONDS")
}

/// Replaces each run of at least `least` bytes that `belongs` after `before`.
fn replace_runs(text: &str, before: &str, least: usize, belongs: impl Fn(u8) -> bool, by: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.strip_prefix(before).map_or(0, |after| after.bytes().take_while(|&byte| belongs(byte)).count());
        if run >= least {
            replaced += before;
            replaced += by;
            rest = &rest[before.len() + run..];
        } else {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            replaced += &rest[..next];
            rest = &rest[next..];
        }
    }
    replaced
}
