//! Test data for decisions: a plain host, and lists of bundles that do not exist.

pub mod bench;

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::list::{Compression, FORMAT_VERSION};
use kbundle_format::{BundleList, Component, Digest, Entry, EntryKind, EntryPath, Image, KubeVersion, Platform, Role};

use crate::config::ClusterSpec;
use crate::facts::system::os_release;
use crate::facts::{
    CgroupVersion, Cgroups, Clock, DefaultRoute, Hardening, HostFacts, Installation, InterfaceAddress, Kernel, MODULES,
    Memory, Mount, PROGRAMS, PacketFilter, Resolver, Selinux, Sysctl,
};
use crate::host::Space;
use crate::inputs::Inputs;
use crate::kernel_settings::SETTINGS;
use crate::topology::Topology;

/// A host that a cluster can be set up on, with nothing on it yet.
pub fn facts() -> HostFacts {
    let sysctl = |value: u64| Sysctl { value: value.to_string(), writable: true };
    HostFacts {
        hostname: "node-1".into(),
        platform: platform(),
        user_id: 0,
        machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        os: os_release("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        cpus: 4,
        memory: Memory { total_bytes: Some(8 << 30), available_bytes: Some(7 << 30) },
        kernel: Kernel {
            release: "6.1.0-13-amd64".into(),
            features: MODULES.iter().map(|&(name, _)| name.to_owned()).collect(),
            has_modules: true,
            configuration: Some("/boot/config-6.1.0-13-amd64".into()),
            sysctls: SETTINGS.iter().map(|setting| (setting.name.to_owned(), sysctl(setting.value()))).collect(),
        },
        cgroups: Cgroups {
            version: CgroupVersion::V2,
            controllers: ["cpu", "cpuset", "io", "memory", "pids"].map(str::to_owned).into(),
        },
        mounts: vec![Mount {
            path: "/".into(),
            device: "/dev/sda1".into(),
            file_system: "ext4".into(),
            read_only: false,
            no_exec: false,
            no_suid: false,
            space: Some(Space { total_bytes: 100 << 30, free_bytes: 80 << 30 }),
        }],
        swap_areas: vec![],
        addresses: vec![InterfaceAddress {
            interface: "eth0".into(),
            address: "10.0.0.5".parse().unwrap(),
            network: "10.0.0.0/24".parse().unwrap(),
        }],
        mtus: [("eth0".to_owned(), 1500)].into(),
        default_route: Some(DefaultRoute { interface: "eth0".into(), gateway: "10.0.0.1".parse().ok() }),
        default_route_ipv6: None,
        resolver: Resolver { file: "/etc/resolv.conf".into(), nameservers: vec![] },
        listening: vec![],
        clock: Clock { unix_seconds: 1_800_000_000, keeper: Some("chrony.service".into()) },
        selinux: Selinux::Disabled,
        packet_filter: PacketFilter::default(),
        hardening: Hardening { app_armor: true, ..Hardening::default() },
        programs: PROGRAMS.iter().map(|&name| (name.to_owned(), Some(format!("/usr/bin/{name}")))).collect(),
        units: BTreeMap::new(),
        leftovers: vec![],
        installation: Installation::None,
        can_lower_oom_score: true,
        conntrack_max_writable: true,
    }
}

/// Facts of real hosts before their first installation: `facts` of `kinstall preflight --output json`.
pub const RECORDED: [(&str, &str); 2] = [
    ("debian-12-cgroup-v1", include_str!("fixture/debian-12-cgroup-v1.json")),
    ("debian-12-cgroup-v2", include_str!("fixture/debian-12-cgroup-v2.json")),
];

/// The host recorded by this name.
pub fn recorded(name: &str) -> HostFacts {
    let (_, text) = RECORDED.into_iter().find(|(known, _)| *known == name).unwrap();
    serde_json::from_str(text).unwrap()
}

/// Hosts as each distribution installs and hardens them: the differences from the recorded Debian 12 with cgroup v2. They are written from
/// the documents of the distributions and the guides of CIS and DISA, and not recorded on machines; the sources are in
/// [`distributions`](crate::distributions).
const DISTRIBUTIONS: &str = include_str!("fixture/distributions.json");

/// The names of those hosts.
pub fn distributions() -> Vec<String> {
    let hosts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(DISTRIBUTIONS).unwrap();
    hosts.keys().cloned().collect()
}

/// The host of a distribution by this name.
pub fn of_distribution(name: &str) -> HostFacts {
    let hosts: serde_json::Value = serde_json::from_str(DISTRIBUTIONS).unwrap();
    let mut facts = serde_json::to_value(recorded("debian-12-cgroup-v2")).unwrap();
    let change = &hosts[name];
    assert!(change.is_object(), "{name}");
    merge(&mut facts, change);
    serde_json::from_value(facts).unwrap()
}

/// Puts what `change` has into `value`, object by object (RFC 7386).
fn merge(value: &mut serde_json::Value, change: &serde_json::Value) {
    match (value, change) {
        (serde_json::Value::Object(value), serde_json::Value::Object(change)) => {
            for (key, change) in change {
                merge(value.entry(key.clone()).or_insert(serde_json::Value::Null), change);
            }
        }
        (value, change) => *value = change.clone(),
    }
}

/// A cluster with this host alone.
pub fn topology() -> Topology {
    Topology::single(&ClusterSpec::default(), &facts()).unwrap()
}

pub fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// A list with the programs and images that a cluster needs, with versions of the time of Kubernetes `version`.
pub fn list(version: &str) -> BundleList {
    let version: KubeVersion = version.parse().unwrap();
    let (etcd, containerd) = paired(version);
    let kubernetes = version.to_string();
    let archive = EntryKind::Archive;
    let mut entries: Vec<_> = [
        ("containerd", containerd, archive),
        ("runc", "1.1.4", EntryKind::Binary),
        ("cni-plugins", "1.2.0", archive),
        ("crictl", "1.25.0", archive),
        ("etcd", etcd, archive),
        ("kubelet", &kubernetes, EntryKind::Binary),
        ("kubeadm", &kubernetes, EntryKind::Binary),
        ("kubectl", &kubernetes, EntryKind::Binary),
    ]
    .map(|(name, version, kind)| program(name, version, kind))
    .into();
    let mut images = Vec::new();
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        images.push(image(&format!("registry.k8s.io/{name}:v{version}")));
    }
    images.push(image("registry.k8s.io/pause:3.8"));
    images.push(image("registry.k8s.io/coredns/coredns:v1.9.3"));
    entries.extend(images.iter().map(|image| Entry {
        digest: image.manifest,
        ..entry(EntryPath::blob(&image.manifest), EntryKind::ImageManifest)
    }));
    BundleList {
        format_version: FORMAT_VERSION,
        kubernetes_version: version,
        platforms: [platform()].into(),
        compression: Compression::at_level(3),
        images,
        after: kbundle_format::Prerequisites::default(),
        entries,
        sources: Vec::new(),
    }
}

