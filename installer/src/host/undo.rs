//! Undoes what is on the ledger. Each undo looks at what is there: a change that was never made, or is undone already, needs nothing. So if
//! a reset is cut off anywhere, the next one finishes it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::chown;
use kbundle_format::atomic_file::AtomicFile;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::{Change, Command, Host, HostError, absent, marked};

impl Host {
    /// Undoes one change; `true` if there was something to do.
    pub fn undo(&self, change: &Change) -> Result<bool, HostError> {
        match change {
            Change::CreatedFile { path } => self.delete_file(path),
            Change::CreatedDirectory { path } => self.remove_empty_directory(path),
            Change::ClaimedTree { path } => self.remove_tree(path),
            Change::ClaimedContents { path, kept } => self.remove_contents(path, kept),
            Change::ReplacedFile { path, backup, mode, owner, group } => {
                self.restore(path, backup, *mode, (*owner, *group))
            }
            Change::EditedFile { path } => self.clean_file(path),
            Change::SystemUser { name } => self.remove_system_user(name),
            Change::Sysctl { key, was } => self.restore_sysctl(key, was),
            Change::SysctlOfOthers { key, was, theirs } => self.take_back_sysctl(key, was, theirs),
            Change::MountOfOthers { path } => self.unmount(path),
            Change::SwapOff { area } => self.swap_on(area),
            Change::Unit { name, was_enabled, was_active } => self.restore_unit(name, *was_enabled, *was_active),
            Change::Module { name } => self.unload(name),
            Change::StepStarted { .. } | Change::StepDone { .. } => Ok(false),
        }
    }

    /// Lazily (`MNT_DETACH`): a process that still uses the mount does not stop the reset.
    pub(crate) fn unmount(&self, path: &str) -> Result<bool, HostError> {
        match umount2(self.path(path).as_path(), MntFlags::MNT_DETACH) {
            Ok(()) => Ok(true),
            // Nothing is mounted there, or the mount went together with one below it, or with its namespace.
            Err(Errno::EINVAL | Errno::ENOENT) => Ok(false),
            Err(errno) => Err(HostError::File { act: format!("unmount {path}"), source: errno.into() }),
        }
    }

    pub(super) fn delete_file(&self, path: &str) -> Result<bool, HostError> {
        Ok(absent(fs::remove_file(self.path(path)), || format!("remove {path}"))?.is_some())
    }

