//! What a renewal has still to do, kept on the host from before its first change until its end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::restart::Component;
use crate::certificates::Renewable;
use crate::host::unfinished::UnfinishedWork;

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
