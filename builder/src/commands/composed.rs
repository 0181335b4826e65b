//! Writing a bundle made of bundles, which `join`, `subset` and `sign` share.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kbundle_cli::{Explained as _, output};
use kbundle_format::compose::{NewHead, compose};
use kbundle_format::volume::Split;
use kbundle_format::{Destination, Entry, IndexedBundle};

use super::verify::check_entries;

/// A bundle to be written, and what it is taken from.
pub struct Composition<'a> {
    pub head: NewHead<'a>,
    pub sources: &'a [&'a IndexedBundle],
    pub out: &'a Path,
    pub split: Option<Split>,
}

impl Composition<'_> {
    /// Writes it with the entries that `wanted` picks and returns the files.
    ///
    /// What is copied is compared with its digests first: frames are taken over without decoding them.
    pub fn write(self, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Vec<PathBuf>> {
        for (source, number) in self.sources.iter().zip(1..) {
            let carried = source.carried();
            let entries = self.head.list.entries.iter().filter(|entry| wanted(entry));
            let theirs: Vec<_> = entries.filter_map(|entry| carried.get(&entry.digest).copied()).collect();
            check_entries(source, &theirs)
                .explained()
                .with_context(|| format!("refused bundle {number} of those given"))?;
        }
        self.copy(wanted)
    }

    /// The same for a source whose content was checked already.
    pub fn copy(self, wanted: impl Fn(&Entry) -> bool) -> anyhow::Result<Vec<PathBuf>> {
        let destination = Destination::create(self.out, self.split).explained()?;
        let written = compose(self.head, wanted, self.sources, destination).explained()?;
        written.commit().explained().with_context(|| format!("while writing {}", self.out.display()))
    }
}

/// Names the files that were written, one a line.
pub fn name_files(files: &[PathBuf]) -> std::io::Result<()> {
    let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    output::note(&names.join("\n"))
}
