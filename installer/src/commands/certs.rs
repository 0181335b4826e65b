//! `kinstall certs`: the certificates of this host, or of all.

use std::process::ExitCode;

use anyhow::anyhow;
use kbundle_cli::OutputFormat;
use kbundle_cli::output;
use kbundle_format::Role;

use super::{explain_interrupts, fleet, require_root, take_lock};
use crate::certificates::look;
use crate::certificates::look::Moment;
use crate::cli::{CertsAddSanArguments, CertsCommand, CertsListArguments, CertsRenewArguments};
use crate::config::ClusterSpec;
use crate::failure::{Advise, FailureReport};
use crate::host::Host;
use crate::host::unfinished::UnfinishedWork as _;
use crate::kubectl::Kubectl;
use crate::kubelet_requests::{self, known_hosts};
use crate::renewal::renew::{Renewal, plan, refuse_absent};
use crate::renewal::{Selection, sans};
use crate::report::Reporter;
use crate::standing::Standing;
mod documents;

pub use documents::{AddedSans, Answered, CertificateList, Renewed};
use documents::{HostCertificates, HostRenewal, HostSans};

pub fn certs(command: &CertsCommand, output: OutputFormat) -> anyhow::Result<ExitCode> {
    match command {
        CertsCommand::List(arguments) => list(arguments, output),
        CertsCommand::Renew(arguments) => renew(arguments, output),
        CertsCommand::AddSan(arguments) => add_san(arguments, output),
        CertsCommand::Approve => approve(output),
    }
}

fn list(arguments: &CertsListArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let days = arguments.warn_days;
    let hosts = if let Some((spec, options)) = fleet::cluster(&arguments.cluster)? {
        let begun = fleet::end_connections_when_interrupted;
        let found = crate::fleet::list_certificates(&spec, days, &options, begun)?;
        found.into_iter().map(|(host, answer)| HostCertificates::of(host.to_string(), answer)).collect()
    } else {
        let host = Host::local()?;
        let standing = Standing::find(&host)?;
        let found = look::look(&host, standing.inputs().topology.this(), Moment::now(days))?;
        vec![HostCertificates::of(standing.inputs().node_name(), Ok::<_, FailureReport>(found))]
    };
    let list = CertificateList::of(days, hosts);
    output::result(output, &list.text(), &list)?;
    Ok(if list.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn selection(arguments: &CertsRenewArguments) -> Selection {
    match arguments.due {
        Some(days) => Selection::Due { days: days.0 },
        None if arguments.all => Selection::All,
        None => Selection::Named(arguments.names.iter().copied().collect()),
    }
}

fn renew(arguments: &CertsRenewArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let selection = selection(arguments);
    let hosts = if let Some((spec, options)) = fleet::cluster(&arguments.cluster)? {
        let begun = fleet::end_connections_when_interrupted;
        let reports = if arguments.dry_run {
            crate::fleet::preview_renewal(&spec, &selection, &options, begun)?
        } else {
            crate::fleet::renew_certificates(&spec, &selection, &options, begun)?
        };
        reports.into_iter().map(|(host, report)| HostRenewal { host: host.to_string(), report }).collect()
    } else {
        vec![renew_here(&selection, arguments)?]
    };
    let renewed = Renewed::of(arguments.dry_run, hosts);
    output::result(output, &renewed.text(), &renewed)?;
    Ok(ExitCode::SUCCESS)
}

fn renew_here(selection: &Selection, arguments: &CertsRenewArguments) -> anyhow::Result<HostRenewal> {
    if !arguments.dry_run {
        require_root()?;
    }
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let mut host = Host::local()?;
    let standing = Standing::find(&host)?;
    let inputs = standing.inputs();
    let (pending, report) = plan(&host, &inputs, selection)?;
    refuse_absent(selection, [&report])?;
    let name = inputs.node_name();
    if !arguments.dry_run && !pending.is_empty() {
        explain_interrupts("what was done stays; the next `kinstall certs renew` completes it", || ())?;
        let progress = Reporter::new(OutputFormat::Text);
        Renewal { host: &mut host, inputs, etcd_client: None, progress: &progress }
            .run(pending)
            .hint("run the same command again when the cause is removed: it completes what was begun")?;
    }
    drop(lock);
    Ok(HostRenewal { host: name, report })
}

fn add_san(arguments: &CertsAddSanArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut in_file = None;
    let hosts = if let Some((spec, options)) = fleet::cluster(&arguments.cluster)? {
        let wanted = sans::with_names(&spec, &arguments.names);
        wanted.validate().usage()?;
        if wanted.api.certificate_sans.is_empty() {
            return Err(anyhow!("no name was given, and cluster.yaml has none in api.certificate-sans")).usage();
        }
        let begun = fleet::end_connections_when_interrupted;
        let reports = crate::fleet::add_sans(&spec, &wanted.api.certificate_sans, &options, begun)?;
        in_file = Some(spec.api.certificate_sans);
        reports.into_iter().map(|(host, report)| HostSans { host: host.to_string(), report }).collect()
    } else {
        vec![add_san_here(&arguments.names)?]
    };
    let added = AddedSans::of(hosts, in_file.as_deref());
    output::result(output, &added.text(), &added)?;
    Ok(ExitCode::SUCCESS)
}

fn approve(output: OutputFormat) -> anyhow::Result<ExitCode> {
    require_root()?;
    let host = Host::local()?;
    let standing = Standing::find(&host)?;
    standing.refuse_other_than_control_plane()?;
    let known = known_hosts(&host, &standing.inputs())?;
    let answered = Answered::of(kubelet_requests::approve(&Kubectl::on(&host), &known)?);
    output::result(output, &answered.text(), &answered)?;
    Ok(ExitCode::SUCCESS)
}

fn add_san_here(names: &[String]) -> anyhow::Result<HostSans> {
    sans::with_names(&ClusterSpec::default(), names).validate().usage()?;
    require_root()?;
    let lock = take_lock()?;
    let mut host = Host::local()?;
    let standing = Standing::find(&host)?;
    let others = standing.inputs().topology.with(Role::ControlPlane).count() > 1;
    let name = standing.inputs().node_name();
    explain_interrupts("what was done stays; run the same command again to complete it", || ())?;
    let progress = Reporter::new(OutputFormat::Text);
    let report = sans::add(&mut host, names, &progress)?;
    drop(lock);
    if others {
        progress.line(
            "only the API server of this host has the names; run it with `--config cluster.yaml` for all of them",
        );
    }
    Ok(HostSans { host: name, report })
}
