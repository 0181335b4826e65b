//! The content of a cluster before a backup, which has to exist after the restoration.

use std::path::Path;

use anyhow::ensure;
use fs_err as fs;

use crate::Remote;
use crate::cluster::Cluster;
use crate::connected::{Carried, STICK, copy_in, kbundle};

/// The passphrase of the backups.
const PASSPHRASE: &str = "of the lab and of nothing else";
/// How a backup is written, on a host that has kinstall on its path, or in front of `kinstall`.
pub const BACKUP: &str = "kinstall backup --out plant.backup --passphrase-file passphrase --sign-key backup.key";
const OBJECTS: usize = 200;

/// Puts an app behind a Service, objects and a Secret into the cluster.
pub fn fill(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.deploy_web()?;
    let objects = (0..OBJECTS).map(|number| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: object-{number}, labels: {{of: test}}}}, data: {{number: '{number}'}}}}\n")
    });
    cluster.apply(&objects.collect::<Vec<_>>().join("---\n"))?;
    cluster.kubectl("create secret generic kept --from-literal=word=kept-secret").map(drop)
}

/// Makes a key that signs backups, and puts it and the passphrase onto the host's stick. Its public half stays beside the bundle.
pub fn give_backup_key(host: &Remote, carried: &Carried) -> anyhow::Result<()> {
    let key = carried.file("backup.key");
    for file in [&key, &carried.file("backup.pub")] {
        drop(fs::remove_file(file));
    }
    kbundle(&["keygen", "--out", &key.display().to_string()])?;
    host.sh(&format!("mkdir -p {STICK}"))?;
    copy_in(host, &key, "backup.key")?;
    host.sh(&format!("echo '{PASSPHRASE}' > {STICK}/passphrase && chmod 600 {STICK}/passphrase {STICK}/backup.key"))
        .map(drop)
}

/// Writes the passphrase into a file on this machine.
pub fn write_passphrase(file: &Path) -> anyhow::Result<()> {
    Ok(fs::write(file, format!("{PASSPHRASE}\n"))?)
}

/// Checks that everything that [`fill`] made is there; Secrets are readable, and encrypted in etcd on the host that the cluster is seen
/// from.
pub fn assert_filled(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let objects = cluster.json("get configmaps -l of=test")?;
    let objects = objects["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(objects.len() == OBJECTS, "{} objects are there", objects.len());
    let word = cluster.kubectl("get secret kept -o 'jsonpath={.data.word}' | base64 -d")?;
    ensure!(word == "kept-secret", "{word}");
    cluster.assert_web_answers()?;
    cluster.assert_names_resolve()?;
    cluster.assert_logs_and_exec()?;
    cluster.assert_secrets_are_encrypted()
}

/// A client that watches has to list again, since revisions continue far above the earlier ones.
pub fn assert_revisions_are_higher(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    // A list that kubectl prints has no revision of its own.
    let list: serde_json::Value =
        serde_json::from_str(&cluster.kubectl("get --raw /api/v1/namespaces/default/configmaps?limit=1")?)?;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    ensure!(revision.parse::<u64>()? > 1_000_000_000, "watches would not notice the restoration: {revision}");
    Ok(())
}
