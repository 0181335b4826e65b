//! Settings of the outer machine that all its containers share. The kubelet and kube-proxy want
//! values for them that a container cannot set; the first lab sets them, the last one restores.

use std::path::PathBuf;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::paths::RUN;

/// Name, value, and how it is meant.
const WANTED: &[(&str, Want)] = &[
    // Written by the kubelet, which fails where it differs and cannot be written.
    ("vm/overcommit_memory", Want::Exactly("1")),
    ("kernel/panic", Want::Exactly("10")),
    ("kernel/panic_on_oops", Want::Exactly("1")),
    // kube-proxy sets 131072 with up to four processors, and skips a value that is there already.
    ("net/netfilter/nf_conntrack_max", Want::Exactly("131072")),
    // A host takes up to 14 inotify instances.
    ("fs/inotify/max_user_instances", Want::AtLeast(1024)),
];

enum Want {
    Exactly(&'static str),
    AtLeast(u64),
}

fn record() -> PathBuf {
    PathBuf::from(RUN).join("machine-settings.json")
}

/// Sets what differs, having written down what it was. Call with the labs' lock held.
pub(crate) fn prepare() -> Result<()> {
    if record().exists() {
        return Ok(());
    }
    let mut before: Vec<(String, String)> = Vec::new();
    for (name, _) in WANTED {
        let file = format!("/proc/sys/{name}");
        before.push((file.clone(), fs::read_to_string(&file)?.trim().to_owned()));
    }
    fs::write(record(), serde_json::to_vec_pretty(&before)?)?;
    for ((_, want), (file, value)) in WANTED.iter().zip(&before) {
        match want {
            Want::Exactly(wanted) if wanted != value => fs::write(file, wanted)?,
            Want::AtLeast(least) if value.parse::<u64>().context("a number")? < *least => {
                fs::write(file, least.to_string())?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts back what [`prepare`] found. Call with the labs' lock held, when no lab is left.
pub(crate) fn restore() -> Result<()> {
    let Ok(text) = fs::read(record()) else { return Ok(()) };
    let before: Vec<(String, String)> = serde_json::from_slice(&text)?;
    for (file, value) in before {
        fs::write(file, value)?;
    }
    Ok(fs::remove_file(record())?)
}
