//! Reads join files: from a file that nobody else can read, or from standard input.

use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_format::text_file;

use super::{JoinFile, JoinFileError};
use crate::failure::Advise;

/// The name that means standard input.
pub const STANDARD_INPUT: &str = "-";
/// Far more than a cluster with seven control planes and five hundred nodes needs.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a join file from `path`, or from standard input.
pub fn read(path: &Path) -> anyhow::Result<JoinFile> {
    let (name, text) = if path == Path::new(STANDARD_INPUT) {
        if io::stdin().is_terminal() {
            return Err(anyhow!("the join file is expected on standard input, which is a terminal"))
                .usage()
                .hint("pipe it: `ssh CONTROL-PLANE kinstall token create … --out - | kinstall run … --join -`");
        }
        ("the join file on standard input".to_owned(), text(io::stdin().lock()))
    } else {
        let file = fs::File::open(path).context("cannot read the join file").usage()?;
        refuse_open_to_others(path, &file)?;
        (path.display().to_string(), text(file))
    };
    let cannot = || format!("{name} cannot be used");
    let parsed = JoinFile::parse(&text.with_context(cannot).usage()?);
    let hint = match &parsed {
        Err(JoinFileError::Roles { .. }) => {
            "control planes and members of etcd are added where the cluster is led: put the host into cluster.yaml and run \
             `kinstall run` there again"
        }
        Err(JoinFileError::Schema { .. }) => "use the kinstall of the host that made it",
        _ => "make another on a control plane: `kinstall token create`",
    };
    parsed.with_context(cannot).usage().hint(hint)
}

/// A person who can read it can join the cluster, and a person who can write it can choose the cluster.
fn refuse_open_to_others(path: &Path, file: &fs::File) -> anyhow::Result<()> {
    let found = file.metadata().context("cannot look at the join file").usage()?;
    let mode = found.permissions().mode() & 0o777;
    let me = nix::unistd::geteuid().as_raw();
    let flaw = if found.is_file() && mode & 0o077 != 0 {
        format!("others can read or change it (mode {mode:04o})")
    } else if found.is_file() && ![0, me].contains(&found.uid()) {
        format!("it belongs to user {}", found.uid())
    } else {
        return Ok(());
    };
    Err(anyhow!("{} is not used: {flaw}, and it holds a secret; nothing was changed", path.display())).refused().hint(
        "copy it to where only root can read it, and give the copy: `install -m 600 FILE /root/`; if others have seen it, make \
         another with `kinstall token create`",
    )
}

fn text(input: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(anyhow!("it is larger than a join file can be ({MAX_BYTES} bytes)"));
    }
    Ok(text_file::decode(&bytes)?)
}
