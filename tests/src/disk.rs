//! The disk that a lab's hosts share: a file system of their own in a sparse file, so that they see room enough and not how full this
//! machine's disk is. The kubelet deletes images and turns pods away when less than 15 % of its disk is free.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fs_err as fs;

use crate::command::run;
use crate::launch::wait_until;

/// What the hosts may write in all, each. Only what they write is taken from this machine.
const BYTES_PER_HOST: u64 = 16 << 30;

/// Makes the file system in `image` and mounts it at `mount_point`.
pub(crate) fn create(image: &Path, mount_point: &Path, hosts: usize) -> Result<()> {
    fs::create_dir_all(mount_point)?;
    let file = fs::File::create(image)?;
    file.set_len(BYTES_PER_HOST * u64::try_from(hosts)?)?;
    let (image, mount_point) = (image.display(), mount_point.display());
    run(&format!("mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard {image}"))?;
    // Space that the hosts free is returned to this machine. A lab's power cut does not affect this machine's kernel, so nothing is gained
    // by waiting for its disk, and much is lost: etcd's members would wait for other work on this machine.
    run(&format!("mount -o loop,discard,noatime,barrier=0 {image} {mount_point}"))?;
    Ok(())
}

/// Unmounts and removes what [`create`] made; it is not an error that some of it is gone.
pub(crate) fn remove(image: &Path, mount_point: &Path) -> Result<()> {
    let words = format!("umount {}", mount_point.display());
    wait_until(Duration::from_secs(10), || !is_mounted(mount_point) || run(&words).is_ok())
        .with_context(|| format!("cannot unmount {}", mount_point.display()))?;
    if mount_point.exists() {
        fs::remove_dir_all(mount_point)?;
    }
    if image.exists() {
        fs::remove_file(image)?;
    }
    Ok(())
}

fn is_mounted(mount_point: &Path) -> bool {
    run(&format!("mountpoint -q {}", mount_point.display())).is_ok()
}