    /// A directory stays if others have put something into it: it is no longer kinstall's alone.
    fn remove_empty_directory(&self, path: &str) -> Result<bool, HostError> {
        match fs::remove_dir(self.path(path)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tracing::warn!(path, "left a folder in which others have files");
                Ok(false)
            }
            result => Ok(absent(result, || format!("remove directory {path}"))?.is_some()),
        }
    }

    /// Removes a file or directory with everything in it; `true` if there was one.
    pub(super) fn remove_tree(&self, path: &str) -> Result<bool, HostError> {
        let target = self.path(path);
        let removed = match target.symlink_metadata() {
            Ok(found) if !found.is_dir() => fs::remove_file(target),
            _ => fs::remove_dir_all(target),
        };
        Ok(absent(removed, || format!("remove {path} and all in it"))?.is_some())
    }

    fn remove_contents(&self, path: &str, kept: &BTreeSet<PathBuf>) -> Result<bool, HostError> {
        let removed = remove_all_but(kept, &self.path(path), Path::new(""));
        Ok(absent(removed, || format!("empty {path}"))?.unwrap_or(false))
    }

    fn restore(&self, path: &str, backup: &str, mode: u32, owner: (u32, u32)) -> Result<bool, HostError> {
        let copy = self.ledger().backup_path(backup);
        restore_file(&copy, &self.path(path), mode, owner)
            .map_err(|source| HostError::File { act: format!("restore {path}"), source })?;
        Ok(true)
    }

    fn clean_file(&self, path: &str) -> Result<bool, HostError> {
        let Some(text) = self.read_text(path)? else { return Ok(false) };
        let clean = marked::clean(&text);
        if clean == text {
            return Ok(false);
        }
        self.rewrite(path, &clean)?;
        Ok(true)
    }

    fn restore_sysctl(&self, key: &str, was: &str) -> Result<bool, HostError> {
        let path = format!("/proc/sys/{key}");
        let now = self.read_text(&path)?;
        // The setting is gone with its kernel module, or the former value is unknown and cannot be restored.
        if was.is_empty() || now.as_deref().is_none_or(|now| now.trim() == was) {
            return Ok(false);
        }
        fs::write(self.path(&path), was).map_err(|source| HostError::File { act: format!("restore {key}"), source })?;
        Ok(true)
    }

    /// Restores a setting that still has the value of the cluster's program. Somebody has chosen any other value since, so it stays.
    fn take_back_sysctl(&self, key: &str, was: &str, theirs: &str) -> Result<bool, HostError> {
        let now = self.read_text(&format!("/proc/sys/{key}"))?;
        match now.as_deref().map(str::trim) {
            Some(now) if now == theirs => self.restore_sysctl(key, was),
            Some(now) if now != was => {
                tracing::warn!(key, now, was, "left a kernel setting that was changed after the installation");
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn swap_on(&self, area: &str) -> Result<bool, HostError> {
        let in_use = crate::procfs::swap_areas(&self.read_text("/proc/swaps")?.unwrap_or_default());
        if in_use.iter().any(|found| found == area) || !self.exists(area) {
            return Ok(false);
        }
        self.run(&Command::new("swapon", [area]))?;
        Ok(true)
    }

    fn restore_unit(&self, name: &str, was_enabled: bool, was_active: bool) -> Result<bool, HostError> {
        let Some(state) = self.unit_state(name)? else { return Ok(false) };
        let mut acts = Vec::new();
        if state.is_enabled() != was_enabled {
            acts.push(if was_enabled { "enable" } else { "disable" });
        }
        if state.is_active() != was_active {
            acts.push(if was_active { "start" } else { "stop" });
        }
        for act in &acts {
            self.run(&Command::new("systemctl", [act, name]))?;
        }
        Ok(!acts.is_empty())
    }

    fn unload(&self, name: &str) -> Result<bool, HostError> {
        if !self.exists(&format!("/sys/module/{name}")) {
            return Ok(false);
        }
        // A module that others use by now stays loaded.
        let unloaded = self.run_if_installed(&Command::new("modprobe", ["--remove", name]))?;
        Ok(unloaded.is_some_and(|output| output.code == Some(0)))
    }
}

/// Removes everything below `root` except the directories in `kept`; `inside` is the place below it. `true` if there was anything.
fn remove_all_but(kept: &BTreeSet<PathBuf>, root: &Path, inside: &Path) -> io::Result<bool> {
    let mut removed = false;
    for entry in fs::read_dir(root.join(inside))? {
        let entry = entry?;
        let relative = inside.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
            removed = true;
        } else if kept.contains(&relative) {
            removed |= remove_all_but(kept, root, &relative)?;
        } else {
            fs::remove_dir_all(entry.path())?;
            removed = true;
        }
    }
    Ok(removed)
}

/// Puts a copy in place, with the owner, the mode and the time that the file had.
fn restore_file(copy: &Path, target: &Path, mode: u32, (owner, group): (u32, u32)) -> io::Result<()> {
    let mut source = fs::File::open(copy)?;
    let mut file = AtomicFile::create(target, mode)?;
    io::copy(&mut source, &mut file)?;
    file.commit()?;
    chown(target, Some(owner), Some(group))?;
    fs::OpenOptions::new().append(true).open(target)?.file().set_modified(fs::metadata(copy)?.modified()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::{Ledger, SystemCommands};
    use super::*;

    /// Every path below the root except kinstall's own, with its mode, and with its content if it is a file.
    fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
        let mut found = BTreeMap::new();
        let mut rest = vec![root.to_owned()];
        while let Some(directory) = rest.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with("var/lib/kinstall") {
                    continue;
                }
                let metadata = path.symlink_metadata().unwrap();
                if metadata.is_dir() {
                    rest.push(path.clone());
                }
                let content = metadata.is_file().then(|| fs::read(&path).unwrap());
                found.insert(path, (metadata.permissions().mode(), content));
            }
        }
        found
    }

    fn host(root: &Path) -> Host {
        Host::under(root, Box::new(SystemCommands)).unwrap()
    }

    /// Undoes the whole ledger, the newest change first, and returns how many changes had something to undo.
    fn undo_all(host: &Host) -> usize {
        host.ledger().changes().iter().rev().filter(|change| host.undo(change).unwrap()).count()
    }

    fn prepared() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc/containerd", "var/lib/kubelet/pods", "var/lib/etcd"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(root.path().join("etc/containerd/config.toml"), "version = 1\n").unwrap();
        fs::write(root.path().join("var/lib/etcd/someones"), "data").unwrap();
        fs::set_permissions(root.path().join("etc/containerd/config.toml"), PermissionsExt::from_mode(0o640)).unwrap();
        root
    }

    fn change(host: &mut Host) {
        host.write_file("/etc/containerd/config.toml", b"version = 2\n", 0o644).unwrap();
        host.write_file("/etc/containerd/config.toml", b"version = 3\n", 0o644).unwrap();
        host.write_file("/etc/new/deep/file", b"x", 0o600).unwrap();
        host.edit_file("/etc/hosts", &marked::with_block("127.0.0.1 localhost\n", &["10.0.0.5 api".into()])).unwrap();
        host.make_link("/etc/masked.swap", "/dev/null").unwrap();
        for tree in ["/var/lib/kubelet", "/var/lib/etcd", "/var/lib/containerd", "/etc/new/too/claimed"] {
            host.claim_tree(tree).unwrap();
        }
        // Beside a claimed tree, in a folder that is new as well.
        host.write_file("/etc/new/too/file", b"x", 0o600).unwrap();
        for file in [
            "var/lib/kubelet/pods/1/volume",
            "var/lib/kubelet/config.yaml",
            "var/lib/containerd/io/db",
            "etc/new/too/claimed/by-others",
        ] {
            let path = host.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "made by others").unwrap();
        }
    }

    #[test]
    fn a_host_is_what_it_was_and_a_repeat_finds_nothing_to_do() {
        let root = prepared();
        let before = tree(root.path());
        let time = fs::metadata(root.path().join("etc/containerd/config.toml")).unwrap().mtime();
        change(&mut host(root.path()));
        assert_ne!(tree(root.path()), before);

        let again = host(root.path());
        assert!(undo_all(&again) > 0);
        assert_eq!(tree(root.path()), before);
        assert_eq!(fs::metadata(root.path().join("etc/containerd/config.toml")).unwrap().mtime(), time);
        undo_all(&again);
        assert_eq!(tree(root.path()), before);
        again.forget().unwrap();
        assert!(!root.path().join("var/lib/kinstall").exists());
    }

    #[test]
    fn a_reset_cut_off_after_any_change_is_finished_by_the_next() {
        let changes = {
            let root = prepared();
            let mut host = host(root.path());
            change(&mut host);
            host.ledger().changes().len()
        };
        for done in 0..changes {
            let root = prepared();
            let before = tree(root.path());
            change(&mut host(root.path()));
            let cut_off = host(root.path());
            for change in cut_off.ledger().changes().iter().rev().take(done) {
                cut_off.undo(change).unwrap();
            }
            undo_all(&host(root.path()));
            assert_eq!(tree(root.path()), before, "cut off after {done} changes");
        }
    }

    #[test]
    fn what_was_recorded_and_never_done_is_nothing_to_undo() {
        let root = prepared();
        let before = tree(root.path());
        let mut host = host(root.path());
        for change in [
            Change::CreatedFile { path: "/etc/never".into() },
            Change::CreatedDirectory { path: "/etc/no/where".into() },
            Change::ClaimedTree { path: "/var/lib/never".into() },
            Change::EditedFile { path: "/etc/hosts".into() },
            Change::Sysctl { key: "net/ipv4/ip_forward".into(), was: "0".into() },
            Change::StepDone { step: "swap".into() },
        ] {
            host.ledger_mut().record(change).unwrap();
        }
        assert_eq!(undo_all(&host), 0);
        assert_eq!(tree(root.path()), before);
    }

    #[test]
    fn a_setting_of_others_is_taken_back_unless_somebody_chose_another_since() {
        for (now, after) in [("1", "0"), ("0", "0"), ("2", "2")] {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join("proc/sys/net/ipv4/conf/all/arp_ignore");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "0\n").unwrap();
            let mut host = host(root.path());
            host.note_sysctl("net.ipv4.conf.all.arp_ignore", "1").unwrap();
            host.note_sysctl("net.ipv4.vs.conntrack", "1").unwrap();
            fs::write(&file, now).unwrap();
            // A later run finds the value changed; the first record counts.
            host.note_sysctl("net.ipv4.conf.all.arp_ignore", "1").unwrap();
            assert_eq!(host.ledger().changes().len(), 1);
            undo_all(&host);
            assert_eq!(fs::read_to_string(&file).unwrap().trim(), after, "from {now}");
        }
    }

    #[test]
    fn a_record_half_erased_is_no_record() {
        let root = prepared();
        let mut host = host(root.path());
        change(&mut host);
        let directory = host.path(super::super::ledger::DIRECTORY);
        fs::remove_file(directory.join("ledger.jsonl")).unwrap();
        assert!(directory.join("backup").exists());
        let reopened = Ledger::open(&directory).unwrap();
        assert!(reopened.changes().is_empty());
        reopened.erase().unwrap();
        assert!(!directory.exists());
    }
}
