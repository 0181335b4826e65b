//! `kinstall preflight`.

use std::process::ExitCode;

use anyhow::anyhow;
use kbundle_cli::{failure, output};
use kbundle_format::BundleList;
use schemars::JsonSchema;
use serde::Serialize;

use super::bundle::suits_this_machine;
use super::{bundle, fleet, read_spec};
use crate::cli::{OutputFormat, PreflightArguments};
use crate::facts::HostFacts;
use crate::failure::Advise;
use crate::fleet::Goal;
use crate::host::Host;
use crate::os_packages::BroughtPackages;
use crate::preflight::{Finding, Subject, examine, hint, rejections};
use crate::report::{Reporter, SCHEMA};

/// The result for programs.
#[derive(Serialize, JsonSchema)]
pub struct Examination<'a> {
    schema: u32,
    findings: &'a [Finding],
    facts: &'a HostFacts,
}

pub fn preflight(arguments: &PreflightArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let spec = read_spec(arguments.config.as_deref(), arguments.inventory.as_deref())?;
    let list = list_of_bundle(arguments, output)?;
    let kubernetes = list.as_ref().map(|list| list.kubernetes_version);
    let brought = list.as_ref().map(BroughtPackages::of);
    if !spec.hosts.is_empty() {
        let options = fleet::options(&arguments.hosts, output, &spec)?;
        let begun = fleet::end_connections_when_interrupted;
        crate::fleet::preflight(&spec, &arguments.ignored, Goal { kubernetes, list: None, brought }, &options, begun)?;
        return Ok(ExitCode::SUCCESS);
    }
    let facts = HostFacts::gather(&Host::local()?)?;
    let subject = Subject { spec: &spec, facts: &facts, topology: None, kubernetes, brought: brought.as_ref() };
    let findings = examine(&subject, &arguments.ignored);
    let examination = Examination { schema: SCHEMA, findings: &findings, facts: &facts };
    let refused = refuse_rejected(&findings).details(&examination);
    // As JSON, a refusal contains the findings.
    if refused.is_ok() || output == OutputFormat::Text {
        let lines: Vec<_> = findings.iter().map(|finding| format!("{finding}\n")).collect();
        output::result(output, &lines.concat(), &examination)?;
    }
    refused?;
    Ok(ExitCode::SUCCESS)
}

/// The list of the bundle, verified as before an installation; `None` without a bundle.
fn list_of_bundle(arguments: &PreflightArguments, output: OutputFormat) -> anyhow::Result<Option<BundleList>> {
    let Some(given) = arguments.bundle.required(arguments.audit.clone()) else {
        if arguments.audit.require_audit.is_some() {
            return Err(failure::usage(
                "there is no bundle that could have passed an audit",
                "name the bundle as well",
            ));
        }
        return Ok(None);
    };
    let trust = bundle::read_trust(&given.trust)?;
    let reporter = match output {
        OutputFormat::Text => Reporter::new(OutputFormat::Text),
        OutputFormat::Json => Reporter::silent(),
    };
    let bundle = bundle::verify(&given, &trust, &reporter, suits_this_machine)?;
    Ok(Some(BundleList::clone(bundle.list())))
}

/// Refuses when a check rejects.
pub fn refuse_rejected(findings: &[Finding]) -> anyhow::Result<()> {
    let rejected = rejections(findings);
    if rejected.is_empty() {
        return Ok(());
    }
    let checks: Vec<_> = rejected.iter().map(ToString::to_string).collect();
    let what = if checks.len() == 1 { "check" } else { "checks" };
    Err(anyhow!("this host failed the {what} {}; nothing was changed", checks.join(", ")))
        .refused()
        .hint(hint(rejected))
}
