//! The images step against a real containerd, if there is one: a script cannot prove containerd's answers.
//!
//! `KINSTALL_CONTAINERD` names folders, separated by colons, each with `containerd`, `ctr` and optionally `crictl`, which shows the pods'
//! own view. Without the variable, the programs on the PATH are used. Needs root.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use kbundle_format::fixtures;
use kbundle_format::head::SignatureCheck;
use kbundle_format::{BundleList, Entry, EntryKind, EntryPath, IndexedBundle, Role};
use serde_json::json;

use super::*;
use crate::host::command::{Feed, SystemCommands};
use crate::host::{Command, CommandError, Commands, Output};

const REPOSITORY: &str = "registry.example/team/controller";

/// A separate, empty containerd; it ends when this is dropped.
struct Containerd {
    programs: PathBuf,
    root: tempfile::TempDir,
    process: Child,
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Containerd {
    fn start(programs: &Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = '{}'\nstate = '{}'\n[grpc]\naddress = '{}'\n",
            path("var/lib/containerd"),
            path("run"),
            path("socket")
        );
        fs::create_dir_all(path("var/lib/containerd")).unwrap();
        fs::write(path("config.toml"), config).unwrap();
        let log = fs::File::create(path("log")).unwrap().into_file();
        let process = process::Command::new(programs.join("containerd"))
            .args(["--config", &path("config.toml")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Self { programs: programs.to_owned(), root, process };
        let begin = Instant::now();
        while started.host().run(&Command::new("/usr/local/bin/ctr", ["version"])).is_err() {
            let log = fs::read_to_string(started.root.path().join("log")).unwrap();
            assert!(begin.elapsed() < Duration::from_mins(2), "containerd does not answer: {log}");
            thread::sleep(Duration::from_millis(100));
        }
        started
    }

    fn socket(&self) -> String {
        self.root.path().join("socket").display().to_string()
    }

    fn host(&self) -> Host {
        let programs = Programs { folder: self.programs.clone(), socket: self.socket() };
        Host::under(self.root.path(), Box::new(programs)).unwrap()
    }

    /// Whether the CRI plugin finds an image by this name; `None` without `crictl`.
    fn finds(&self, name: &str) -> Option<bool> {
        let crictl = self.programs.join("crictl");
        let endpoint = format!("--image-endpoint=unix://{}", self.socket());
        crictl.exists().then(|| {
            let asked = process::Command::new(crictl).args([&endpoint, "inspecti", name]).output().unwrap();
            asked.status.success()
        })
    }
}

/// The programs of a folder instead of the installed ones, with a separate socket.
struct Programs {
    folder: PathBuf,
    socket: String,
}

impl Programs {
    fn moved(&self, command: &Command) -> Command {
        let name = Path::new(&command.program).file_name().unwrap();
        let own = command.arguments.iter().filter(|argument| !argument.starts_with("--address="));
        let address = format!("--address={}", self.socket);
        Command::new(&self.folder.join(name).display().to_string(), std::iter::once(&address).chain(own).cloned())
    }
}

impl Commands for Programs {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        SystemCommands.run(&self.moved(command))
    }

    fn run_fed(&self, command: &Command, feed: Feed<'_>) -> Result<Output, CommandError> {
        SystemCommands.run_fed(&self.moved(command), feed)
    }
}

/// Makes the image's name from the digest of its index.
type Naming = fn(&Digest) -> String;

const BY_TAG: Naming = |_| format!("{REPOSITORY}:v1");
const BY_DIGEST: Naming = |index| format!("{REPOSITORY}@{index}");

/// A bundle of one image whose index contains another index. The inner index also names other platforms, which are not in the bundle, and
/// the config states another architecture than the index.
fn bundle(at: &Path, naming: Naming) -> (IndexedBundle, Image) {
    let platform = Platform::of_this_program();
    let layers = [[("bin/busybox", "program"), ("etc/motd", "hello")], [("etc/motd", "good day"), ("etc/more", "")]];
    let tars = layers.map(|files| {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    });
    let packed = tars.each_ref().map(|tar| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(tar).unwrap();
        encoder.finish().unwrap()
    });
    let oci = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let describe = |kind: &str, content: &[u8]| json!({"mediaType": oci(kind), "digest": Digest::of(content), "size": content.len()});
    let diff_ids = tars.each_ref().map(|tar| Digest::of(tar));
    let config =
        json!({"os": "linux", "architecture": "s390x", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": oci("manifest.v1+json"),
        "config": describe("config.v1+json", config.as_bytes()),
        "layers": packed.each_ref().map(|layer| describe("layer.v1.tar+gzip", layer)),
    })
    .to_string();
    let of_platform = |content: &str, architecture: &str| {
        let mut named = describe("manifest.v1+json", content.as_bytes());
        named["platform"] = json!({"os": "linux", "architecture": architecture});
        named
    };
    let named = [
        of_platform("never fetched", "386"),
        of_platform(&manifest, platform.architecture()),
        of_platform("nor this", "ppc64le"),
    ];
    let index = |named: &[serde_json::Value]| {
        json!({"schemaVersion": 2, "mediaType": oci("index.v1+json"), "manifests": named}).to_string()
    };
    let inner = index(&named);
    let mut described = describe("index.v1+json", inner.as_bytes());
    described["platform"] = json!({"os": "linux", "architecture": platform.architecture()});
    let outer = index(&[of_platform("nor that", "riscv64"), described]);

