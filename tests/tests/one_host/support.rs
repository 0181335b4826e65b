//! What `kinstall support` collects on a host with a cluster: enough to find a fault, and nothing secret.

use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::{Host, document_of};

/// Files that hold secrets; every long line of theirs is looked for.
const SECRETS: &str = "cat /etc/kubernetes/pki/*.key /etc/etcd/pki/*.key /var/lib/kubelet/pki/*.pem /etc/kubernetes/encryption.yaml \
     | grep -v -e CERTIFICATE -e PRIVATE; grep -h client-key-data /etc/kubernetes/*.conf | sed 's/.*: //'; \
     kubectl get secrets -A -o jsonpath='{range .items[*]}{.data}{\"\\n\"}{end}' | tr ',' '\\n' | sed 's/.*:\"\\(.*\\)\"}*/\\1/'";

pub fn tells_what_helps_and_nothing_secret(host: &Host) -> anyhow::Result<()> {
    let told = host.sh("cd /root && kinstall support --out support.tar.zst --output json")?;
    let told = document_of("kinstall", "support", &told)?;
    ensure!(told["contents"]["hosts"].as_object().is_some_and(|hosts| hosts.len() == 1), "{told}");
    let place = tempfile::tempdir()?;
    let archive = host.root().join("root/support.tar.zst");
    let unpacked = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(place.path()).status()?;
    ensure!(unpacked.success(), "tar does not take the file");
    let (name, contents) =
        told["contents"]["hosts"].as_object().and_then(|hosts| hosts.iter().next()).context("no host is in it")?;
    let folder = place.path().join("support").join(name);
    for (path, wanted) in [
        ("status.json", "\"healthy\""),
        ("logs/kubelet.service", "kubelet"),
        ("etcd/health", "is healthy"),
        ("api/nodes", "Ready"),
        ("api/pods", "coredns"),
        ("files/etc/kubernetes/manifests/kube-apiserver.yaml", "--etcd-servers"),
        ("commands/containers", "coredns"),
    ] {
        let text = fs::read_to_string(folder.join(path))?;
        ensure!(text.contains(wanted), "{path} does not tell {wanted}:\n{text}");
    }
    ensure!(contents["failures"].as_object().is_some_and(serde_json::Map::is_empty), "{contents}");

    let secrets = host.sh(SECRETS)?;
    let secrets: Vec<_> = secrets.split_whitespace().filter(|secret| secret.len() >= 24).collect();
    ensure!(secrets.len() > 50, "the test knows only {} secrets", secrets.len());
    let list = place.path().join("secrets");
    fs::write(&list, secrets.join("\n"))?;
    let found = Command::new("grep").args(["-rlFf"]).arg(&list).arg(place.path().join("support")).output()?;
    ensure!(found.status.code() == Some(1), "secrets are in {}", String::from_utf8_lossy(&found.stdout));
    host.sh("rm /root/support.tar.zst").map(drop)
}
