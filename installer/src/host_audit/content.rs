//! Reads the content of images again.

use super::{Finding, Group};
use crate::host::Host;
use crate::steps::images::unpacked::{self, ImageFault};

/// Compares each blob that containerd keeps with its digest, and each unpacked file with its layer.
pub(super) fn look(host: &Host) -> anyhow::Result<Vec<Finding>> {
    let digests = unpacked::content_digests(host)?;
    let altered = digests.iter().filter(|(kept, read)| kept != read);
    let mut findings: Vec<_> = altered
        .map(|(kept, read)| {
            Finding::drifted(Group::Images, format!("content {kept}"), kept.to_string(), read.to_string())
        })
        .collect();
    match unpacked::faults(host) {
        Ok(faults) => findings.extend(faults.iter().map(|ImageFault { image, path, fault }| {
            let subject = format!("{image}: unpacked file /{}", path.display());
            Finding::drifted(Group::Images, subject, "as in its layer", fault.to_string())
        })),
        // An altered layer may not be readable as an archive.
        Err(error) => findings.push(Finding::unknown(Group::Images, "unpacked files", format!("{error:#}"))),
    }
    if findings.is_empty() {
        let subject = format!("content of images: {} blobs, and the files unpacked from them", digests.len());
        findings.push(Finding::as_approved(Group::Images, subject));
    }
    Ok(findings)
}
