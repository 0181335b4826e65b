//! `kinstall run` for the hosts of cluster.yaml.

use std::process::ExitCode;

use super::super::{bundle, explain_interrupts};
use super::{changed_something, suits_this_machine};
use crate::cli::{OutputFormat, RunArguments};
use crate::config::ClusterSpec;
use crate::fleet::{Fleet, Means, Orders, lead, needs_password, password};
use crate::report::{Reporter, print_text};
use crate::trust::Trust;

/// Leads the installation on all of them.
pub fn run(arguments: &RunArguments, trust: &Trust, spec: &ClusterSpec) -> anyhow::Result<ExitCode> {
    let reporter = Reporter::new(arguments.output);
    let (bundle, _) = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;
    drop(reporter);
    let password = if needs_password(spec) { Some(password::obtain(arguments.hosts.sudo_password_fd)?) } else { None };
    let means = Means { parallel: arguments.hosts.parallel.get(), output: arguments.output, password };
    let orders = Orders { spec, bundle: &bundle, trust, ignored: &arguments.ignored, dry_run: arguments.dry_run };
    let led = lead(&orders, &means, end_connections_when_interrupted)?;
    if arguments.assert_no_op && !led.changed.is_empty() {
        let hosts: Vec<_> = led.changed.iter().map(|(host, steps)| format!("{host}: {}", steps.join(", "))).collect();
        return Err(changed_something(&hosts.join("; ")));
    }
    if arguments.output == OutputFormat::Text && !arguments.dry_run {
        print_text(&next_steps(spec))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn end_connections_when_interrupted(fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let masters = fleet.masters();
    let words = "hosts may go on with the step that they are at; run the same command again to go on from there";
    explain_interrupts(words, move || {
        password::restore_terminal();
        // What cannot be ended now ends by itself.
        drop(masters.close());
    })
}

fn next_steps(spec: &ClusterSpec) -> String {
    let first = spec.hosts.iter().find(|host| host.roles.contains(&kbundle_format::Role::ControlPlane));
    let first = first.map_or("a control plane", |host| host.name.as_str());
    format!(
        "\nThe cluster `{}` stands. Next, as root on {first}:\n  \
         kubectl get nodes,pods -A      what runs\n  \
         kinstall status                whether that host is well\n",
        spec.name
    )
}
