//! Files that hold a secret: newly created, and readable by their owner only.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use kbundle_format::atomic_file::AtomicFile;

use crate::failure::Advise;

/// Begins the file at `path` (`what` names it for people) before there is a secret to lose. The file appears when it is committed.
///
/// # Errors
/// Also when something exists at `path`.
pub fn begin(path: &Path, what: &str) -> anyhow::Result<AtomicFile> {
    if path.symlink_metadata().is_ok() {
        return Err(anyhow!("{} is there already, and is not replaced; nothing was made", path.display()))
            .refused()
            .hint("delete it if it is of no more use, or give another name with `--out`");
    }
    AtomicFile::create(path, 0o600).with_context(|| format!("cannot write {what}")).usage()
}