/// The same list with programs and images for arm64 too, whose versions end in `-arm64`.
pub fn for_both_architectures(mut list: BundleList) -> BundleList {
    let arm64: Platform = "linux/arm64".parse().unwrap();
    let again = |text: &str| Digest::of(format!("{text} for arm64").as_bytes());
    let programs = list.entries.iter().filter(|entry| entry.component.is_some() && entry.platform.is_some());
    let programs: Vec<_> = programs
        .map(|entry| {
            let path = entry.path.as_str().replace("linux-amd64", "linux-arm64");
            let component = entry.component.as_ref().unwrap();
            let version = format!("{}-arm64", component.version);
            Entry {
                digest: again(&path),
                path: path.parse().unwrap(),
                component: Some(Component { version, ..component.clone() }),
                platform: Some(arm64.clone()),
                ..entry.clone()
            }
        })
        .collect();
    let images: Vec<_> = list
        .images
        .iter()
        .map(|image| {
            let manifest = again(&image.reference.to_string());
            Image { platform: arm64.clone(), manifest, pinned: manifest, ..image.clone() }
        })
        .collect();
    list.entries.extend(programs);
    list.images.extend(images);
    list.platforms.insert(arm64);
    list
}

/// Versions of etcd and containerd that Kubernetes `version` takes.
fn paired(version: KubeVersion) -> (&'static str, &'static str) {
    if version < KubeVersion::new(1, 31, 0) { ("3.5.6", "1.6.20") } else { ("3.5.24", "2.0.5") }
}

