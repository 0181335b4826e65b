//! Writes a backup.

use std::io::{self, Read, Write};

use kbundle_format::{SignatureFile, SigningKey};

use super::list::BackupList;
use super::{LIST, SIGNATURE, Seal};

/// Streams a backup into `output`: the list, its signature, `files` in the order of the list, and the snapshot.
///
/// # Errors
/// Also when the size of `snapshot` is not the one in the list.
pub fn write<W: Write>(
    output: W,
    list: &BackupList,
    files: &[Vec<u8>],
    snapshot: impl Read,
    key: &SigningKey,
    seal: &Seal,
) -> io::Result<W> {
    let bytes = list.to_bytes();
    let mut tar = tar::Builder::new(seal.wrap(output)?);
    append(&mut tar, LIST, bytes.len() as u64, bytes.as_slice())?;
    let signature = SignatureFile::sign(&bytes, key).content;
    append(&mut tar, SIGNATURE, signature.len() as u64, signature.as_slice())?;
    for (entry, content) in list.entries.iter().zip(files) {
        append(&mut tar, &entry.path, entry.size_bytes, content.as_slice())?;
    }
    if let Some(entry) = list.entries.get(files.len()) {
        let mut counted = Counted { reader: snapshot.take(entry.size_bytes), bytes: 0 };
        append(&mut tar, &entry.path, entry.size_bytes, &mut counted)?;
        if counted.bytes != entry.size_bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot of etcd became shorter"));
        }
    }
    tar.into_inner()?.finish()
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, size_bytes: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size_bytes);
    header.set_mode(0o600);
    tar.append_data(&mut header, path, content)
}

/// Counts what is read: the tar would not notice content that is shorter than its header says.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
