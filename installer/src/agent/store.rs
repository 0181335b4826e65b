//! What a host keeps of what it was sent: kinstall itself, and its part of the bundle.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use fs_err as fs;
use kbundle_format::atomic_file::AtomicFile;
use kbundle_format::head::SignatureCheck;
use kbundle_format::stream::Carriage;
use kbundle_format::{BundleStream, Digest, Entry, IndexedBundle, Role};

use super::leader_link::LeaderLink;
use crate::trust::Trust;

/// Holds everything that was sent; a reset removes it together with kinstall's own directory.
pub const DIRECTORY: &str = "/var/lib/kinstall/agent";
/// The kinstall that was sent.
pub const PROGRAM: &str = "/var/lib/kinstall/agent/kinstall";
const BUNDLE: &str = "bundle.tar.zst";

/// Whether a host with these roles needs an entry.
#[must_use]
pub fn needs(roles: impl IntoIterator<Item = Role>, entry: &Entry) -> bool {
    roles.into_iter().any(|role| entry.roles.contains(&role))
}

/// Whether this host was sent a part of a bundle.
#[must_use]
pub fn is_kept() -> bool {
    Path::new(DIRECTORY).join(BUNDLE).is_file()
}

/// Opens the part of the bundle that this host holds.
pub fn open(trust: &Trust) -> anyhow::Result<IndexedBundle> {
    let path = Path::new(DIRECTORY).join(BUNDLE);
    IndexedBundle::open(&path, trust.check()).context("this host's part of the bundle was refused")
}

/// Whether this host holds every entry that these roles need of the bundle with this list.
///
/// Does not check signatures; [`open`] does.
pub fn holds(list: &Digest, roles: &[Role]) -> bool {
    let path = Path::new(DIRECTORY).join(BUNDLE);
    IndexedBundle::open(&path, SignatureCheck::Skipped).is_ok_and(|bundle| {
        let mut needed = bundle.list().entries.iter().filter(|entry| needs(roles.iter().copied(), entry));
        Digest::of(&bundle.head().list_bytes) == *list
            && bundle.check_layout().is_ok()
            && needed.all(|entry| bundle.carries(entry))
    })
}

/// Keeps the part of a bundle that comes on `input`, once all of it is verified.
pub fn receive(input: impl Read + Send + 'static, trust: &Trust, leader: &LeaderLink) -> anyhow::Result<()> {
    receive_into(Path::new(DIRECTORY), input, trust, leader)
}

fn receive_into(
    directory: &Path,
    input: impl Read + Send + 'static,
    trust: &Trust,
    leader: &LeaderLink,
) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    let copy = Arc::new(Mutex::new(AtomicFile::create(&directory.join(BUNDLE), 0o600)?));
    let tee = Tee { input, copy: Arc::clone(&copy) };
    let stream = BundleStream::open(tee, trust.check()).context("the bundle was refused")?.carriage(Carriage::Partial);
    let total = stream.list().size_bytes();
    stream.verify_rest(|done| leader.verified_so_far(done, total)).context("the bundle was refused")?;
    // The reading thread has seen the end of the input, and drops its reference as it ends.
    let copy = into_inner(copy)?;
    copy.commit().context("cannot keep the bundle")
}

/// Takes the file from the thread that wrote it and is about to end.
fn into_inner<T>(mut shared: Arc<Mutex<T>>) -> anyhow::Result<T> {
    for _ in 0..1000 {
        match Arc::try_unwrap(shared) {
            Ok(mutex) => return Ok(mutex.into_inner().unwrap_or_else(PoisonError::into_inner)),
            Err(still) => shared = still,
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bail!("the bundle was read to its end, and its reader has not stopped")
}

/// A reader that writes a copy of what it reads.
struct Tee<R> {
    input: R,
    copy: Arc<Mutex<AtomicFile>>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).write_all(&buffer[..count])?;
        Ok(count)
    }
}
