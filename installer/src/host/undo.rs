//! Undoing what the ledger has on record. Each change is undone by looking at what is there: a change that was never made,
//! or is undone already, is nothing to do, so that a reset cut off anywhere is finished by the next.

use std::io;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::chown;
use kbundle_format::atomic_file::AtomicFile;

use super::{Change, Command, Host, HostError, absent, marked};

impl Host {
    /// Undoes one change; `true` when there was something to do.
    pub fn undo(&self, change: &Change) -> Result<bool, HostError> {
        match change {
            Change::CreatedFile { path } => self.remove_file(path),
            Change::CreatedDirectory { path } => self.remove_empty_directory(path),
            Change::ClaimedTree { path } => self.remove_tree(path),
            Change::ReplacedFile { path, backup, mode, owner, group } => {
                self.restore(path, backup, *mode, (*owner, *group))
            }
            Change::EditedFile { path } => self.clean_file(path),
            Change::SystemUser { name } => self.remove_system_user(name),
            Change::Sysctl { key, was } => self.restore_sysctl(key, was),
            Change::SwapOff { area } => self.swap_on(area),
            Change::Unit { name, was_enabled, was_active } => self.restore_unit(name, *was_enabled, *was_active),
            Change::Module { name } => self.unload(name),
            Change::StepStarted { .. } | Change::StepDone { .. } => Ok(false),
        }
    }

    fn remove_file(&self, path: &str) -> Result<bool, HostError> {
        Ok(absent(fs::remove_file(self.path(path)), || format!("remove {path}"))?.is_some())
    }

    /// A directory that others have put something in stays: it is no longer ours alone.
    fn remove_empty_directory(&self, path: &str) -> Result<bool, HostError> {
        match fs::remove_dir(self.path(path)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tracing::warn!(path, "left in place, since others have files in it");
                Ok(false)
            }
            result => Ok(absent(result, || format!("remove directory {path}"))?.is_some()),
        }
    }

    fn remove_tree(&self, path: &str) -> Result<bool, HostError> {
        let target = self.path(path);
        let removed = match target.symlink_metadata() {
            Ok(found) if !found.is_dir() => fs::remove_file(target),
            _ => fs::remove_dir_all(target),
        };
        Ok(absent(removed, || format!("remove {path} and all in it"))?.is_some())
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
        // The setting goes with its kernel module, and an unknown former value cannot be put back.
        if was.is_empty() || now.as_deref().is_none_or(|now| now.trim() == was) {
            return Ok(false);
        }
        fs::write(self.path(&path), was).map_err(|source| HostError::File { act: format!("restore {key}"), source })?;
        Ok(true)
    }

    fn swap_on(&self, area: &str) -> Result<bool, HostError> {
        let in_use = crate::facts::kernel::swap_areas(&self.read_text("/proc/swaps")?.unwrap_or_default());
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
        // A module that others use by now stays.
        let unloaded = self.run_if_installed(&Command::new("modprobe", ["--remove", name]))?;
        Ok(unloaded.is_some_and(|output| output.code == Some(0)))
    }
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
