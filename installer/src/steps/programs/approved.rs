//! What the bundle itself says about each binary's file, for an audit; the host's own record is not used.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context as _;
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::{Digest, EntryKind, Hasher};

use super::archive::{self, Selection};
use super::{streamed, wanted};
use crate::inputs::Inputs;

/// The permission bits of every binary.
pub const MODE: u32 = 0o755;

/// A file of an archive that is only measured.
struct Measured {
    path: String,
    content: Hasher<io::Sink>,
}

impl Write for Measured {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.content.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of this host's binaries by absolute path, with the digest of each. Unpacks archives and writes nothing.
pub fn files(inputs: &Inputs<'_>, bundle: &IndexedBundle) -> anyhow::Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    for (component, selection, entry) in wanted(inputs) {
        match (selection, entry.kind) {
            (Selection::Itself { to }, EntryKind::Binary) => {
                files.insert(to.to_owned(), entry.digest);
            }
            (Selection::Below { .. } | Selection::Named { .. }, EntryKind::Archive) => {
                let start = |path| Ok(Measured { path, content: Hasher::new(io::sink()) });
                let measured = streamed(bundle, entry, |content| archive::extract(content, &selection, start));
                let measured = measured.with_context(|| format!("while reading {component} from {}", entry.path))?;
                files.extend(measured.into_iter().map(|file| (file.path, file.content.finish().0)));
            }
            (_, kind) => anyhow::bail!("the bundle has {component} as {kind:?}, which is not how it is installed"),
        }
    }
    Ok(files)
}
