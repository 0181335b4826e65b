//! The unfinished work of a renewal, recorded on the host from before its first change until its end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::restart::Component;
use crate::certificates::Renewable;
use crate::host::unfinished::UnfinishedWork;

/// The work that is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pending {
    /// Whether the names of the records are still missing in the API server's certificate and the cluster's configuration.
    pub names: bool,
    /// Certificates to make.
    pub renew: BTreeSet<Renewable>,
    /// Programs that have to read new certificates, in this order.
    pub restart: BTreeSet<Component>,
}

impl UnfinishedWork for Pending {
    const FILE: &str = "renewal.json";
    const WORK: &str = "a renewal";
}

impl Pending {
    /// Adds certificates, and the programs that use them.
    pub fn add(&mut self, names: impl IntoIterator<Item = Renewable>) {
        for name in names {
            self.renew.insert(name);
            self.restart.extend(Component::using(name));
        }
    }
}