fn program(name: &str, version: &str, kind: EntryKind) -> Entry {
    let path = format!("artifacts/linux-amd64/{name}").parse().unwrap();
    let component = Some(Component { name: name.to_owned(), version: version.to_owned() });
    Entry { component, ..entry(path, kind) }
}

/// A file of the chart 1.2.3 that the release `shop` is made of.
pub fn chart(path: &str, kind: EntryKind) -> Entry {
    let component = Some(Component { name: "shop".to_owned(), version: "1.2.3".to_owned() });
    Entry { component, platform: None, ..entry(path.parse().unwrap(), kind) }
}

fn image(reference: &str) -> Image {
    let manifest = Digest::of(reference.as_bytes());
    let reference = reference.parse().unwrap();
    Image { reference, platform: platform(), manifest, pinned: manifest, roles: all_roles() }
}

fn entry(path: EntryPath, kind: EntryKind) -> Entry {
    Entry {
        digest: Digest::of(path.as_str().as_bytes()),
        path,
        size: 1,
        media_type: "application/octet-stream".to_owned(),
        kind,
        roles: all_roles(),
        component: None,
        platform: Some(platform()),
        origin: None,
        licence: None,
        host_file: None,
    }
}

fn all_roles() -> BTreeSet<Role> {
    Role::ALL.into()
}

/// A cluster of several hosts, to look at from each of them.
pub struct Cluster {
    pub spec: ClusterSpec,
    pub facts: HostFacts,
    pub list: BundleList,
}

impl Cluster {
    /// Control planes c1 to c3, which have etcd, and workers w1 and w2.
    pub fn of_three_and_two() -> Self {
        let host = |name: &str, number: u8, roles: &str| {
            format!("- {{name: {name}, address: 192.0.2.{number}, roles: [{roles}]}}\n")
        };
        let control_planes = (1..=3).map(|number| host(&format!("c{number}"), number, "control-plane, etcd"));
        let workers = (1..=2).map(|number| host(&format!("w{number}"), 10 + number, "worker"));
        let text = format!("hosts:\n{}", control_planes.chain(workers).collect::<String>());
        let mut list = list("1.25.2");
        list.images.push(image("docker.io/library/haproxy:2.6.12"));
        list.images.push(image("ghcr.io/kube-vip/kube-vip:v1.0.4"));
        Self { spec: ClusterSpec::parse(&text).unwrap(), facts: facts(), list }
    }

    /// The same cluster, whose hosts, pods and Services have addresses of both IP families.
    pub fn of_both_families() -> Self {
        let mut cluster = Self::of_three_and_two();
        cluster.spec.network.pod_cidr = "10.244.0.0/16,fd00:244::/56".parse().unwrap();
        cluster.spec.network.service_cidr = "10.96.0.0/12,fd00:96::/112".parse().unwrap();
        for host in &mut cluster.spec.hosts {
            let number = host.address.to_string().rsplit_once('.').unwrap().1.to_owned();
            host.second_address = format!("2001:db8::{number}").parse().ok();
        }
        cluster.spec.validate().unwrap();
        cluster
    }

    /// The same cluster with IPv6 only.
    pub fn of_ipv6() -> Self {
        let mut cluster = Self::of_both_families();
        cluster.spec.network.pod_cidr = "fd00:244::/56".parse().unwrap();
        cluster.spec.network.service_cidr = "fd00:96::/112".parse().unwrap();
        for host in &mut cluster.spec.hosts {
            host.address = host.second_address.take().unwrap();
        }
        cluster.spec.validate().unwrap();
        cluster
    }

    /// The cluster as the host called `name` sees it.
    pub fn seen_from(&self, name: &str) -> Topology {
        Topology::of(&self.spec, name).unwrap()
    }

    /// The inputs of decisions for a host with this place in the cluster.
    pub fn inputs<'a>(&'a self, topology: &'a Topology) -> Inputs<'a> {
        Inputs { spec: &self.spec, facts: &self.facts, list: &self.list, topology }
    }
}
