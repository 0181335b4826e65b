//! A cluster that passes preflight, and a bundle that it could be planned from. Shared by the tests and by `fleet-scale`.

use std::collections::BTreeSet;
use std::path::Path;

use fs_err as fs;
use kbundle_format::fixtures::{self, noise};
use kbundle_format::{BundleList, Component, Digest, Entry, EntryKind, EntryPath, Image, KubeVersion, Platform, Role};
use serde_json::{Value, json};

/// The hosts as cluster.yaml has them, at the addresses of [`address`].
pub fn description(hosts: &[(String, Vec<Role>)]) -> String {
    let host = |(index, (name, roles)): (usize, &(String, Vec<Role>))| {
        let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        format!("- {{name: {name}, address: {}, roles: [{}]}}\n", address(index + 1), roles.join(", "))
    };
    format!("hosts:\n{}", hosts.iter().enumerate().map(host).collect::<String>())
}

/// One of 750 addresses of documentation.
pub fn address(number: usize) -> String {
    format!("{}.{}", ["192.0.2", "198.51.100", "203.0.113"][number / 250], number % 250 + 1)
}

/// A host that passes preflight.
pub fn survey(number: usize) -> Value {
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
        "clockMilliseconds": u64::try_from(now.as_millis()).unwrap(), "holdsBundle": false,
        "installed": null, "controlPlane": "not-begun", "etcd": "not-begun", "join": "not-begun",
        "facts": {
            "hostname": format!("h{number}"), "platform": platform, "userId": 0, "machineId": format!("{number:032x}"),
            "os": { "id": "debian", "idLike": [], "versionId": "12", "prettyName": "Debian" }, "cpus": 4,
            "memory": { "totalBytes": 8_u64 << 30, "availableBytes": 7_u64 << 30 },
            "kernel": { "release": "6.1.0", "features": features, "hasModules": true,
                        "configuration": "/boot/config-6.1.0", "sysctls": settings },
            "cgroups": { "version": "v2", "controllers": ["cpu", "cpuset", "io", "memory", "pids"] },
            "mounts": [{ "path": "/", "device": "/dev/sda1", "fileSystem": "ext4", "readOnly": false, "noExec": false,
                         "totalBytes": 100_u64 << 30, "freeBytes": 80_u64 << 30 }],
            "swapAreas": [],
            "addresses": [{ "interface": "eth0", "address": address, "network": "192.0.2.0/24" }],
            "mtus": { "eth0": 1500 },
            "defaultRoute": { "interface": "eth0", "gateway": "192.0.2.254" },
            "resolver": { "file": "/etc/resolv.conf", "nameservers": [] }, "listening": [],
            "clock": { "unixSeconds": now.as_secs(), "keeper": "chrony.service" }, "selinux": "disabled",
            "packetFilter": { "chains": [], "unread": [] },
            "hardening": { "appArmor": true, "atWork": [], "bootConflicts": [], "networkManagerKeepsOff": false, "ufwEnabled": false },
            "programs": programs, "units": {}, "leftovers": [], "installation": "none",
            "canLowerOomScore": true, "conntrackMaxWritable": true,
        },
    })
}

/// The network that a bundle brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Bridge,
    Flannel,
}

/// Writes a signed bundle `cluster.tar.zst` and its key `signing.pub`.
pub fn write_bundle(directory: &Path, network: Network) {
    let (key, _) = fixtures::key();
    fs::write(directory.join("signing.pub"), key.verifying_key().to_pem()).unwrap();
    let (list, contents) = cluster_list(network);
    let content = |entry: &Entry| contents.iter().find(|(path, _)| *path == entry.path).map(|found| found.1.as_slice());
    let output = fs::File::create(directory.join("cluster.tar.zst")).unwrap();
    drop(fixtures::write(&list, &[&key], output, content));
}

type Contents = Vec<(EntryPath, Vec<u8>)>;

/// A list with everything that a cluster's plan asks for; the contents are not real.
fn cluster_list(network: Network) -> (BundleList, Contents) {
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
        let content = noise(number as u64 + 1, 40_000);
        add(format!("artifacts/{name}").parse().unwrap(), content, kind, roles, Some(component));
    }
    if network == Network::Flannel {
        let flannel = Component { name: "flannel".to_owned(), version: "0.22.3".to_owned() };
        let manifest = "manifests/flannel/kube-flannel.yml".parse().unwrap();
        add(manifest, noise(30, 4000), EntryKind::Manifest, &[ControlPlane], Some(flannel));
    }
    let named = [
        ("kube-apiserver:v1.25.2", &[ControlPlane][..]),
        ("kube-controller-manager:v1.25.2", &[ControlPlane]),
        ("kube-scheduler:v1.25.2", &[ControlPlane]),
        ("kube-proxy:v1.25.2", nodes),
        ("pause:3.8", nodes),
        ("coredns/coredns:v1.9.3", nodes),
        ("haproxy:2.8.3", nodes),
        ("kube-vip:v1.0.4", &[ControlPlane]),
    ];
    for (number, (name, roles)) in named.into_iter().enumerate() {
        let content = noise(number as u64 + 40, 2000);
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
