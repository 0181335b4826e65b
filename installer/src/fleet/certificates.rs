//! The certificates of all hosts: reports on them, and renewals, one host after another.

use std::collections::BTreeMap;

use anyhow::anyhow;
use kbundle_format::Role;

use super::answers::{self, Answers};
use super::host::FleetHost;
use super::hosts::{Fleet, FleetOptions};
use super::index::HostIndex;
use crate::agent::questions::{AddSans, IssueEtcdClient, ListCertificates, PreviewRenewal, RenewCertificates};
use crate::certificates::CertificateReport;
use crate::config::{ClusterSpec, DnsName};
use crate::failure::{Advise, FailureReport};
use crate::join_material::EtcdClient;
use crate::renewal::renew::refuse_absent as refuse_absent_names;
use crate::renewal::sans::SansReport;
use crate::renewal::{RenewalReport, Selection};
use crate::stage::Stage;

/// Looks at the certificates of every host. `begun` gets the fleet before kinstall connects to any host.
pub fn list_certificates(
    spec: &ClusterSpec,
    warn_days: u32,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Answers<Vec<CertificateReport>>> {
    let mut fleet = answers::connect(spec, options, Stage::Certificates, begun)?;
    let hosts = fleet.alive(|_| true);
    let found = fleet.on_each(&hosts, usize::MAX, |fleet, index| fleet.ask(index, ListCertificates { warn_days }));
    fleet.withdraw();
    Ok(answers::by_host(&fleet, found))
}

/// Reports what [`renew_certificates`] would do. Changes nothing.
///
/// # Errors
/// When a host failed.
pub fn preview_renewal(
    spec: &ClusterSpec,
    selection: &Selection,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<BTreeMap<DnsName, RenewalReport>> {
    let mut fleet = answers::connect(spec, options, Stage::Certificates, begun)?;
    let found = preview(&mut fleet, selection);
    fleet.withdraw();
    fleet.summary(None)?;
    refuse_absent_names(selection, found.values())?;
    Ok(by_name(&fleet, found))
}

/// Renews certificates on every host. A host that serves the cluster has its turn only when the one before is healthy again; workers come
/// last.
///
/// # Errors
/// When the renewal was refused and nothing was changed, or when a host failed; the hosts after it keep what they have.
pub fn renew_certificates(
    spec: &ClusterSpec,
    selection: &Selection,
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<BTreeMap<DnsName, RenewalReport>> {
    let mut fleet = answers::connect(spec, options, Stage::Certificates, begun)?;
    refuse_unreached(&fleet, serves)?;
    let mut reports = preview(&mut fleet, selection);
    refuse_unreached(&fleet, serves)?;
    refuse_absent_names(selection, reports.values())?;
    let has_work = |index: &HostIndex| reports.get(index).is_some_and(|report| *report != RenewalReport::default());
    let (servers, workers): (Vec<_>, Vec<_>) =
        fleet.alive(|_| true).into_iter().filter(has_work).partition(|&index| serves(fleet.host(index)));
    let renew = |fleet: &Fleet<'_>, index| {
        let etcd_client = etcd_client(fleet, index)?;
        fleet.ask(index, RenewCertificates { selection: selection.clone(), etcd_client })
    };
    reports.extend(one_by_one(&mut fleet, &servers, renew)?);
    reports.extend(fleet.on_each(&workers, usize::MAX, renew));
    fleet.summary(None)?;
    Ok(by_name(&fleet, reports))
}

/// Adds names to the certificate of every API server, one after another.
///
/// # Errors
/// As [`renew_certificates`].
pub fn add_sans(
    spec: &ClusterSpec,
    names: &[String],
    options: &FleetOptions,
    begun: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<BTreeMap<DnsName, SansReport>> {
    let mut fleet = answers::connect(spec, options, Stage::Certificates, begun)?;
    let has_api_server = |host: &FleetHost<'_>| host.has(Role::ControlPlane);
    refuse_unreached(&fleet, has_api_server)?;
    let control_planes = fleet.alive(has_api_server);
    let reports =
        one_by_one(&mut fleet, &control_planes, |fleet, index| fleet.ask(index, AddSans { names: names.to_vec() }))?;
    fleet.summary(None)?;
    Ok(by_name(&fleet, reports))
}

fn serves(host: &FleetHost<'_>) -> bool {
    host.has(Role::ControlPlane) || host.has(Role::Etcd)
}

/// What a renewal would do, for each host that reports it.
fn preview(fleet: &mut Fleet<'_>, selection: &Selection) -> BTreeMap<HostIndex, RenewalReport> {
    let hosts = fleet.alive(|_| true);
    let question = |fleet: &Fleet<'_>, index| fleet.ask(index, PreviewRenewal { selection: selection.clone() });
    fleet.on_each(&hosts, usize::MAX, question).into_iter().collect()
}

/// Refuses to begin if a host was not reached on which something restarts: the others may have to do without it in the meantime.
fn refuse_unreached(fleet: &Fleet<'_>, which: impl Fn(&FleetHost<'_>) -> bool) -> anyhow::Result<()> {
    let absent = fleet.hosts().find(|(_, host)| which(host) && !host.is_alive());
    let Some((_, host)) = absent else { return Ok(()) };
    let why = host.failure.as_ref().map(|failure| failure.report.error.as_str()).unwrap_or_default();
    Err(anyhow!("{} cannot be reached: {why}; nothing was changed", host.name()))
        .refused()
        .hint("bring the host up first, or run the command on each of the others without `--config`")
}

/// Asks these hosts one after another, and stops at the first that fails.
fn one_by_one<T: Send>(
    fleet: &mut Fleet<'_>,
    hosts: &[HostIndex],
    work: impl Fn(&Fleet<'_>, HostIndex) -> Result<T, FailureReport> + Sync,
) -> anyhow::Result<Vec<(HostIndex, T)>> {
    let mut done = Vec::new();
    for (number, &index) in hosts.iter().enumerate() {
        done.extend(fleet.on_each(&[index], 1, &work));
        if done.len() <= number {
            fleet.summary(Some("a host is changed only while the one before it is healthy"))?;
        }
    }
    Ok(done)
}

/// A certificate for the API server of a host that does not have etcd's authority.
fn etcd_client(fleet: &Fleet<'_>, index: HostIndex) -> Result<Option<EtcdClient>, FailureReport> {
    let host = fleet.host(index);
    if host.has(Role::Etcd) || !host.has(Role::ControlPlane) {
        return Ok(None);
    }
    let Some(&signer) = fleet.alive(|host| host.has(Role::Etcd)).first() else { return Ok(None) };
    fleet.ask(signer, IssueEtcdClient {}).map(Some)
}

fn by_name<T>(fleet: &Fleet<'_>, answers: impl IntoIterator<Item = (HostIndex, T)>) -> BTreeMap<DnsName, T> {
    answers.into_iter().map(|(index, answer)| (fleet.host(index).name().clone(), answer)).collect()
}
