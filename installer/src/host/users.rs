//! System users: lines in the files that passwd(5), shadow(5) and group(5) describe.
//!
//! The lines are written here and not by `useradd`: it leaves copies of the files behind, so that `reset` could not restore the host.
//! Undoing removes kinstall's lines and keeps what others have written since.

use std::collections::BTreeSet;

use fs_err as fs;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{Change, Host, HostError, Owner, absent};

/// The files with a line for each user or group; the first field is the name.
const FILES: [&str; 4] = ["/etc/group", "/etc/gshadow", "/etc/shadow", "/etc/passwd"];
/// Programs that change these files hold this lock (lckpwdf(3)).
const LOCK: &str = "/etc/.pwd.lock";
/// The range from which distributions take ids of system users, from the highest down (`SYS_UID_MIN` and `SYS_UID_MAX` of login.defs(5)).
const IDS: std::ops::RangeInclusive<u32> = 201..=999;

impl Host {
    /// The ids of a user in `/etc/passwd`; users of other sources (LDAP) are not found.
    pub fn user(&self, name: &str) -> Result<Option<Owner>, HostError> {
        Ok(read_ids(&self.read_text("/etc/passwd")?.unwrap_or_default(), name))
    }

    /// The id of a group by `/etc/group`.
    pub fn group(&self, name: &str) -> Result<Option<u32>, HostError> {
        let text = self.read_text("/etc/group")?.unwrap_or_default();
        let line = text.lines().find(|line| is_line_of(line, name));
        Ok(line.and_then(|line| line.split(':').nth(2)?.parse().ok()))
    }

    /// Makes a user and a group of that name, if they do not exist. Nobody can log in as this user.
    pub fn make_system_user(&mut self, name: &str, home: &str) -> Result<Owner, HostError> {
        if let Some(owner) = self.user(name)? {
            return Ok(owner);
        }
        let change = Change::SystemUser { name: name.to_owned() };
        let text = |path| Ok::<_, HostError>(self.read_text(path)?.unwrap_or_default());
        if !self.ledger().changes().contains(&change) && has_line(&text("/etc/group")?, name) {
            return Err(HostError::GroupTaken { name: name.to_owned() });
        }
        self.ledger_mut().record(change)?;
        let _lock = self.lock_users()?;
        let text = |path| Ok::<_, HostError>(self.read_text(path)?.unwrap_or_default());
        let id = free_id(&text("/etc/passwd")?, &text("/etc/group")?, name)
            .ok_or_else(|| HostError::NoFreeUserId { name: name.to_owned() })?;
        for path in FILES {
            let line = match path {
                "/etc/passwd" => format!("{name}:x:{id}:{id}::{home}:/usr/sbin/nologin\n"),
                "/etc/group" => format!("{name}:x:{id}:\n"),
                "/etc/shadow" => format!("{name}:!*:::::::\n"),
                _ => format!("{name}:!*::\n"),
            };
            // A run that was cut off may have changed only some of the files. Not every system has gshadow.
            if let Some(text) = self.read_text(path)?.filter(|text| !has_line(text, name)) {
                let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                self.rewrite(path, &format!("{text}{gap}{line}"))?;
            }
        }
        Ok(Owner { user: id, group: id })
    }

    /// Removes the lines of a user and group of that name.
    pub(super) fn remove_system_user(&self, name: &str) -> Result<bool, HostError> {
        let _lock = self.lock_users()?;
        let mut changed = false;
        for path in FILES.iter().rev() {
            if let Some(text) = self.read_text(path)?.filter(|text| has_line(text, name)) {
                let others = text.split_inclusive('\n').filter(|line| !is_line_of(line, name));
                self.rewrite(path, &others.collect::<String>())?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Locks out other programs that change users, until the file is closed. A host without the lock file has no such programs.
    fn lock_users(&self) -> Result<Option<fs::File>, HostError> {
        let act = || format!("lock {LOCK}");
        let opened = fs::OpenOptions::new().write(true).open(self.path(LOCK));
        let Some(file) = absent(opened, act)? else { return Ok(None) };
        let kind = libc::c_short::try_from(libc::F_WRLCK).expect("the kernel's own field has this type");
        let whole = libc::flock { l_type: kind, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        fcntl(&file, FcntlArg::F_SETLKW(&whole))
            .map_err(|error| HostError::File { act: act(), source: error.into() })?;
        Ok(Some(file))
    }
}

fn is_line_of(line: &str, name: &str) -> bool {
    line.split(':').next() == Some(name)
}

fn has_line(text: &str, name: &str) -> bool {
    text.lines().any(|line| is_line_of(line, name))
}

/// Reads the ids of a user out of `/etc/passwd`.
fn read_ids(passwd: &str, name: &str) -> Option<Owner> {
    let line = passwd.lines().find(|line| is_line_of(line, name))?;
    let mut fields = line.split(':').skip(2);
    Some(Owner { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

/// The id of the group of that name if a run that was cut off made it; else the highest id that no user and no group has.
fn free_id(passwd: &str, group: &str, name: &str) -> Option<u32> {
    let id = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
    if let Some(line) = group.lines().find(|line| is_line_of(line, name)) {
        return id(line);
    }
    let taken: BTreeSet<u32> = passwd.lines().chain(group.lines()).filter_map(id).collect();
    IDS.rev().find(|id| !taken.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemCommands;

    const BEFORE: [(&str, &str); 3] = [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsystemd-x:x:998:998::/:/usr/sbin/nologin\n"),
        ("etc/group", "root:x:0:\netcd-admins:x:999:\n"),
        ("etc/shadow", "root:*:1:0:99999:7:::\n"),
    ];

    fn host() -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        for (path, text) in BEFORE {
            fs::write(root.path().join(path), text).unwrap();
        }
        let host = Host::under(root.path(), Box::new(SystemCommands)).unwrap();
        (root, host)
    }

    #[test]
    fn a_user_is_made_once_and_leaves_nothing_behind() {
        let (root, mut host) = host();
        let owner = host.make_system_user("etcd", "/var/lib/etcd").unwrap();
        assert_eq!(owner, Owner { user: 997, group: 997 });
        assert_eq!(host.make_system_user("etcd", "/var/lib/etcd").unwrap(), owner);
        let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
        assert!(passwd.ends_with("\netcd:x:997:997::/var/lib/etcd:/usr/sbin/nologin\n"), "{passwd}");

        for change in host.ledger().changes().to_vec() {
            host.undo(&change).unwrap();
        }
        for (path, text) in BEFORE {
            assert_eq!(fs::read_to_string(root.path().join(path)).unwrap(), text);
        }
        assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), BEFORE.len());
    }

    #[test]
    fn a_user_that_was_half_made_is_completed() {
        let (root, mut host) = host();
        host.ledger_mut().record(Change::SystemUser { name: "etcd".into() }).unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\netcd:x:321:\n").unwrap();
        assert_eq!(host.make_system_user("etcd", "/").unwrap(), Owner { user: 321, group: 321 });
        assert_eq!(fs::read_to_string(root.path().join("etc/group")).unwrap(), "root:x:0:\netcd:x:321:\n");
    }

    #[test]
    fn a_group_of_others_is_not_taken_over() {
        let (_root, mut host) = host();
        let error = host.make_system_user("etcd-admins", "/").unwrap_err();
        assert!(matches!(error, HostError::GroupTaken { name } if name == "etcd-admins"));
    }
}
