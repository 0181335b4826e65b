//! Reads many entries of a bundle file at once: each thread takes the next entry, decodes its frames and hashes them.
//!
//! So decoding and hashing are spread over the cores whatever the mix of entries, and a thread needs one frame's memory. The
//! one pass of [`stream`](crate::stream) is for what cannot be read out of order.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::frame;
use crate::head::ReadError;
use crate::list::Entry;
use crate::stream::{Carriage, Summary};
use crate::{EntryPath, IndexedBundle};

/// An entry that is not what was signed, or could not be read.
#[derive(Debug)]
pub struct Damage {
    /// The entry.
    pub path: EntryPath,
    /// What is wrong with it.
    pub error: ReadError,
}

/// What a check of all entries found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What was good, and what the file does not carry.
    pub summary: Summary,
    /// What was not, in the order of the list.
    pub damage: Vec<Damage>,
}

impl IndexedBundle {
    /// Checks layout and content of everything that the file carries, telling `progress` how many bytes of content went by.
    ///
    /// Goes on after damage, so that all of it is named.
    ///
    /// # Errors
    /// Where the layout is not a bundle's and no damaged entry explains that.
    pub fn check_entries(&self, carriage: Carriage, progress: &(dyn Fn(u64) + Sync)) -> Result<Findings, ReadError> {
        let layout = self.check_layout();
        let (carried, left_out): (Vec<_>, Vec<_>) = self.list().entries.iter().partition(|entry| self.carries(entry));
        let mut damage = self.each(&carried, |entry| self.copy_entry(entry, &mut Passing { progress }));
        if carriage == Carriage::Full {
            damage.extend(left_out.iter().map(|entry| {
                let path = entry.path.clone();
                Damage { path: path.clone(), error: ReadError::Missing { path } }
            }));
        }
        if damage.is_empty() {
            layout?;
        }
        let summary = Summary {
            entries: carried.len(),
            content_bytes: carried.iter().map(|entry| entry.size).sum(),
            left_out: left_out.into_iter().cloned().collect(),
        };
        Ok(Findings { summary, damage })
    }

    /// Calls `task` for each of `entries`, several at a time, and returns the failures in the order of `entries`.
    pub fn each(&self, entries: &[&Entry], task: impl Fn(&Entry) -> Result<(), ReadError> + Sync) -> Vec<Damage> {
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        let work = || {
            while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = task(entry) {
                    let damage = Damage { path: entry.path.clone(), error };
                    failures.lock().expect("no thread panics while it holds the lock").push(damage);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..frame::threads() {
                scope.spawn(work);
            }
        });
        let mut failures = failures.into_inner().expect("no thread panics while it holds the lock");
        let place = |damage: &Damage| entries.iter().position(|entry| entry.path == damage.path);
        failures.sort_by_key(place);
        failures
    }
}

/// Throws bytes away and tells how many.
struct Passing<'a> {
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Write for Passing<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (self.progress)(buffer.len() as u64);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
