//! Snapshots of etcd: one file that holds the whole store at one moment.
//!
//! `etcdctl snapshot save` reads one from a running member into `NAME.part`, readable by root only, and renames it when it is complete. It
//! appends the SHA-256 digest of everything before, which [`check`] compares. Source: `client/v3/snapshot/v3_snapshot.go`
//! (`SaveWithVersion`) and `etcdutl/snapshot/v3_snapshot.go` (`copyAndVerifyDB`) of etcd, 3.5 and 3.6.

pub mod restore;

use std::io::{self, Read as _};
use std::net::IpAddr;

use anyhow::{Context as _, anyhow, bail};
use kbundle_format::{Digest, Hasher};

use super::members::connection_to;
use super::{ETCDCTL, layout};
use crate::host::{Command, Host};

/// The directory of snapshots that are taken before something changes.
pub const DIRECTORY: &str = "/var/lib/kinstall/etcd-snapshots";
/// The appended digest.
const DIGEST_BYTES: u64 = 32;
/// The store is written in pages, whose sizes are multiples of this.
const PAGE_BYTES: u64 = 512;

/// A complete snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSnapshot {
    /// Absolute path on the host.
    pub path: String,
    /// Its size in bytes, the appended digest included.
    pub size_bytes: u64,
    /// The digest of the store, as appended.
    pub store: Digest,
}

/// Takes a snapshot from the member at `address` into the file `path`, mode 0600, and checks it. A missing directory is created for root
/// only. An existing file at `path` is replaced when the new one is complete.
///
/// The host needs the credentials of its own member. If it is cut off, the file `path` with `.part` appended remains; the next snapshot
/// with the same path overwrites it.
pub fn take(host: &mut Host, address: IpAddr, path: &str) -> anyhow::Result<EtcdSnapshot> {
    take_at(host, &layout::client_url(address), path)
}

/// The same from the member that clients reach at `endpoint`.
pub fn take_at(host: &mut Host, endpoint: &str, path: &str) -> anyhow::Result<EtcdSnapshot> {
    if let Some((directory, _)) = path.rsplit_once('/') {
        host.make_directory(directory, 0o700)?;
    }
    // Without a limit: the time depends on the size of the store.
    let save = connection_to(endpoint).into_iter().chain(["snapshot", "save", path].map(str::to_owned));
    host.run(&Command::new(ETCDCTL, save)).with_context(|| format!("while taking a snapshot of etcd into {path}"))?;
    host.sync_file_system(path)?;
    check(host, path)
}

/// Checks that the file at `path` is a complete and unchanged snapshot.
///
/// # Errors
/// When it does not exist, is too short, ends in the middle, or has another digest than the appended one.
pub fn check(host: &Host, path: &str) -> anyhow::Result<EtcdSnapshot> {
    let size_bytes = host.size_of(path)?.with_context(|| format!("there is no snapshot at {path}"))?;
    let store_bytes = size_bytes.checked_sub(DIGEST_BYTES).filter(|size| *size > 0 && size % PAGE_BYTES == 0);
    let store_bytes = store_bytes.ok_or_else(|| {
        anyhow!("{path} is not a whole snapshot of etcd: its size is {size_bytes} bytes, without a digest")
    })?;
    let (found, appended) =
        digests(&mut host.open(path)?, store_bytes).with_context(|| format!("while reading {path}"))?;
    if found != appended {
        bail!("the snapshot {path} is damaged: its content has the digest {found}, and {appended} was written with it");
    }
    Ok(EtcdSnapshot { path: path.to_owned(), size_bytes, store: found })
}

/// The digest of the first `store_bytes`, and the appended digest.
fn digests(file: &mut impl io::Read, store_bytes: u64) -> io::Result<(Digest, Digest)> {
    let mut hasher = Hasher::new(io::sink());
    io::copy(&mut file.take(store_bytes), &mut hasher)?;
    let mut appended = [0; 32];
    file.read_exact(&mut appended)?;
    Ok((hasher.finish().0, Digest::from_bytes(appended)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use fs_err as fs;

    use super::*;
    use crate::fixture::bench::{Bench, FAILS};

    const PATH: &str = "/var/lib/kinstall/etcd/before.db";

    fn snapshot(store: &[u8]) -> Vec<u8> {
        [store, Digest::of(store).as_bytes()].concat()
    }

    /// Writes the content of the root's `store`, as etcdctl does.
    fn etcdctl(root: &std::path::Path, command: &Command) -> Option<String> {
        let path = command.arguments.last()?.trim_start_matches('/');
        let Ok(store) = fs::read(root.join("store")) else {
            return Some(format!("{FAILS}context deadline exceeded"));
        };
        fs::write(root.join(path), snapshot(&store)).unwrap();
        None
    }

    #[test]
    fn a_snapshot_is_taken_with_the_credentials_of_the_member_and_without_a_limit() {
        let bench = Bench::with_programs(etcdctl);
        bench.file("var/lib/kinstall/ledger.jsonl", "");
        bench.file("store", &"k".repeat(1024));
        let taken = take(&mut bench.host(), IpAddr::from([192, 0, 2, 1]), PATH).unwrap();
        assert_eq!((taken.path.as_str(), taken.size_bytes), (PATH, 1056));
        assert_eq!(
            bench.ran(),
            ["/usr/local/bin/etcdctl --endpoints=https://192.0.2.1:2379 --cacert=/etc/etcd/pki/ca.crt \
              --cert=/etc/etcd/pki/peer.crt --key=/etc/etcd/pki/peer.key snapshot save /var/lib/kinstall/etcd/before.db"]
        );
        let directory = fs::metadata(bench.path("var/lib/kinstall/etcd")).unwrap();
        assert_eq!(directory.permissions().mode() & 0o777, 0o700);
        fs::remove_file(bench.path("store")).unwrap();
        let error = take(&mut bench.host(), IpAddr::from([192, 0, 2, 1]), PATH).unwrap_err();
        assert!(format!("{error:#}").contains("while taking a snapshot of etcd into"), "{error:#}");
        check(&bench.host(), PATH).expect("the former one stays");
    }

    #[test]
    fn what_is_missing_cut_or_changed_is_no_snapshot() {
        let bench = Bench::new();
        let whole = snapshot(&[7; 4096]);
        let error_of = |content: &[u8]| {
            fs::create_dir_all(bench.path("var/lib/kinstall/etcd")).unwrap();
            fs::write(bench.path(PATH.trim_start_matches('/')), content).unwrap();
            check(&bench.host(), PATH).map_err(|error| error.to_string())
        };
        assert_eq!(error_of(&whole).unwrap().store, Digest::of(&[7; 4096]));
        insta::assert_snapshot!(error_of(&whole[..4096]).unwrap_err(), @"/var/lib/kinstall/etcd/before.db is not a whole snapshot of etcd: its size is 4096 bytes, without a digest");
        assert!(error_of(&[]).is_err() && error_of(&whole[4096..]).is_err());
        for position in [0, 4095, 4096, 4127] {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            assert!(error_of(&changed).unwrap_err().contains("is damaged"), "{position}");
        }
        fs::remove_file(bench.path(PATH.trim_start_matches('/'))).unwrap();
        assert!(check(&bench.host(), PATH).unwrap_err().to_string().contains("there is no snapshot"));
    }
}
