//! This host's certificates: how they are, and new ones.

use super::leader_link::LeaderLink;
use super::questions::{AddSans, PreviewRenewal, RenewCertificates};
use super::work::wait_for_lock;
use crate::certificates::look::Moment;
use crate::certificates::{CertificateReport, look};
use crate::host::Host;
use crate::renewal::RenewalReport;
use crate::renewal::renew::{Renewal, plan};
use crate::renewal::sans::{self, SansReport};
use crate::standing::Standing;

pub fn list(warn_days: u32) -> anyhow::Result<Vec<CertificateReport>> {
    let host = Host::local()?;
    let standing = Standing::find(&host)?;
    look::look(&host, standing.inputs().topology.this(), Moment::now(warn_days))
}

pub fn preview(asked: &PreviewRenewal) -> anyhow::Result<RenewalReport> {
    let host = Host::local()?;
    let standing = Standing::find(&host)?;
    Ok(plan(&host, &standing.inputs(), &asked.selection)?.1)
}

pub fn renew(asked: &RenewCertificates, leader: &LeaderLink) -> anyhow::Result<RenewalReport> {
    let _lock = wait_for_lock(leader)?;
    let mut host = Host::local()?;
    let standing = Standing::find(&host)?;
    let (pending, report) = plan(&host, &standing.inputs(), &asked.selection)?;
    let etcd_client = asked.etcd_client.as_ref();
    Renewal { host: &mut host, inputs: standing.inputs(), etcd_client, progress: leader }.run(pending)?;
    Ok(report)
}

pub fn add_sans(asked: &AddSans, leader: &LeaderLink) -> anyhow::Result<SansReport> {
    let _lock = wait_for_lock(leader)?;
    sans::add(&mut Host::local()?, &asked.names, leader)
}
