//! What a lab writes down in `/run/kbundle-lab/NAME/`, so that another process can find it again.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::paths::{RUN, cache};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LabState {
    pub(crate) name: String,
    /// Hosts are numbered from 1 in their names and from 0 everywhere else.
    pub(crate) hosts: usize,
    /// Whether the lab outlives the process that made it.
    #[serde(default)]
    pub(crate) kept: bool,
}

impl LabState {
    /// A lab's name becomes part of names of machines, namespaces and control groups.
    pub(crate) fn new(name: &str, hosts: usize) -> Result<Self> {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if name.is_empty() || name.len() > 32 || !plain {
            bail!("a lab's name is 1 to 32 of a-z, 0-9 and `-`, not `{name}`");
        }
        if !(1..=200).contains(&hosts) {
            bail!("a lab has 1 to 200 hosts, not {hosts}");
        }
        Ok(Self { name: name.to_owned(), hosts, kept: false })
    }

    pub(crate) fn read(name: &str) -> Result<Self> {
        let file = Path::new(RUN).join(name).join("lab.json");
        if !file.exists() {
            bail!("no lab `{name}` is running; `./ci/lab up N --name {name}` starts one");
        }
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    }

    pub(crate) fn write(&self) -> Result<()> {
        Ok(fs::write(self.run_dir().join("lab.json"), serde_json::to_vec_pretty(self)?)?)
    }

    /// SSH key, process ids and consoles.
    pub(crate) fn run_dir(&self) -> PathBuf {
        Path::new(RUN).join(&self.name)
    }

    /// The hosts' root file systems.
    pub(crate) fn roots_dir(&self) -> PathBuf {
        cache().join("labs").join(&self.name)
    }

    /// The file that holds the hosts' disk.
    pub(crate) fn disk(&self) -> PathBuf {
        cache().join("labs").join(format!("{}.disk", self.name))
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.run_dir().join("ssh-key")
    }

    pub(crate) fn switch(&self) -> String {
        format!("kblab-{}", self.name)
    }
}

/// Names of the labs that have state on this machine.
pub(crate) fn known_labs() -> Result<Vec<String>> {
    if !Path::new(RUN).exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(RUN)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Held while labs come and go; let go when dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    pub(crate) fn take() -> Result<Self> {
        fs::create_dir_all(RUN)?;
        let file = fs::File::create(Path::new(RUN).join(".lock"))?.into_file();
        file.lock().context("cannot lock /run/kbundle-lab/.lock")?;
        Ok(Self(file))
    }
}

/// Held by the process that made a lab for as long as it uses it. The kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct Ownership(#[expect(dead_code, reason = "held for its lock")] File);

impl Ownership {
    /// Waits for another process that uses a lab of this name.
    ///
    /// # Errors
    /// When this process itself has such a lab: waiting would never end.
    #[expect(clippy::print_stderr, reason = "whoever waits is told for what")]
    pub(crate) fn take(name: &str) -> Result<Self> {
        fs::create_dir_all(RUN)?;
        let path = Path::new(RUN).join(format!("{name}.owner"));
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the lab"),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                if owner == std::process::id().to_string() {
                    bail!("lab `{name}` is there already");
                }
                eprintln!("lab `{name}` is in use by process {owner}; waiting for its end");
                file.lock().context("cannot lock the lab")?;
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}
