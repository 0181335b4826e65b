//! The cluster's certificates on this host: each has to be signed by its authority, and none may have ended.

use super::{Finding, Group};
use crate::certificates::look::Moment;
use crate::certificates::{CertificateReport, State, look};
use crate::host::Host;
use crate::inputs::Inputs;

/// Judges every certificate. A certificate that ends soon is as approved; `kinstall certs list` warns about it.
pub(super) fn look(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Vec<Finding>> {
    let reports = look::look(host, inputs.topology.this(), Moment::now(0))?;
    Ok(reports.into_iter().map(finding).collect())
}

pub(super) fn finding(CertificateReport { name, path, state, problem, authority, .. }: CertificateReport) -> Finding {
    let (subject, problem) = (format!("{name}, {path}"), problem.unwrap_or_else(|| "it cannot be judged".to_owned()));
    match state {
        State::Good | State::Expiring => Finding::as_approved(Group::Certificates, subject),
        State::Expired | State::Invalid => {
            Finding::drifted(Group::Certificates, subject, format!("valid, and signed by {authority}"), problem)
        }
        State::Unknown => Finding::unknown(Group::Certificates, subject, problem),
    }
}
