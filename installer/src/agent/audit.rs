//! Whether this host is as it was approved.

use anyhow::anyhow;
use kbundle_format::Digest;
use kbundle_format::stream::Carriage;

use super::leader_link::LeaderLink;
use super::questions::AuditHost;
use super::store;
use crate::failure::Advise;
use crate::host::Host;
use crate::host_audit::{self, AuditScope, HostAudit};

/// Compares the host with the part of the bundle that it keeps. Changes nothing.
pub fn audit(asked: &AuditHost, leader: &LeaderLink) -> anyhow::Result<HostAudit> {
    let AuditHost { spec, trust, list, depth } = asked;
    let host = Host::local()?;
    let records = host_audit::records(&host)?;
    let bundle = store::open(trust)?;
    bundle.verify(Carriage::Partial, &|_| ())?;
    let kept = Digest::of(&bundle.head().list_bytes);
    if let Some(wanted) = list.filter(|wanted| *wanted != kept) {
        return Err(anyhow!(
            "the host keeps a part of the bundle with list {kept}; the list of the one given is {wanted}"
        ))
        .refused()
        .hint("give the bundle that the host was set up from");
    }
    let scope = AuditScope { settings: Some(spec), depth: *depth };
    HostAudit::make(host, &records, &bundle, scope, leader)
}
