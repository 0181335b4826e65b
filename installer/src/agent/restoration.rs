//! The beginning of a restoration on this host, which another kinstall leads.

use std::io::{Read, Write};

use anyhow::{Context as _, bail};
use kbundle_format::Hasher;

use super::leader_link::LeaderLink;
use super::questions::BeginRestoration;
use super::work::wait_for_lock;
use crate::backup::BackupList;
use crate::host::Host;
use crate::restoration;

/// Records which backup this host is set up from, and keeps the snapshot that comes on `input`, if it gets one.
pub fn begin(asked: &BeginRestoration, input: impl Read, leader: &LeaderLink) -> anyhow::Result<()> {
    let _lock = wait_for_lock(leader)?;
    let BeginRestoration { list, share } = asked;
    let mut host = Host::local()?;
    restoration::begin(&mut host, list, *share, |snapshot| {
        receive(list, input, snapshot, |done, total| leader.verified_so_far(done, total))
    })
}

/// Copies the snapshot of the backup with this list, and verifies it on the way.
fn receive(
    list: &BackupList,
    input: impl Read,
    snapshot: &mut dyn Write,
    mut so_far: impl FnMut(u64, u64),
) -> anyhow::Result<()> {
    let entry = list.snapshot();
    let mut input = input.take(entry.size_bytes);
    let mut hasher = Hasher::new(snapshot);
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let count = input.read(&mut buffer).context("cannot receive the snapshot of etcd")?;
        if count == 0 {
            break;
        }
        hasher.write_all(&buffer[..count]).context("cannot keep the snapshot of etcd")?;
        done += count as u64;
        so_far(done, entry.size_bytes);
    }
    let (digest, size_bytes, _) = hasher.finish();
    if size_bytes != entry.size_bytes {
        bail!("the snapshot of etcd ended after {size_bytes} of {} bytes", entry.size_bytes);
    }
    if digest != entry.digest {
        bail!(
            "the snapshot of etcd that arrived is not the backup's: its digest is {digest} instead of {}",
            entry.digest
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::SNAPSHOT;
    use crate::backup::list::{BackupEntry, SCHEMA};
    use crate::fixture;
    use kbundle_format::Digest;

    /// The bytes that are kept of `sent`, and the progress that was reported last.
    fn received(sent: &[u8]) -> Result<(Vec<u8>, (u64, u64)), String> {
        let list = BackupList {
            schema: SCHEMA,
            created: "2026-11-27T12:00:00Z".parse().unwrap(),
            cluster: "plant-7".into(),
            host: "cp1".into(),
            kubernetes_version: fixture::list("1.36.3").kubernetes_version,
            etcd_version: "3.6.8".into(),
            bundle: Digest::of(b"list"),
            entries: vec![BackupEntry::of(SNAPSHOT, b"snapshot")],
        };
        let (mut kept, mut told) = (Vec::new(), (0, 0));
        receive(&list, sent, &mut kept, |done, total| told = (done, total)).map_err(|error| error.to_string())?;
        Ok((kept, told))
    }

    #[test]
    fn only_the_whole_snapshot_of_the_backup_is_kept() {
        assert_eq!(received(b"snapshot and more"), Ok((b"snapshot".to_vec(), (8, 8))));
        assert_eq!(received(b"snap").unwrap_err(), "the snapshot of etcd ended after 4 of 8 bytes");
        assert!(received(b"another!").unwrap_err().contains("is not the backup's"));
    }
}
