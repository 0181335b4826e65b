//! Replaces the records of a host that is set up already.

use crate::config::change::Change;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::records::Records;
use crate::steps::{kubeadm_config, kubelet};

/// Keeps `records` on a host. If the host is set up by other records, the parts of these that its kubelet still has and that the new
/// settings change are noted first.
pub fn keep_records(records: &Records, host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<()> {
    if let Some(standing) = Records::read_begun(host)?
        && standing.spec != records.spec
    {
        kubelet::note_standing(host, &Inputs { spec: &standing.spec, ..*inputs })?;
        if standing.changes_to(&records.spec).iter().any(Change::restarts_something) {
            kubeadm_config::note_change(host)?;
        }
    }
    Ok(records.keep(host)?)
}
