//! `/var/lib/kinstall/installed.json`: which files of which component were installed, with their digests.

use std::collections::BTreeMap;

use anyhow::Context as _;
use kbundle_format::{ComponentName, Digest, Entry};
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// The record of the binaries in use.
pub const PATH: &str = "/var/lib/kinstall/installed.json";

/// What was installed, by component.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    components: BTreeMap<String, InstalledComponent>,
}

/// One component as it was installed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstalledComponent {
    /// Its version, for people.
    pub version: String,
    /// Digest of the entry it came from.
    pub digest: Digest,
    /// Its files by absolute path, with the digest of each.
    pub files: BTreeMap<String, Digest>,
}

impl Installed {
    /// Reads the record; empty if there is none.
    pub fn read(host: &Host) -> anyhow::Result<Self> {
        Self::read_at(host, PATH)
    }

    /// The same for a record at another path.
    pub fn read_at(host: &Host, path: &str) -> anyhow::Result<Self> {
        let Some(bytes) = host.read(path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).with_context(|| format!("while reading {path}"))
    }

    pub fn write(&self, host: &mut Host) -> anyhow::Result<()> {
        self.write_at(host, PATH)
    }

    pub fn write_at(&self, host: &mut Host, path: &str) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(host.write_file(path, &bytes, 0o644)?)
    }

    pub fn get(&self, name: ComponentName) -> Option<&InstalledComponent> {
        self.components.get(name.as_str())
    }

    pub fn set(&mut self, name: ComponentName, component: InstalledComponent) {
        self.components.insert(name.to_string(), component);
    }

    /// How the host differs from one with `entry` installed as component `name`; `None` if it does not.
    pub fn flaw(&self, host: &Host, name: ComponentName, entry: &Entry) -> anyhow::Result<Option<String>> {
        let Some(component) = self.components.get(name.as_str()).filter(|found| found.digest == entry.digest) else {
            return Ok(Some(format!("{name} is not installed in this version")));
        };
        for (path, &digest) in &component.files {
            if !is_program(host, path, digest)? {
                return Ok(Some(format!("{path} is missing or was changed")));
            }
        }
        Ok(None)
    }
}

/// Whether the file at `path` has this content and all users can execute it.
fn is_program(host: &Host, path: &str, digest: Digest) -> anyhow::Result<bool> {
    Ok(host.digest(path)? == Some((digest, 0o755)))
}
