//! `kinstall status`: of this host, or of the hosts of cluster.yaml.

mod hosts;

use std::process::ExitCode;

use kbundle_cli::output;

pub use self::hosts::ClusterStatus;
use super::{fleet, read_spec};
use crate::backup::schedule::ScheduledBackups;
use crate::changes;
use crate::cli::{OutputFormat, StatusArguments};
use crate::config::change::Change;
use crate::host::{Host, StepState};
use crate::status::Status;

pub fn status(arguments: &StatusArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    if let Some((spec, options)) = fleet::cluster(&arguments.cluster)? {
        return hosts::status(&spec, arguments.deep, &options, output);
    }
    let (config, inventory) = (arguments.cluster.config.as_deref(), arguments.cluster.inventory.as_deref());
    let wanted = if config.is_some() || inventory.is_some() { Some(read_spec(config, inventory)?) } else { None };
    let status = Status::read(&Host::local()?, wanted.as_ref(), arguments.deep)?;
    output::result(output, &describe(&status), &status)?;
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(status: &Status) -> String {
    let Some(installed) = &status.installed else {
        return "kinstall has not set up this host\n".to_owned();
    };
    let mut lines = vec![
        format!("cluster {}, Kubernetes {}", installed.cluster, installed.kubernetes_version),
        format!("from the bundle with list {}", installed.list_digest),
        format!("signed by {}", installed.signers.join(" and ")),
    ];
    lines.extend(status.upgrade.as_ref().map(|upgrade| {
        if upgrade.rolling_back {
            let version = &upgrade.kubernetes_version;
            return format!("upgrade to Kubernetes {version}: being rolled back; `kinstall rollback` finishes that");
        }
        let how_far = if upgrade.changes_begun { "begun" } else { "prepared; nothing that runs was changed yet" };
        let version = &upgrade.kubernetes_version;
        format!("upgrade to Kubernetes {version}: {how_far}; `kinstall upgrade` with the same bundle finishes it")
    }));
    let undone: Vec<_> = status.steps.iter().filter(|step| step.state != StepState::Done).collect();
    let done = status.steps.len() - undone.len();
    lines.push(format!("steps: {done} of {} done", status.steps.len()));
    lines.extend(undone.iter().map(|step| match step.state {
        StepState::CutOff => format!("  {}: interrupted; `kinstall run` resumes it", step.id),
        _ => format!("  {}: not begun", step.id),
    }));
    lines.push("services:".to_owned());
    lines
        .extend(status.units.iter().map(|(name, state)| format!("  {name}: {}, {} at boot", state.active, state.file)));
    lines.extend(status.missing_units.iter().map(|name| format!("  {name}: gone")));
    if let Some(said) = &status.api_error {
        lines.push(format!("nodes: the API server did not list them: {}", said.lines().last().unwrap_or_default()));
    }
    match &status.nodes {
        None => {}
        Some(nodes) => {
            lines.push("nodes:".to_owned());
            lines.extend(nodes.iter().map(|node| match &node.message {
                None if node.ready => format!("  {} {}: ready", node.name, node.kubelet_version),
                None => format!("  {} {}: not ready", node.name, node.kubelet_version),
                Some(message) => format!("  {} {}: not ready: {message}", node.name, node.kubelet_version),
            }));
        }
    }
    lines.extend(status.backups.as_ref().map(describe_backups));
    match status.image_faults.as_deref() {
        None => {}
        Some([]) => lines.push("unpacked images: whole".to_owned()),
        Some(faults) => {
            lines.push(format!("unpacked images: {} files differ from their layers", faults.len()));
            lines.extend(faults.iter().map(|fault| format!("  {fault}")));
        }
    }
    lines.push(
        if status.healthy { "everything is healthy" } else { "something differs from what kinstall writes" }.to_owned(),
    );
    lines.join("\n") + "\n"
}

fn describe_settings(found: &[Change]) -> String {
    if found.is_empty() {
        return "cluster.yaml is what the cluster stands by".to_owned();
    }
    changes::text(found)
}

fn describe_backups(backups: &ScheduledBackups) -> String {
    let last = backups.last.as_ref().map_or_else(
        || "none was written yet".to_owned(),
        |last| format!("the last is {}, begun at {}", last.file.display(), last.created),
    );
    let failed = if backups.failed { "the last try failed, `journalctl -u kinstall-backup` says why; " } else { "" };
    format!("backups: {failed}{last}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::schedule;
    use crate::fixture::{self, bench::Bench};
    use crate::status::{Installed, StepStatus, nodes, read_nodes};

    /// From 1.29 on an API server that is ready may know the administrator and still forbid it everything.
    #[test]
    fn an_administrator_without_rights_is_no_failure_and_the_step_is_cut_off() {
        const FORBIDDEN: &str =
            "fails: Error from server (Forbidden): nodes is forbidden: User \"kubernetes-admin\" cannot list resource";
        let bench = Bench::with_programs(|_, command| {
            command.arguments.contains(&"nodes".to_owned()).then(|| FORBIDDEN.to_owned())
        });
        bench.file("etc/kubernetes/admin.conf", "");
        let topology = fixture::topology();
        let said = nodes(&bench.host(), topology.this()).unwrap().unwrap_err();
        let cut_off = StepStatus { id: "control-plane".to_owned(), state: StepState::CutOff };
        let installed = Installed {
            kubernetes_version: "1.36.3".into(),
            cluster: "try".into(),
            list_digest: "sha256:0".into(),
            signers: vec!["key".into()],
        };
        let status =
            Status { installed: Some(installed), steps: vec![cut_off], api_error: Some(said), ..Status::nothing() };
        insta::assert_snapshot!(describe(&status), @r#"
        cluster try, Kubernetes 1.36.3
        from the bundle with list sha256:0
        signed by key
        steps: 0 of 1 done
          control-plane: interrupted; `kinstall run` resumes it
        services:
        nodes: the API server did not list them: Error from server (Forbidden): nodes is forbidden: User "kubernetes-admin" cannot list resource
        something differs from what kinstall writes
        "#);
    }

    #[test]
    fn a_backup_that_failed_is_told_with_the_last_that_did_not() {
        let last = schedule::LastBackup { file: "/srv/a.backup".into(), created: "2026-11-27T12:00:00Z".into() };
        let told = |failed, last| describe_backups(&ScheduledBackups { failed, last });
        assert_eq!(told(false, None), "backups: none was written yet");
        insta::assert_snapshot!(told(true, Some(last)), @"backups: the last try failed, `journalctl -u kinstall-backup` says why; the last is /srv/a.backup, begun at 2026-11-27T12:00:00Z");
    }

    #[test]
    fn a_node_is_ready_only_when_it_says_so() {
        let list = serde_json::json!({"items": [
            {"metadata": {"name": "a"}, "status": {"nodeInfo": {"kubeletVersion": "v1.25.2"}, "conditions": [
                {"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True", "message": "posting"}]}},
            {"metadata": {"name": "b"}, "status": {"conditions": [
                {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}]}},
            {"metadata": {"name": "c"}},
        ]});
        insta::assert_debug_snapshot!(read_nodes(&list), @r#"
        [
            Node {
                name: "a",
                ready: true,
                message: None,
                kubelet_version: "v1.25.2",
            },
            Node {
                name: "b",
                ready: false,
                message: Some(
                    "Kubelet stopped posting node status.",
                ),
                kubelet_version: "",
            },
            Node {
                name: "c",
                ready: false,
                message: None,
                kubelet_version: "",
            },
        ]
        "#);
    }
}
