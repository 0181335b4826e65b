//! What to collect on a host.

use kbundle_format::Role;

use crate::etcd_layout;
use crate::host::{Command, Host, HostError, Output};
use crate::kubeadm::{CONFIG_PATH, JOIN_PATH, MANIFESTS};
use crate::kubectl::{ADMIN_KUBECONFIG, Kubectl};
use crate::standing::Standing;
use crate::steps::etcd::etcdctl;

const POD_LOGS: &str = "/var/log/pods";
/// Namespaces whose pods come from the bundle.
const SYSTEM_NAMESPACES: &[&str] = &["kube-system", "calico-system", "kube-flannel", "metallb-system", "ingress-nginx"];

/// Something to collect.
pub struct Source {
    /// Its path below the host's folder.
    pub path: String,
    /// The file or the command.
    pub name: String,
    /// What it gave.
    pub content: Content,
}

/// What a source gave.
pub enum Content {
    /// Text.
    Text(String),
    /// The host has no such file or program.
    Absent,
    /// The source could not be read, for this reason.
    Failed(String),
}

/// Complete files. A folder stands for the files directly inside of it.
const FILES: &[&str] = &[
    "/etc/os-release",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc/cmdline",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/mounts",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/swaps",
    "/proc/version",
    "/etc/containerd/config.toml",
    "/etc/cni/net.d",
    "/etc/haproxy/haproxy.cfg",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    etcd_layout::CONFIG_PATH,
    CONFIG_PATH,
    JOIN_PATH,
    MANIFESTS,
    "/var/lib/kinstall/ledger.jsonl",
];

/// Programs, each with the name of the file for its output.
const COMMANDS: &[(&str, &[&str])] = &[
    ("addresses", &["ip", "address"]),
    ("routes", &["ip", "route", "show", "table", "all"]),
    ("sockets", &["ss", "-tulpn"]),
    ("iptables", &["iptables-save"]),
    ("nft", &["nft", "list", "ruleset"]),
    ("disks", &["df", "-hT"]),
    ("inodes", &["df", "-i"]),
    ("processes", &["ps", "-eo", "pid,ppid,stat,etimes,rss,args", "--sort", "-rss"]),
    ("sysctls", &["sysctl", "-a"]),
    ("time", &["timedatectl", "status"]),
    ("failed-units", &["systemctl", "list-units", "--failed", "--no-pager"]),
    ("containers", &["crictl", "--runtime-endpoint", "unix:///run/containerd/containerd.sock", "ps", "--all"]),
    ("pods-of-this-host", &["crictl", "--runtime-endpoint", "unix:///run/containerd/containerd.sock", "pods"]),
    ("images", &["crictl", "--runtime-endpoint", "unix:///run/containerd/containerd.sock", "images", "--digests"]),
    ("containerd", &["ctr", "version"]),
    ("kubelet", &["kubelet", "--version"]),
];

/// Units whose state and logs are collected.
const UNITS: &[&str] = &["kubelet.service", "containerd.service", etcd_layout::UNIT];

/// Requests to the API, on a control plane. No Secrets and no settings of users.
const API: &[(&str, &[&str])] = &[
    ("version.yaml", &["version", "--output=yaml"]),
    ("ready", &["get", "--raw=/readyz?verbose"]),
    ("nodes", &["get", "nodes", "--output=wide"]),
    ("nodes-in-full", &["describe", "nodes"]),
    ("pods", &["get", "pods", "--all-namespaces", "--output=wide"]),
    ("workloads", &["get", "deployments,daemonsets,statefulsets,jobs,cronjobs", "--all-namespaces", "--output=wide"]),
    ("services", &["get", "services,endpointslices", "--all-namespaces", "--output=wide"]),
    (
        "storage",
        &["get", "storageclasses,persistentvolumes,persistentvolumeclaims", "--all-namespaces", "--output=wide"],
    ),
    ("events", &["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"]),
    ("requests-to-sign", &["get", "certificatesigningrequests"]),
];

/// Reads all sources, one after another, since a host may have few resources left.
pub fn of(host: &Host, hours: u32) -> impl Iterator<Item = Source> {
    let files = FILES.iter().flat_map(|path| below(host, path)).map(|path| file(host, &path));
    let pods = logs_of_system_pods(host).into_iter().map(|path| file(host, &path));
    let commands = COMMANDS.iter().map(|(name, words)| command(host, format!("commands/{name}"), words));
    let units = UNITS.iter().map(|unit| {
        command(host, format!("units/{unit}"), &["systemctl", "status", "--no-pager", "--full", "--lines=0", unit])
    });
    let since = format!("--since=-{hours}h");
    let journals = UNITS.iter().map(move |unit| {
        command(
            host,
            format!("logs/{unit}"),
            &["journalctl", "--no-pager", "--output=short-iso", &since, "--unit", unit],
        )
    });
    let kernel = std::iter::once(command(host, "logs/kernel".to_owned(), &["dmesg"]));
    let own = std::iter::once_with(|| status(host));
    files
        .chain(commands)
        .chain(units)
        .chain(own)
        .chain(etcd(host))
        .chain(api(host))
        .chain(kernel)
        .chain(journals)
        .chain(pods)
}

/// The file itself, or the files directly inside of the folder.
fn below(host: &Host, path: &str) -> Vec<String> {
    if !host.is_directory(path) {
        return vec![path.to_owned()];
    }
    let names = host.names_in(path).unwrap_or_default();
    names.into_iter().map(|name| format!("{path}/{name}")).filter(|path| host.is_file(path)).collect()
}

