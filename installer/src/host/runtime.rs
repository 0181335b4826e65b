//! Removes and sets what programs of the cluster leave in the file systems of the kernel and systemd. Nothing there outlives a boot, and
//! those programs make it, so it is not on the ledger. Files on disks are removed only by [`super::ledger`].

use std::io::{self, Write as _};

use fs_err as fs;

use super::{Host, HostError, absent};

/// The mount points of such file systems.
const PLACES: [&str; 2] = ["/run/", "/sys/fs/cgroup/"];

impl Host {
    /// Removes a file, or a directory with everything in it; `true` if there was one.
    pub fn remove_runtime(&self, path: &str) -> Result<bool, HostError> {
        check_place(path)?;
        self.remove_tree(path)
    }

    /// Removes a directory if it is empty; `false` if it is not empty, is in use, or does not exist.
    pub fn remove_runtime_directory(&self, path: &str) -> Result<bool, HostError> {
        check_place(path)?;
        match fs::remove_dir(self.path(path)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy) => {
                Ok(false)
            }
            result => Ok(absent(result, || format!("remove directory {path}"))?.is_some()),
        }
    }

    /// Writes into a file that the kernel made; `false` if it is gone.
    pub fn write_runtime(&self, path: &str, content: &str) -> Result<bool, HostError> {
        check_place(path)?;
        let opened = fs::OpenOptions::new().write(true).open(self.path(path));
        let written = opened.and_then(|mut file| file.write_all(content.as_bytes()));
        Ok(absent(written, || format!("write {path}"))?.is_some())
    }
}

fn check_place(path: &str) -> Result<(), HostError> {
    let allowed = PLACES.iter().any(|place| path.starts_with(place)) && !path.split('/').any(|part| part == "..");
    if allowed { Ok(()) } else { Err(HostError::NotRuntime { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    #[test]
    fn nothing_on_a_disk_is_removed() {
        let bench = Bench::new();
        bench.file("etc/kubernetes/admin.conf", "");
        bench.file("run/netns/cni-1", "");
        let host = bench.host();
        for path in ["/etc/kubernetes/admin.conf", "/run/../etc/kubernetes/admin.conf", "/running/x"] {
            assert!(matches!(host.remove_runtime(path), Err(HostError::NotRuntime { .. })), "{path}");
        }
        assert!(bench.path("etc/kubernetes/admin.conf").exists());
        assert!(!host.remove_runtime_directory("/run/netns").unwrap(), "it is not empty");
        assert!(host.remove_runtime("/run/netns/cni-1").unwrap() && !host.remove_runtime("/run/netns/cni-1").unwrap());
        assert!(host.remove_runtime_directory("/run/netns").unwrap());
    }
}
