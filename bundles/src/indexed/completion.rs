//! Content from other bundles: a differential bundle and its bases, read as one.
//!
//! A base is never trusted. Its content is found by digest and size, and compared with the signed list each time it is read.

use std::collections::HashMap;

use super::IndexedBundle;
use crate::list::Entry;
use crate::{BundleSource, Digest, EntryPath};

/// Bases, and the content from them.
#[derive(Default)]
pub(super) struct Completion {
    bases: Vec<IndexedBundle>,
    /// By the entry's path in the completed bundle: the index of the base, and the index in the base's list.
    places: HashMap<EntryPath, (usize, usize)>,
}

impl IndexedBundle {
    /// Takes what the file does not carry from the first of `bases` that has it.
    #[must_use]
    pub fn completed_from(self, bases: Vec<Self>) -> Self {
        let mut places = HashMap::new();
        for (index, base) in bases.iter().enumerate() {
            let carried = base.list().entries.iter().enumerate().filter(|(_, entry)| base.carries(entry));
            let theirs: HashMap<(Digest, u64), usize> =
                carried.map(|(place, entry)| ((entry.digest, entry.size), place)).collect();
            for entry in self.list().entries.iter().filter(|entry| self.start(entry).is_none()) {
                if let Some(&place) = theirs.get(&(entry.digest, entry.size)) {
                    places.entry(entry.path.clone()).or_insert((index, place));
                }
            }
        }
        Self { completion: Completion { bases, places }, ..self }
    }

    /// The bundle that carries `entry`, this one or a base, and the entry under its name there.
    pub(crate) fn holder<'a>(&'a self, entry: &'a Entry) -> Option<(&'a Self, &'a Entry)> {
        if self.start(entry).is_some() { Some((self, entry)) } else { self.in_a_base(entry) }
    }

    /// The base that has `entry`, and the entry under its name there; `None` for an entry that the file itself carries.
    pub(super) fn in_a_base(&self, entry: &Entry) -> Option<(&Self, &Entry)> {
        let (base, place) = self.completion.places.get(&entry.path)?;
        let base = &self.completion.bases[*base];
        base.holder(&base.list().entries[*place])
    }

    /// The sources of this bundle and of its bases.
    pub fn all_sources(&self) -> impl Iterator<Item = &BundleSource> {
        let bases = self.completion.bases.iter().map(Self::source);
        [self.source()].into_iter().chain(bases)
    }
}
