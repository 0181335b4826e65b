//! `kinstall audit`: this host, or all of cluster.yaml.

mod document;
mod recording;

use std::process::ExitCode;

use anyhow::anyhow;
use kbundle_cli::output;
use kbundle_commands::recording::Recording;
use kbundle_commands::required_audit::RequiredAuditArgs;
use kbundle_commands::small_file::SmallFile;
use kbundle_format::{Digest, IndexedBundle};
use nix::unistd::geteuid;

use super::bundle::{self, suits_this_machine};
use super::{fleet, read_spec};
use crate::cli::{AuditArguments, OutputFormat};
use crate::failure::{Advise, FailureReport};
use crate::fleet::AuditGoal;
use crate::host::Host;
use crate::host_audit::{self, AuditScope, AuditedHost, HostAudit, ImageDepth, Overall};
use crate::report::Reporter;
use crate::trust::Trust;

pub use document::Audit;

/// The exit code if something is not as approved, like that of `kbundle diff` if something differs.
const DRIFTED: u8 = 4;

pub fn audit(arguments: &AuditArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.bundle.trust)?;
    let recording = arguments.record.prepare()?;
    let page = page_file(arguments, recording.as_ref())?;
    let former = recording::read_former(arguments)?;
    let mut audit = match fleet::cluster(&arguments.cluster)? {
        Some((spec, options)) => {
            let list = list_of_given(arguments, &trust)?;
            let goal = AuditGoal { trust: &trust, list, depth: depth(arguments) };
            let begun = fleet::end_connections_when_interrupted;
            let found = crate::fleet::audit(&spec, &goal, &options, begun)?;
            let hosts = found.into_iter().map(|(host, answer)| AuditedHost::of(host.to_string(), answer));
            Audit::of(spec.name.to_string(), hosts.collect())
        }
        None => audit_this_host(arguments, &trust, output)?,
    };
    audit.since(former.as_ref());
    if let Some(recording) = recording {
        audit.keep(recording)?;
    }
    if let Some(page) = page {
        audit.write_page(page, arguments.all)?;
    }
    output::result(output, &audit.text(arguments.all), &audit)?;
    Ok(match audit.verdict {
        Overall::AsApproved => ExitCode::SUCCESS,
        Overall::Drifted => DRIFTED.into(),
        Overall::Unknown => ExitCode::FAILURE,
    })
}

/// The page to write, if one is asked for. Its name is checked before the audit.
fn page_file(arguments: &AuditArguments, recording: Option<&Recording>) -> anyhow::Result<Option<SmallFile>> {
    let Some(path) = &arguments.report else { return Ok(None) };
    let page = SmallFile::beside_output(path, "the page of an audit", arguments.record.force.existing())?;
    if let Some(recording) = recording {
        page.check_apart_from(recording.file())?;
    }
    Ok(Some(page))
}

fn depth(arguments: &AuditArguments) -> ImageDepth {
    if arguments.deep { ImageDepth::Content } else { ImageDepth::Names }
}

fn audit_this_host(arguments: &AuditArguments, trust: &Trust, output: OutputFormat) -> anyhow::Result<Audit> {
    if !geteuid().is_root() {
        return Err(anyhow!("only root can read all that an audit compares")).refused().hint("run it again with sudo");
    }
    let (config, inventory) = (arguments.cluster.config.as_deref(), arguments.cluster.inventory.as_deref());
    let settings = if config.is_some() || inventory.is_some() { Some(read_spec(config, inventory)?) } else { None };
    let host = Host::local()?;
    let records = host_audit::records(&host)?;
    let reporter = match output {
        OutputFormat::Text => Reporter::new(OutputFormat::Text),
        OutputFormat::Json => Reporter::silent(),
    };
    let bundle = open(arguments, trust, &reporter)?;
    let scope = AuditScope { settings: settings.as_ref(), depth: depth(arguments) };
    let found = HostAudit::make(host, &records, &bundle, scope, &reporter)?;
    let host = AuditedHost::of(found.traits.node.clone(), Ok::<_, FailureReport>(found));
    Ok(Audit::of(records.spec.name.to_string(), vec![host]))
}

fn open(arguments: &AuditArguments, trust: &Trust, reporter: &Reporter) -> anyhow::Result<IndexedBundle> {
    match arguments.bundle.required(RequiredAuditArgs::default()) {
        Some(given) => bundle::verify(&given, trust, reporter, suits_this_machine),
        None => bundle::verify_kept(trust),
    }
}

/// The list of the bundle that was given. The bundle's content is not read: each host compares itself with the part that it keeps, which it
/// verifies.
fn list_of_given(arguments: &AuditArguments, trust: &Trust) -> anyhow::Result<Option<Digest>> {
    let Some(given) = arguments.bundle.required(RequiredAuditArgs::default()) else { return Ok(None) };
    Ok(Some(bundle::signed_digest(&given, trust)?))
}
