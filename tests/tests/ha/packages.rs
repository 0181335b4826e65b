//! Debian's own packages on a lab host, which reaches no mirror.

use std::process::Command;

use anyhow::{Context as _, ensure};
use fs_err as fs;

use crate::site::Site;

/// Installs a package with what it depends on, from files that this machine fetches. Nothing of it is started.
pub fn install(site: &Site, member: &str, package: &str) -> anyhow::Result<()> {
    let host = site.host(member);
    let (archives, packed) = (site.folder().join(package), site.folder().join(format!("{package}.tar")));
    fs::create_dir_all(archives.join("partial"))?;
    let fetched = Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "--download-only", "--no-install-recommends"])
        .arg("-o")
        .arg(format!("Dir::State::status={}", host.root().join("var/lib/dpkg/status").display()))
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", archives.display()))
        .arg(package)
        .status()
        .context("cannot run apt-get")?;
    ensure!(fetched.success(), "the packages of {package} could not be fetched");
    let packing = Command::new("tar").arg("-cf").arg(&packed).arg("-C").arg(&archives).arg(".").status()?;
    ensure!(packing.success(), "the packages of {package} could not be packed");
    host.copy_in(&packed, "/root/packages.tar")?;
    // Several passes: python3 is unpacked only after python3-minimal is configured, and that only after python3.11-minimal; dpkg does
    // not sort its arguments by that. policy-rc.d keeps what is installed from being started (invoke-rc.d(8)).
    host.sh(r"printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
        && mkdir /root/debs && tar -xf /root/packages.tar -C /root/debs \
        && for pass in 1 2 3; do ! dpkg -i /root/debs/*.deb >&2 || break; done \
        && rm -r /root/debs /root/packages.tar /usr/sbin/policy-rc.d")?;
    Ok(())
}
