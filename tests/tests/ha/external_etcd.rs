//! An etcd that the site has: kinstall uses it, and leaves it alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::Host;
use lab::cluster::eventually;

use crate::site::{Member, Site};
use crate::traffic::assert_all_works;

/// Where the control plane has the files that reach it.
const FILES: &str = "/etc/site-etcd";
/// An authority, a certificate for the server at `$1`, and one for its client.
const MAKE_CERTIFICATES: &str = r#"
set -e
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca; openssl req -x509 -new -key ca.key -subj /CN=site-etcd -days 30 -out ca.crt
sign() {
    key "$1"; openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf 'subjectAltName=IP:%s,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
}
sign server "$1"; sign client 127.0.0.1
"#;

#[test]
#[ignore = "three minutes: ./ci/test nightly"]
fn an_etcd_of_the_sites_own_is_used_and_left_alone() -> anyhow::Result<()> {
    let members = vec![Member::new("cp1", 1, "control-plane, worker"), Member::new("w1", 2, "worker")];
    let mut site = Site::boot_hosts("ha-external-etcd", "bridge", 3, members)?;
    let folder = site.folder().to_owned();
    let etcd = &site.lab.hosts()[2];
    make_certificates(&folder, &etcd.address())?;
    start_etcd(etcd, &folder)?;
    let endpoint = format!("https://{}:2379", etcd.address());
    site.set_addons(&format!(
        "addons: [lab-test, team-app]\netcd: {{external: {{endpoints: ['{endpoint}'], ca-file: {FILES}/ca.crt, \
         certificate-file: {FILES}/client.crt, key-file: {FILES}/client.key}}}}"
    ))?;
    let mut before = site.snapshots()?;
    // The third host's files are etcd's, and change.
    before.truncate(2);

    let refused = site.run(&[])?;
    ensure!(refused.code != Some(0) && refused.said.contains("etcd.external.ca-file"), "{}", refused.said);
    site.host("cp1").sh("test ! -e /etc/kubernetes")?;

    site.host("cp1").sh(&format!("mkdir {FILES}"))?;
    for name in ["ca.crt", "client.crt", "client.key"] {
        site.host("cp1").copy_in(&folder.join(name), &format!("{FILES}/{name}"))?;
    }
    site.run(&[])?.succeeded()?;
    assert_all_works(&site, &["cp1"], 2)?;
    let manifest = site.host("cp1").sh("cat /etc/kubernetes/manifests/kube-apiserver.yaml")?;
    ensure!(manifest.contains(&format!("--etcd-servers={endpoint}")), "{manifest}");
    site.host("cp1").sh("! systemctl cat etcd && test ! -e /var/lib/etcd")?;
    let keys = keys_in(&site.lab.hosts()[2])?;
    ensure!(keys > 100, "the site's etcd has {keys} keys");
    site.run(&["--assert-no-op"])?.succeeded()?;

    site.command(&["reset", "--all", "--yes"])?.succeeded()?;
    site.host("cp1").sh(&format!("rm -r {FILES}"))?;
    site.assert_clean(&before, "after `reset --all`")?;
    let left = keys_in(&site.lab.hosts()[2])?;
    ensure!(left > 100, "the site's etcd has {left} keys after the reset");
    site.down()
}

fn make_certificates(folder: &Path, address: &str) -> anyhow::Result<()> {
    let made = Command::new("sh").args(["-c", MAKE_CERTIFICATES, "sh", address]).current_dir(folder).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Starts the mirror's newest etcd on a host that belongs to no cluster, for clients with a certificate of the site's authority.
fn start_etcd(host: &Host, folder: &Path) -> anyhow::Result<()> {
    let releases = lab::mirror_tree()?.join("http/github.com/etcd-io/etcd/releases/download");
    let mut versions = fs::read_dir(&releases)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    versions.sort();
    let newest = versions.pop().context("the mirror has no etcd")?;
    let version = newest.file_name().context("no version")?.to_string_lossy().into_owned();
    host.copy_in(&newest.join(format!("etcd-{version}-linux-amd64.tar.gz")), "/root/etcd.tar.gz")?;
    host.sh("mkdir /opt/etcd && tar -xzf /root/etcd.tar.gz -C /opt/etcd --strip-components 1")?;
    for name in ["ca.crt", "server.crt", "server.key", "client.crt", "client.key"] {
        host.copy_in(&folder.join(name), &format!("/opt/etcd/{name}"))?;
    }
    let own = format!("https://{}:2379,https://127.0.0.1:2379", host.address());
    host.sh(&format!(
        "systemd-run --quiet --unit site-etcd /opt/etcd/etcd --data-dir /opt/etcd/data --listen-client-urls {own} \
         --advertise-client-urls {own} --client-cert-auth --trusted-ca-file /opt/etcd/ca.crt --cert-file /opt/etcd/server.crt \
         --key-file /opt/etcd/server.key"
    ))?;
    eventually("the site's etcd", || etcdctl(host, "endpoint health")).map(drop)
}

fn keys_in(etcd: &Host) -> anyhow::Result<usize> {
    Ok(etcdctl(etcd, "get / --prefix --keys-only")?.lines().filter(|line| !line.is_empty()).count())
}

fn etcdctl(host: &Host, words: &str) -> anyhow::Result<String> {
    host.sh(&format!(
        "/opt/etcd/etcdctl --endpoints https://127.0.0.1:2379 --cacert /opt/etcd/ca.crt --cert /opt/etcd/client.crt \
         --key /opt/etcd/client.key {words}"
    ))
}
