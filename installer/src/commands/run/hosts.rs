//! `kinstall run` and `kinstall restore` for the hosts of cluster.yaml.

use std::process::ExitCode;

use super::super::bundle::suits_this_machine;
use super::super::{bundle, fleet};
use super::changed_something;
use crate::cli::{OutputFormat, RunArguments};
use crate::config::ClusterSpec;
use crate::fleet::{InstallRequest, lead};
use crate::report::{Reporter, print_text};
use crate::restoration::Restoration;
use crate::trust::Trust;

/// Leads the installation on all of them, from a backup if one is given.
pub fn run(
    arguments: &RunArguments,
    output: OutputFormat,
    trust: &Trust,
    spec: &ClusterSpec,
    restoration: Option<&Restoration>,
) -> anyhow::Result<ExitCode> {
    let reporter = Reporter::new(output);
    let bundle = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;
    drop(reporter);
    let spec = &spec.with_network_of(bundle.list());
    if let Some(restoration) = restoration {
        restoration.refuse_another_bundle(&bundle.head().list_bytes)?;
        restoration.refuse_another_cluster(spec)?;
    }
    let options = fleet::options(&arguments.hosts, output, spec)?;
    let request = InstallRequest {
        spec,
        bundle: &bundle,
        trust,
        ignored: &arguments.ignored,
        dry_run: arguments.dry_run,
        addon_data: arguments.addon_data(),
        restoration,
    };
    let outcome = lead(&request, &options, fleet::end_connections_when_interrupted)?;
    if arguments.assert_no_op && !outcome.changed.is_empty() {
        let hosts: Vec<_> =
            outcome.changed.iter().map(|(host, steps)| format!("{host}: {}", steps.join(", "))).collect();
        return Err(changed_something(&hosts.join("; ")));
    }
    if output == OutputFormat::Text && !arguments.dry_run {
        print_text(&next_steps(spec))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn next_steps(spec: &ClusterSpec) -> String {
    let first = spec.hosts.iter().find(|host| host.roles.contains(&kbundle_format::Role::ControlPlane));
    let first = first.map_or("a control plane", |host| host.name.as_str());
    format!(
        "\nThe cluster `{}` is ready. Next, as root on {first}:\n  \
         kubectl get nodes,pods -A      show nodes and pods\n  \
         kinstall status                check that host\n",
        spec.name
    )
}
