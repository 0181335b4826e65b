//! What a renewal has still to do, kept on the host from before its first change until its end.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::restart::Component;
use crate::certificates::Renewable;
use crate::host::{Host, ledger};

const NAME: &str = "renewal.json";

/// What is still to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pending {
    /// Whether the API server's certificate and the cluster's configuration lack names that the records have.
    pub names: bool,
    /// Certificates to make.
    pub renew: BTreeSet<Renewable>,
    /// Programs that have to read new certificates, in this order.
    pub restart: BTreeSet<Component>,
}

impl Pending {
    /// What a run that was cut off left; nothing where none was.
    pub fn read(host: &Host) -> anyhow::Result<Self> {
        let path = format!("{}/{NAME}", ledger::DIRECTORY);
        let Some(text) = host.read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&text)
            .with_context(|| format!("while reading {path}, which says what a renewal has to do"))
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds certificates, and the programs that use them.
    pub fn add(&mut self, names: impl IntoIterator<Item = Renewable>) {
        for name in names {
            self.renew.insert(name);
            self.restart.extend(Component::using(name));
        }
    }

    /// Keeps it; removes it when nothing is left to do.
    pub fn keep(&self, host: &Host) -> anyhow::Result<()> {
        if self.is_empty() {
            return Ok(host.remove_record(NAME)?);
        }
        Ok(host.keep_record(NAME, &serde_json::to_vec(self)?)?)
    }
}
