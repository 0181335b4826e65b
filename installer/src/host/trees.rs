//! Directories with all in them: copies, owners and sizes.

use std::io;
use std::os::unix::fs::PermissionsExt;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::{Host, HostError, Owner, ledger};

impl Host {
    /// Copies a directory of a claimed tree with all in it to another place there, where nothing is yet, for its owner alone. Links and
    /// special files have no place in it.
    pub fn copy_claimed(&self, from: &str, to: &str, owner: Owner) -> Result<(), HostError> {
        if let Some(path) = [from, to].into_iter().find(|path| !self.ledger().claims(path)) {
            return Err(HostError::NotOurs { path: path.to_owned() });
        }
        self.copy_tree(from, to)?;
        self.own_tree(to, owner)?;
        self.sync_file_system(to)
    }

    fn copy_tree(&self, from: &str, to: &str) -> Result<(), HostError> {
        let failed = |source| HostError::File { act: format!("copy {from} to {to}"), source };
        if !self.is_directory(from) {
            return fs::copy(self.path(from), self.path(to)).map(drop).map_err(failed);
        }
        let target = self.path(to);
        let made =
            fs::create_dir(&target).and_then(|()| fs::set_permissions(&target, PermissionsExt::from_mode(0o700)));
        made.map_err(failed)?;
        for name in self.names_in(from)? {
            self.copy_tree(&format!("{from}/{name}"), &format!("{to}/{name}"))?;
        }
        Ok(())
    }

    /// Gives a directory that kinstall made, with all in it, to a user and group.
    pub fn own_tree(&self, path: &str, owner: Owner) -> Result<(), HostError> {
        self.own(path, owner)?;
        if self.is_directory(path) {
            for name in self.names_in(path)? {
                self.own_tree(&format!("{path}/{name}"), owner)?;
            }
        }
        Ok(())
    }

    /// The bytes of all files at or below `path`; 0 where nothing is there.
    pub fn bytes_below(&self, path: &str) -> Result<u64, HostError> {
        if !self.is_directory(path) {
            return Ok(self.size_of(path)?.unwrap_or_default());
        }
        let mut bytes = 0;
        for name in self.names_in(path)? {
            bytes += self.bytes_below(&format!("{path}/{name}"))?;
        }
        Ok(bytes)
    }

    /// Copies a file under this name into kinstall's own folder, for root alone, while `look` looks at the copy.
    pub fn look_at_copy<T>(
        &self,
        path: &str,
        name: &str,
        look: impl FnOnce(&str) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let copy = format!("{}/{name}", ledger::DIRECTORY);
        // What a look left that was cut off.
        self.remove_record(name)?;
        let copied = self.copy_for_root(path, &copy);
        let found = copied.map_err(|source| HostError::File { act: format!("copy {path} to {copy}"), source });
        let found = found.and_then(|()| look(&copy));
        self.remove_record(name)?;
        found
    }

    fn copy_for_root(&self, from: &str, to: &str) -> io::Result<()> {
        let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(to))?;
        io::copy(&mut fs::File::open(self.path(from))?, &mut copy).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    fn this_user() -> Owner {
        Owner { user: nix::unistd::geteuid().as_raw(), group: nix::unistd::getegid().as_raw() }
    }

    #[test]
    fn a_claimed_directory_is_copied_with_all_in_it_and_no_other_one() {
        let bench = Bench::new();
        let mut host = bench.host();
        fs::create_dir_all(bench.path("var/lib")).unwrap();
        host.claim_tree("/var/lib/etcd").unwrap();
        bench.file("var/lib/etcd/kept/snap/db", "data");
        bench.file("var/lib/etcd/kept/wal/0.wal", "log of writes");
        host.copy_claimed("/var/lib/etcd/kept", "/var/lib/etcd/member", this_user()).unwrap();
        assert_eq!(bench.read("var/lib/etcd/member/snap/db"), "data");
        assert_eq!(host.bytes_below("/var/lib/etcd/member").unwrap(), 17);
        let mode = fs::metadata(bench.path("var/lib/etcd/member/wal")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let error = host.copy_claimed("/var/lib/etcd/kept", "/srv/member", this_user()).unwrap_err();
        assert!(matches!(error, HostError::NotOurs { path } if path == "/srv/member"));
    }

    #[test]
    fn a_copy_that_is_looked_at_is_for_root_and_does_not_stay() {
        let bench = Bench::new();
        bench.file("var/lib/kinstall/ledger.jsonl", "");
        bench.file("srv/db", "data");
        let host = bench.host();
        let look = |copy: &str| Ok((host.read_text(copy)?, host.permissions(copy)?));
        let found = host.look_at_copy("/srv/db", "looked-at.db", look).unwrap();
        assert_eq!(found, (Some("data".to_owned()), Some(0o600)));
        assert!(!bench.path("var/lib/kinstall/looked-at.db").exists());
        assert!(host.look_at_copy("/srv/absent", "looked-at.db", |_| Ok(())).is_err());
    }
}
