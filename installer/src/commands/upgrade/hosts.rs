//! `kinstall upgrade` for the hosts of cluster.yaml.

use std::process::ExitCode;

use kbundle_format::Role;

use super::super::bundle::suits_this_machine;
use super::super::{bundle, fleet};
use crate::addon_data::AddonData;
use crate::cli::{OutputFormat, UpgradeArguments};
use crate::config::{ClusterSpec, HostSpec};
use crate::fleet::{InstallRequest, UpgradeRequest, lead_upgrade};
use crate::report::{Reporter, print_text};
use crate::trust::Trust;

/// Leads the upgrade of all of them.
pub fn upgrade(
    arguments: &UpgradeArguments,
    output: OutputFormat,
    trust: &Trust,
    spec: &ClusterSpec,
) -> anyhow::Result<ExitCode> {
    let reporter = Reporter::new(output);
    let bundle = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;
    drop(reporter);
    let spec = &spec.with_network_of(bundle.list());
    let options = fleet::options(&arguments.cluster.hosts, output, spec)?;
    let is_worker = |host: &&HostSpec| host.roles == [Role::Worker].into();
    let request = UpgradeRequest {
        install: InstallRequest {
            spec,
            bundle: &bundle,
            trust,
            ignored: &arguments.ignored,
            dry_run: arguments.dry_run,
            addon_data: AddonData::Kept,
            restoration: None,
        },
        max_unavailable: arguments.max_unavailable.of(spec.hosts.iter().filter(is_worker).count()),
        drain_within: arguments.drain_timeout.0,
    };
    lead_upgrade(&request, &options, fleet::end_connections_when_interrupted)?;
    if output == OutputFormat::Text && !arguments.dry_run {
        print_text(&format!(
            "\nThe cluster `{}` runs Kubernetes {}. From now on use this bundle wherever a command asks for one.\n",
            spec.name,
            bundle.list().kubernetes_version
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
