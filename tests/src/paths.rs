//! Where the lab's things lie.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// State of running labs: one directory for each, gone after a reboot as the labs are.
pub(crate) const RUN: &str = "/run/kbundle-lab";

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// What is dear and kept: `$KBUNDLE_LAB_CACHE`, or `/var/cache/kbundle-lab`.
#[must_use]
pub fn cache() -> PathBuf {
    std::env::var_os("KBUNDLE_LAB_CACHE").map_or_else(|| PathBuf::from("/var/cache/kbundle-lab"), PathBuf::from)
}

/// The filled mirror: `http/`, `registry/`, `catalog.yaml`. Fills it first where it is missing.
///
/// The answer is the tree itself and not the link to it, so that a later fill does not change it.
pub fn mirror_tree() -> Result<PathBuf> {
    filled("mirror", &[])
}

pub(crate) fn host_root() -> Result<PathBuf> {
    filled("hostroot", &[])
}

/// Kernel, initramfs and disk of a virtual machine.
pub(crate) fn virtual_machine() -> Result<PathBuf> {
    filled("virtual-machine", &["--virtual-machine"])
}

/// kube-bench of a version: the program `kube-bench` and its profiles, `cfg/`. Builds it first where it is missing.
pub(crate) fn kube_bench(version: &str) -> Result<PathBuf> {
    filled(&format!("kube-bench-{version}"), &["--kube-bench", version])
}

fn filled(name: &str, options: &[&str]) -> Result<PathBuf> {
    let link = cache().join(name);
    if !link.exists() {
        let fill = repository().join("tests/lab/mirror/fill");
        let status =
            Command::new(&fill).args(options).status().with_context(|| format!("cannot run {}", fill.display()))?;
        if !status.success() {
            bail!("{} failed ({status}); its messages are above", fill.display());
        }
    }
    Ok(fs_err::canonicalize(link)?)
}