fn file(host: &Host, path: &str) -> Source {
    let content = match host.read(path) {
        Ok(Some(bytes)) => Content::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(None) => Content::Absent,
        Err(error) => Content::Failed(format!("{:#}", anyhow::Error::new(error))),
    };
    Source { path: format!("files{path}"), name: path.to_owned(), content }
}

fn command(host: &Host, path: String, words: &[&str]) -> Source {
    let command = Command::new(words[0], words[1..].iter().copied());
    Source { path, name: command.to_string(), content: printed(host.run_if_installed(&command)) }
}

/// The output of a program, even if it failed: the output is useful then, and says how the program ended.
fn printed(output: Result<Option<Output>, HostError>) -> Content {
    match output {
        Ok(Some(output)) if output.code == Some(0) => Content::Text(output.stdout),
        Ok(Some(Output { code, stdout, stderr })) => {
            let ending = code.map_or("was ended by a signal".to_owned(), |code| format!("ended with code {code}"));
            Content::Text(format!("{stdout}{stderr}(the command {ending})\n"))
        }
        Ok(None) => Content::Absent,
        Err(error) => Content::Failed(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// The output of `kinstall status`, made by this program itself.
fn status(host: &Host) -> Source {
    let content = match std::env::current_exe() {
        Ok(program) => {
            let command = Command::new(&program.display().to_string(), ["status", "--output", "json"]);
            printed(host.try_run(&command).map(Some))
        }
        Err(error) => Content::Failed(error.to_string()),
    };
    Source { path: "status.json".to_owned(), name: "kinstall status --output json".to_owned(), content }
}

/// The state of etcd's members, on a host that has one.
fn etcd(host: &Host) -> Vec<Source> {
    let Ok(standing) = Standing::find(host) else { return Vec::new() };
    if !standing.inputs().has(Role::Etcd) {
        return Vec::new();
    }
    let address = standing.inputs().topology.this().address;
    let asked = [
        ("etcd/members", ["member", "list", "--write-out=table"].as_slice()),
        ("etcd/health", &["endpoint", "health", "--cluster"]),
        ("etcd/status", &["endpoint", "status", "--cluster", "--write-out=table"]),
        ("etcd/alarms", &["alarm", "list"]),
    ];
    let ask = |(path, words): (&str, &[&str])| {
        let content = printed(host.run_if_installed(&etcdctl(address, words)));
        Source { path: path.to_owned(), name: format!("etcdctl {}", words.join(" ")), content }
    };
    asked.into_iter().map(ask).collect()
}

/// The answers of the API, on a host with the administrator's credential.
fn api(host: &Host) -> Vec<Source> {
    if !host.exists(ADMIN_KUBECONFIG) {
        return Vec::new();
    }
    let kubectl = Kubectl::on(host);
    let ask = |(name, words): &(&str, &[&str])| Source {
        path: format!("api/{name}"),
        name: format!("kubectl {}", words.join(" ")),
        content: printed(kubectl.try_run(words).map(Some)),
    };
    API.iter().map(ask).collect()
}

/// The logs of the system's own pods. Logs of users' pods are left out: nobody knows what they contain.
fn logs_of_system_pods(host: &Host) -> Vec<String> {
    let pods = host.names_in(POD_LOGS).unwrap_or_default();
    let system = pods
        .into_iter()
        .filter(|pod| SYSTEM_NAMESPACES.iter().any(|namespace| pod.starts_with(&format!("{namespace}_"))));
    let containers = system.flat_map(|pod| {
        let pod = format!("{POD_LOGS}/{pod}");
        host.names_in(&pod).unwrap_or_default().into_iter().map(move |name| format!("{pod}/{name}"))
    });
    containers.flat_map(|container| below(host, &container)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn files_folders_programs_and_logs_of_the_system_are_collected_and_those_of_users_are_not() {
        let bench = Bench::with_programs(|_, command| match command.program.as_str() {
            "dmesg" => Some("fails: dmesg: read kernel buffer failed: Operation not permitted".to_owned()),
            "journalctl" => Some(format!("{}\n", command.arguments.join(" "))),
            _ => None,
        });
        bench.file("etc/kubernetes/manifests/kube-apiserver.yaml", "kind: Pod\n");
        bench.file("var/log/pods/kube-system_etcd_1/etcd/0.log", "started\n");
        bench.file("var/log/pods/shop_till_2/till/0.log", "card 4111\n");
        let found: Vec<_> = of(&bench.host(), 24).collect();
        let text = |path: &str| {
            let source = found.iter().find(|source| source.path == path)?;
            if let Content::Text(text) = &source.content { Some(text.clone()) } else { None }
        };
        assert_eq!(text("files/etc/kubernetes/manifests/kube-apiserver.yaml").as_deref(), Some("kind: Pod\n"));
        assert_eq!(text("files/var/log/pods/kube-system_etcd_1/etcd/0.log").as_deref(), Some("started\n"));
        assert_eq!(
            text("logs/kubelet.service").as_deref(),
            Some("--no-pager --output=short-iso --since=-24h --unit kubelet.service\n")
        );
        assert!(text("logs/kernel").unwrap().contains("not permitted"));
        assert!(found.iter().all(|source| !source.path.contains("shop_")));
    }
}
