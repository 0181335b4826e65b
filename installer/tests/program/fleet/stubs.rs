//! Hosts that a stub of `ssh` stands for, and a bundle that a cluster could be planned from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use kbundle_format::fixtures;
use kbundle_format::{
    BundleList, Component, Digest, Entry, EntryKind, EntryPath, Image, KubeVersion, Platform, Role, SigningKey,
};
use serde_json::{Value, json};

/// A folder with stub hosts and a signed bundle `cluster.tar.zst` for them.
pub struct Stubs {
    directory: tempfile::TempDir,
    hosts: Vec<(String, Vec<Role>)>,
}

/// What the program said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// What was said from the failures on, without what varies.
    pub fn end(&self) -> String {
        let lines: Vec<_> = self.stderr.lines().collect();
        let failures = lines.iter().position(|line| line.contains(" failed in stage "));
        let begin = failures.or_else(|| lines.iter().position(|line| line.starts_with("error"))).unwrap_or(0);
        let plain = |line: &&str| !line.contains("log: ") && !line.starts_with("what every host said");
        lines[begin..].iter().copied().filter(plain).collect::<Vec<_>>().join("\n")
    }
}

impl Stubs {
    /// Hosts with these roles, called `h1`, `h2`, …, at 192.0.2.1, ….
    pub fn new(roles: &[&[Role]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hosts: Vec<_> =
            roles.iter().enumerate().map(|(index, roles)| (format!("h{}", index + 1), roles.to_vec())).collect();
        let stubs = Self { directory, hosts };
        fs::create_dir(stubs.path("bin")).unwrap();
        let ssh = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/fleet/ssh");
        std::os::unix::fs::symlink(ssh, stubs.path("bin/ssh")).unwrap();
        for number in 1..=stubs.hosts.len() {
            stubs.make_host(number);
        }
        stubs.write_bundle();
        stubs.write_spec("");
        stubs
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// A file of the host with this number.
    pub fn host(&self, number: usize, file: &str) -> PathBuf {
        self.path(&format!("hosts/{}/{file}", address(number)))
    }

    /// Writes such a file.
    pub fn set(&self, number: usize, file: &str, content: &str) {
        fs::write(self.host(number, file), content).unwrap();
    }

    /// Writes cluster.yaml with these lines besides the hosts.
    pub fn write_spec(&self, more: &str) {
        let host = |(index, (name, roles)): (usize, &(String, Vec<Role>))| {
            let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            format!("- {{name: {name}, address: {}, roles: [{}]}}\n", address(index + 1), roles.join(", "))
        };
        let hosts: String = self.hosts.iter().enumerate().map(host).collect();
        fs::write(self.path("cluster.yaml"), format!("{more}\nhosts:\n{hosts}")).unwrap();
    }

    /// The requests that the host with this number got.
    pub fn requests(&self, number: usize) -> String {
        fs::read_to_string(self.host(number, "requests")).unwrap_or_default().trim_end().replace('\n', " ")
    }

    fn make_host(&self, number: usize) {
        fs::create_dir_all(self.host(number, "")).unwrap();
        let machine = std::env::consts::ARCH;
        self.set(number, "uname", &format!("Linux {machine}\n0\n"));
        self.set(number, "survey", &format!("{}\n", survey(number)));
    }

    fn write_bundle(&self) {
        let (key, _) = fixtures::key();
        fs::write(self.path("signing.pub"), key.verifying_key().to_pem()).unwrap();
        let (list, contents) = cluster_list();
        let keys: [&SigningKey; 1] = [&key];
        let content =
            |entry: &Entry| contents.iter().find(|(path, _)| *path == entry.path).map(|found| found.1.as_slice());
        let output = fs::File::create(self.path("cluster.tar.zst")).unwrap();
        drop(fixtures::write(&list, &keys, output, content));
    }

    /// Runs `kinstall run` on the hosts.
    pub fn run(&self, more: &[&str]) -> Said {
        self.run_with(more, &[])
    }

    /// The same with variables of the environment.
    pub fn run_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Said {
        let run = ["run", "cluster.tar.zst", "--key", "signing.pub", "--config", "cluster.yaml"];
        self.kinstall(&[&run, more].concat(), environment)
    }

    /// Runs kinstall with these arguments.
    pub fn kinstall(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = self.command();
        command.args(arguments).envs(environment.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn command(&self) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinstall"));
        command
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("HOSTS", self.path("hosts"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("KINSTALL_LOG")
            .stdin(std::process::Stdio::null());
        command
    }
}

/// One of 500 addresses of documentation.
pub fn address(number: usize) -> String {
    format!("{}.{}", ["192.0.2", "198.51.100"][number / 250], number % 250 + 1)
}

/// A host that passes preflight.
fn survey(number: usize) -> Value {
    let address = address(number);
    let setting = |value: u64| json!({ "value": value.to_string(), "writable": true });
    let settings: serde_json::Map<_, _> = kinstall::kernel_settings::SETTINGS
        .iter()
        .map(|wanted| (wanted.name.to_owned(), setting(wanted.value())))
        .collect();
    let features: Vec<_> = kinstall::facts::MODULES.iter().map(|(name, _)| *name).collect();
    let programs: serde_json::Map<_, _> =
        kinstall::facts::PROGRAMS.iter().map(|name| ((*name).to_owned(), json!(format!("/usr/bin/{name}")))).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let platform = Platform::of_this_program().to_string();
    json!({
        "reply": "survey", "clockMilliseconds": u64::try_from(now.as_millis()).unwrap(), "holdsBundle": false,
        "installed": null, "controlPlane": "none", "etcd": "none", "join": "none",
        "facts": {
            "hostname": format!("h{number}"), "platform": platform, "userId": 0, "machineId": format!("{number:032x}"),
            "os": { "id": "debian", "idLike": [], "versionId": "12", "prettyName": "Debian" }, "cpus": 4,
            "memory": { "totalBytes": 8_u64 << 30, "availableBytes": 7_u64 << 30 },
            "kernel": { "release": "6.1.0", "features": features, "hasModules": true, "sysctls": settings },
            "cgroups": { "version": "v2", "controllers": ["cpu", "cpuset", "io", "memory", "pids"] },
            "mounts": [{ "path": "/", "device": "/dev/sda1", "fileSystem": "ext4", "readOnly": false, "noExec": false,
                         "totalBytes": 100_u64 << 30, "freeBytes": 80_u64 << 30 }],
            "swapAreas": [],
            "addresses": [{ "interface": "eth0", "address": address, "network": "192.0.2.0/24" }],
            "mtus": { "eth0": 1500 },
            "defaultRoute": { "interface": "eth0", "gateway": "192.0.2.254" },
            "resolver": { "file": "/etc/resolv.conf", "nameservers": [] }, "listening": [],
            "clock": { "unixSeconds": now.as_secs(), "keeper": "chrony.service" }, "selinux": "disabled",
            "programs": programs, "units": {}, "leftovers": [], "installation": "none",
            "canLowerOomScore": true, "conntrackMaxWritable": true,
        },
    })
}

/// Changes what a host says of itself.
pub fn changed_survey(stubs: &Stubs, number: usize, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(stubs.host(number, "survey")).unwrap()).unwrap();
    change(&mut value);
    stubs.set(number, "survey", &format!("{value}\n"));
}

/// Makes hosts look as if they were set up, with their members of etcd.
pub fn set_up(stubs: &Stubs, servers: &[usize]) {
    for &number in servers {
        changed_survey(stubs, number, |survey| {
            (survey["controlPlane"], survey["etcd"]) = (json!("done"), json!("done"));
            survey["facts"]["installation"] = json!("ours");
        });
    }
    let member = |number: &usize| {
        json!({ "id": format!("{number:x}"), "name": format!("h{number}"),
                "peer-url": format!("https://{}:2380", address(*number)) })
    };
    let members: Vec<_> = servers.iter().map(member).collect();
    let answer = json!({ "reply": "answer", "answer": { "etcd-members": members } });
    fs::write(stubs.path("hosts/members"), format!("{answer}\n")).unwrap();
}

type Contents = Vec<(EntryPath, Vec<u8>)>;

/// A list with what a cluster's plan asks for, and contents that are nothing of the sort.
fn cluster_list() -> (BundleList, Contents) {
    use Role::{ControlPlane, Etcd, Worker};
    let platform = Platform::of_this_program();
    let nodes: &[Role] = &[ControlPlane, Worker];
    let (mut entries, mut contents, mut images) = (Vec::new(), Contents::new(), Vec::new());
    let mut add = |path: EntryPath, content: Vec<u8>, kind, roles: &[Role], component| {
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        let roles: BTreeSet<_> = roles.iter().copied().collect();
        let entry = fixtures::entry(path.as_str(), digest, size);
        entries.push(Entry { kind, roles, component, platform: Some(platform.clone()), ..entry });
        contents.push((path, content));
    };
    let programs: [(&str, EntryKind, &[Role]); 8] = [
        ("containerd", EntryKind::Archive, nodes),
        ("runc", EntryKind::Binary, nodes),
        ("cni-plugins", EntryKind::Archive, nodes),
        ("crictl", EntryKind::Archive, nodes),
        ("etcd", EntryKind::Archive, &[Etcd]),
        ("kubelet", EntryKind::Binary, nodes),
        ("kubeadm", EntryKind::Binary, nodes),
        ("kubectl", EntryKind::Binary, nodes),
    ];
    for (number, (name, kind, roles)) in programs.into_iter().enumerate() {
        let version = if name.starts_with("kube") { "1.25.2" } else { "3.5.6" };
        let component = Component { name: name.to_owned(), version: version.to_owned() };
        let content = crate::folder::noise(number as u64 + 1, 40_000);
        add(format!("artifacts/{name}").parse().unwrap(), content, kind, roles, Some(component));
    }
    let named = [
        ("kube-apiserver:v1.25.2", &[ControlPlane][..]),
        ("kube-controller-manager:v1.25.2", &[ControlPlane]),
        ("kube-scheduler:v1.25.2", &[ControlPlane]),
        ("kube-proxy:v1.25.2", nodes),
        ("pause:3.8", nodes),
        ("coredns/coredns:v1.9.3", nodes),
        ("haproxy:2.8.3", nodes),
    ];
    for (number, (name, roles)) in named.into_iter().enumerate() {
        let content = crate::folder::noise(number as u64 + 40, 2000);
        let manifest = Digest::of(&content);
        images.push(Image {
            reference: format!("registry.k8s.io/{name}").parse().unwrap(),
            platform: platform.clone(),
            manifest,
            pinned: manifest,
            roles: roles.iter().copied().collect(),
        });
        add(EntryPath::blob(&manifest), content, EntryKind::ImageManifest, roles, None);
    }
    let kubernetes_version: KubeVersion = "1.25.2".parse().unwrap();
    let list = fixtures::list(entries);
    (BundleList { kubernetes_version, platforms: [platform].into(), images, ..list }, contents)
}
