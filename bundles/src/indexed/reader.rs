//! The content of an entry as a reader, which is compared with its digest at the end.

use std::io::{self, Read, Write as _};

use super::{IndexedBundle, Sequence, put_back};
use crate::Hasher;
use crate::head::{ReadError, TarReader, compare};
use crate::list::Entry;
use crate::tar_layer::TarHeader;

impl IndexedBundle {
    /// Lets `look` read the content of `entry`, and compares all of it with its digest, also what `look` leaves.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when the file does not carry it. On any error, what `look` made of the content must be thrown away.
    pub fn read_through(&self, entry: &Entry, look: &mut dyn FnMut(&mut dyn Read)) -> Result<(), ReadError> {
        let mut tar = self.tar_at(entry)?;
        let header = TarHeader::of_entry(entry);
        let mut content = Content {
            left: header.size,
            header: &header,
            tar: &mut tar,
            hasher: Hasher::new(io::sink()),
            hashed: 0,
            error: None,
        };
        look(&mut content);
        let (error, (actual, _, _)) = content.finish();
        if let Some(error) = error {
            return Err(error);
        }
        tar.padding(&header)?;
        compare(entry, actual, tar.entry_offset())?;
        put_back(tar);
        Ok(())
    }
}

struct Content<'a, 'b> {
    tar: &'a mut TarReader<Sequence<'b>>,
    header: &'a TarHeader,
    /// Bytes of the content that were not read yet.
    left: u64,
    hasher: Hasher<io::Sink>,
    /// Bytes that are decoded, hashed and not read yet.
    hashed: usize,
    /// Why the content cannot be had.
    error: Option<ReadError>,
}

impl Content<'_, '_> {
    /// Decodes and hashes the next piece where all of the last one was read. `false` at the end.
    fn fill(&mut self) -> Result<bool, ReadError> {
        if self.left == 0 {
            return Ok(false);
        }
        if self.hashed == 0 {
            self.tar.decode_more(self.header)?;
            let piece = self.tar.unread(self.left);
            self.hasher.write_all(piece).expect("a hash takes all bytes");
            self.hashed = piece.len();
        }
        Ok(true)
    }

    fn consume(&mut self, count: usize) {
        self.tar.consume(count);
        self.hashed -= count;
        self.left -= count as u64;
    }

    /// Hashes what was not read. What went wrong, and the digest.
    fn finish(mut self) -> (Option<ReadError>, (crate::Digest, u64, io::Sink)) {
        while self.error.is_none() {
            match self.fill() {
                Ok(true) => self.consume(self.hashed),
                Ok(false) => break,
                Err(error) => self.error = Some(error),
            }
        }
        (self.error, self.hasher.finish())
    }
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.error.is_none()
            && let Err(error) = self.fill()
        {
            self.error = Some(error);
        }
        if self.error.is_some() {
            return Err(io::Error::other("the bundle cannot be read"));
        }
        let piece = &self.tar.unread(self.left)[..self.hashed];
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}