    let [lower, upper] = packed;
    let contents = [
        ("config.v1+json", EntryKind::ImageConfig, config.into_bytes()),
        ("layer.v1.tar+gzip", EntryKind::ImageLayer, lower),
        ("layer.v1.tar+gzip", EntryKind::ImageLayer, upper),
        ("manifest.v1+json", EntryKind::ImageManifest, manifest.into_bytes()),
        ("index.v1+json", EntryKind::ImageIndex, inner.into_bytes()),
        ("index.v1+json", EntryKind::ImageIndex, outer.into_bytes()),
    ];
    let digests = contents.each_ref().map(|(.., content)| Digest::of(content));
    let image = Image {
        reference: naming(&digests[5]).parse().unwrap(),
        platform,
        manifest: digests[3],
        pinned: digests[5],
        roles: Role::ALL.into(),
    };
    let entry = |(media_type, kind, content): &(&str, EntryKind, Vec<u8>)| {
        let path = EntryPath::blob(&Digest::of(content));
        let plain = fixtures::entry(path.as_str(), Digest::of(content), content.len() as u64);
        Entry { media_type: oci(media_type), kind: *kind, ..plain }
    };
    let entries = contents.iter().map(entry).collect();
    let list = BundleList { images: vec![image.clone()], ..fixtures::list(entries) };
    let by_digest: BTreeMap<_, _> = contents.iter().map(|(.., content)| (Digest::of(content), content)).collect();
    let bytes = fixtures::write(&list, &[], std::io::Cursor::new(Vec::new()), |entry| {
        Some(by_digest[&entry.digest].as_slice())
    });
    fs::write(at, bytes.into_inner()).unwrap();
    (IndexedBundle::open(at, SignatureCheck::Skipped).unwrap(), image)
}

/// All names that a pod may use for the image.
fn spoken_names(image: &Image) -> Vec<String> {
    let Image { manifest, pinned, .. } = image;
    let by_tag = image.reference.tag().map(|tag| format!("{REPOSITORY}:{tag}"));
    let by_digest = [
        format!("{REPOSITORY}:v1@{pinned}"),
        format!("{REPOSITORY}@{pinned}"),
        format!("{REPOSITORY}:v1@{manifest}"),
        format!("{REPOSITORY}@{manifest}"),
    ];
    by_tag.into_iter().chain(by_digest).collect()
}

fn assert_found(containerd: &Containerd, bundle: &IndexedBundle, image: &Image) {
    let names = names(bundle.list(), image).unwrap();
    let present = ctr::images(&containerd.host()).unwrap();
    let kept = ctr::kept_content(&containerd.host()).unwrap();
    for (name, target) in &names {
        assert!(present.has(name, target), "{name} is not there, whole and unpacked");
        assert!(kept.contains(target), "{target} is not kept");
    }
    // The CRI plugin hears of a new name a moment later.
    for name in spoken_names(image) {
        let begin = Instant::now();
        while containerd.finds(&name) == Some(false) {
            assert!(begin.elapsed() < Duration::from_secs(20), "a pod that names {name} would not find it");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The folders in the environment variable, or the PATH.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("KINSTALL_CONTAINERD").unwrap_or_default();
    let on_path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let has_both = |folder: &PathBuf| folder.join("containerd").is_file() && folder.join("ctr").is_file();
    if path.is_empty() {
        return std::env::split_paths(&on_path).find(has_both).into_iter().collect();
    }
    std::env::split_paths(&path).collect()
}

#[test]
#[ignore = "needs root and containerd, which the lab's mirror has: ./ci/test one-host"]
fn a_real_containerd_finds_an_image_by_every_name_and_keeps_it() {
    let folders = folders();
    assert!(nix::unistd::geteuid().is_root(), "containerd is run by root");
    assert!(!folders.is_empty(), "no containerd on the PATH or in KINSTALL_CONTAINERD");
    let namings = [BY_TAG, BY_DIGEST];
    for (folder, naming) in folders.iter().flat_map(|folder| namings.map(|naming| (folder, naming))) {
        let containerd = Containerd::start(folder);
        assert!(containerd.finds("nothing").is_some(), "{} has no crictl", folder.display());
        let (bundle, image) = bundle(&containerd.root.path().join("bundle"), naming);
        let host = containerd.host();
        let importer = Importer::find(&host, &image.platform).unwrap();
        let index: Index = archive::descriptors(bundle.list(), &image).unwrap().into_iter().collect();
        let names = index.names().unwrap();

        let archive = ImageArchive::open(&bundle, &image).unwrap();
        importer.import(&host, &mut |stdin| archive.write(stdin, &mut HashSet::new())).unwrap();
        keep(&host, &names).unwrap();
        assert_found(&containerd, &bundle, &image);

        for name in names.keys() {
            host.run(&Command::new("ctr", ["--namespace=k8s.io", "images", "rm", "--sync", name])).unwrap();
        }
        let restored = put_back(&host, &importer, &index).unwrap();
        assert_eq!(restored, Restored { put_back: names.into_keys().collect(), lost: vec![] });
        assert_found(&containerd, &bundle, &image);

        fs::create_dir_all(containerd.root.path().join("var/lib/kinstall")).unwrap();
        fs::write(containerd.root.path().join(INDEX_PATH.trim_start_matches('/')), index.to_bytes()).unwrap();
        assert_eq!(unpacked::faults(&host).unwrap(), []);
        refuse_half_made(&host, &index).unwrap();
        let snapshots =
            containerd.root.path().join("var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots");
        fs::remove_file(snapshots.join("1/fs/bin/busybox")).unwrap();
        fs::write(snapshots.join("2/fs/etc/motd"), "").unwrap();
        let faults = unpacked::faults(&host).unwrap();
        let said: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.path.display(), fault.fault)).collect();
        assert!(refuse_half_made(&host, &index).is_err());
        assert_eq!(said, ["bin/busybox is missing", "etc/motd has 0 bytes instead of 8"]);
    }
}
