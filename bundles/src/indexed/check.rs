//! The check of one entry, step by step, so that a thread can check two entries at the same time.

use super::{IndexedBundle, Sequence, put_back};
use crate::head::{ReadError, TarReader, compare};
use crate::list::Entry;
use crate::sha256::{self, Message};
use crate::tar_layer::TarHeader;

/// An entry that is being decoded and hashed.
pub(crate) struct EntryCheck<'a> {
    entry: &'a Entry,
    header: TarHeader,
    tar: TarReader<Sequence<'a>>,
    message: Message,
    /// Bytes of content that are not hashed yet.
    left: u64,
}

impl<'a> EntryCheck<'a> {
    /// Begins a check with nothing hashed.
    pub fn begin(bundle: &'a IndexedBundle, entry: &'a Entry) -> Result<Self, ReadError> {
        let (header, tar) = (TarHeader::of_entry(entry), bundle.tar_at(entry)?);
        Ok(Self { entry, header, tar, message: Message::new(), left: entry.size })
    }

    /// The entry to check.
    pub fn entry(&self) -> &'a Entry {
        self.entry
    }

    /// Decodes until there is something to hash; `false` when all of the content was hashed.
    pub fn decode(&mut self) -> Result<bool, ReadError> {
        if self.left == 0 {
            return Ok(false);
        }
        self.tar.decode_more(&self.header)?;
        Ok(true)
    }

    /// Hashes the decoded bytes, and returns their number.
    pub fn hash(&mut self) -> u64 {
        let piece = self.tar.unread(self.left);
        self.message.update(piece);
        let count = piece.len();
        self.advance(count)
    }

    /// Hashes the same number of bytes of both entries, until the decoded bytes of one of them are used up. Returns the number for both
    /// together.
    pub fn hash_pair([one, other]: [&mut Self; 2]) -> u64 {
        let pieces = [one.tar.unread(one.left), other.tar.unread(other.left)];
        let count = pieces[0].len().min(pieces[1].len());
        sha256::update_pair([&mut one.message, &mut other.message], pieces.map(|piece| &piece[..count]));
        one.advance(count) + other.advance(count)
    }

    fn advance(&mut self, count: usize) -> u64 {
        self.tar.consume(count);
        self.left -= count as u64;
        count as u64
    }

    /// Compares the digest with the list, and checks the bytes after the content.
    pub fn finish(mut self) -> Result<(), ReadError> {
        self.tar.padding(&self.header)?;
        compare(self.entry, self.message.finish(), self.tar.entry_offset())?;
        put_back(self.tar);
        Ok(())
    }
}
