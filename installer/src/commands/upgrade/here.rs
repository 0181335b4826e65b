//! `kinstall upgrade`, for a cluster of a single host.
//!
//! Guards refuse before anything is changed. Each uses only what an earlier one made trustworthy: the host's own records, the bundle's
//! signatures and content, an upgrade that is under way, the rules of versions, preflight and the plan, and last the cluster itself.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use kbundle_format::BundleList;

use super::super::bundle::suits_this_machine;
use super::super::preflight::refuse_rejected;
use super::super::{bundle, explain_interrupts, require_root, take_lock};
use crate::cli::{OutputFormat, UpgradeArguments};
use crate::executor;
use crate::failure::Advise;
use crate::host::Host;
use crate::inputs::{Inputs, OwnedInputs};
use crate::join_material::JoinMaterial;
use crate::os_packages::BroughtPackages;
use crate::plan::{self, Plan, plan_upgrade};
use crate::preflight::{Subject, examine};
use crate::records::Records;
use crate::report::{Event, Observer, Reporter, print_text};
use crate::steps::Context;
use crate::trust::Trust;
use crate::upgrade::api_use::ApiUse;
use crate::upgrade::cluster_state::ClusterState;
use crate::upgrade::outline::{Outline, Surroundings, versions};
use crate::upgrade::standing::{records, refuse_incomplete, resumes};
use crate::upgrade::{RESUME, RESUME_OR_ROLL_BACK, rules, unfinished};

/// Upgrades the cluster that this host is.
pub fn upgrade(arguments: &UpgradeArguments, output: OutputFormat, trust: &Trust) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let reporter = Reporter::new(output);
    // Even for a dry run: only root can read the administrator's kubeconfig.
    require_root()?;
    let lock = if arguments.dry_run { None } else { Some(take_lock()?) };
    let mut host = Host::local()?;
    let standing = records(&host)?;
    let bundle = bundle::verify(&arguments.bundle, trust, &reporter, suits_this_machine)?;
    let spec = standing.spec.with_network_of(bundle.list());
    let target = Records::of(&bundle, trust, spec.clone(), standing.name.clone());
    let is_resumed = resumes(&host, &target)?;
    if !is_resumed && standing.list_bytes == target.list_bytes {
        reporter.event(&finished(0, started));
        return Ok(ExitCode::SUCCESS);
    }
    let former = BundleList::parse(&standing.list_bytes)?;
    let gathered =
        OwnedInputs::gather(&host, Cow::Borrowed(&spec), standing.name.as_deref(), Cow::Borrowed(bundle.list()))?;
    let inputs = gathered.inputs();
    refuse_several(&inputs)?;
    if !is_resumed {
        refuse_incomplete(&plan::incomplete(&host, &inputs), "this host")?;
    }
    let plan = decide(&inputs, &former, arguments, &reporter)?;
    let outline = look_at_cluster(&host, &inputs, &former, is_resumed)?;
    reporter.event(&Event::Outlined(outline));
    if !arguments.dry_run {
        explain_interrupts(
            "finished steps stay; run the same command again to resume, or `kinstall rollback` to go back",
            || (),
        )?;
        unfinished::begin(&mut host, &target)?;
    }
    let material = JoinMaterial::default();
    let mut context = Context { host, bundle: &bundle, inputs, material: &material, progress: &reporter };
    if arguments.dry_run {
        executor::look(&plan, &context, &reporter)?;
        return Ok(ExitCode::SUCCESS);
    }
    let changed = executor::execute_advising(RESUME_OR_ROLL_BACK, &plan, &mut context, &reporter)?;
    unfinished::end(&mut context.host, &target).context("while noting that the upgrade is done").hint(RESUME)?;
    reporter.event(&finished(changed.len(), started));
    drop(lock);
    if output == OutputFormat::Text {
        print_text(&format!(
            "\nThis host's cluster runs Kubernetes {}. `kinstall status` shows whether it is healthy.\n",
            bundle.list().kubernetes_version
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn finished(changed_steps: usize, started: Instant) -> Event {
    let changed_hosts = usize::from(changed_steps > 0);
    Event::Finished { changed_steps, changed_hosts, hosts: 1, seconds: started.elapsed().as_secs_f64() }
}

fn refuse_several(inputs: &Inputs<'_>) -> anyhow::Result<()> {
    let hosts = inputs.topology.members().len();
    if hosts == 1 {
        return Ok(());
    }
    several(&format!("cluster.yaml of this cluster has {hosts} hosts"))
}

fn several(what: &str) -> anyhow::Result<()> {
    Err(anyhow!("{what}, and this command is about one host; nothing was changed")).refused().hint(
        "where the cluster is led, upgrade all of its hosts: `kinstall upgrade BUNDLE --key KEY --config cluster.yaml`",
    )
}

/// Rules of versions, preflight, and the plan.
fn decide(
    inputs: &Inputs<'_>,
    former: &BundleList,
    arguments: &UpgradeArguments,
    reporter: &Reporter,
) -> anyhow::Result<Plan> {
    let platform = &inputs.facts.platform;
    let found = rules::refusals(&versions(former, platform), &versions(inputs.list, platform), &[]);
    rules::refuse(&found.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let kubernetes = Some(inputs.list.kubernetes_version);
    let brought = BroughtPackages::of(inputs.list);
    let brought = Some(&brought);
    let subject = Subject { spec: inputs.spec, facts: inputs.facts, topology: None, kubernetes, brought };
    let findings = examine(&subject, &arguments.ignored);
    reporter.event(&Event::Preflight { findings: findings.clone() });
    refuse_rejected(&findings)?;
    plan_upgrade(inputs).context("no plan could be made; nothing was changed").refused()
}

/// The outline of the upgrade, with what the cluster reports. A cluster that is not healthy is not upgraded, unless an upgrade resumes:
/// then the interrupted upgrade may be the cause.
fn look_at_cluster(host: &Host, inputs: &Inputs<'_>, former: &BundleList, is_resumed: bool) -> anyhow::Result<Outline> {
    let platform = &inputs.facts.platform;
    let roles = inputs.roles();
    let outline = |apis| Outline::of_host(former, inputs.list, platform, roles, Surroundings::Alone, apis);
    if is_resumed {
        return Ok(outline(ApiUse::default()));
    }
    let state = ClusterState::read(host, inputs.list.kubernetes_version)?;
    state.refuse_ill()?;
    if state.nodes.len() > 1 {
        several(&format!("the cluster has {} nodes", state.nodes.len()))?;
    }
    let (before, after) = (versions(former, platform), versions(inputs.list, platform));
    rules::refuse(
        &rules::refusals(&before, &after, &state.kubelets()).iter().map(ToString::to_string).collect::<Vec<_>>(),
    )?;
    Ok(outline(state.apis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSpec;
    use crate::failure::message;
    use crate::fixture::bench::{Bench, FAILS, KUBECONFIG};
    use crate::fixture::{self, Cluster};
    use crate::host::{Change, Command};
    use crate::topology::Topology;
    use serde_json::Value;

    fn records_of(version: &str) -> Records {
        let list_bytes = fixture::list(version).to_bytes();
        Records { list_bytes, signatures: vec![], keys: vec![], spec: ClusterSpec::default(), name: None }
    }

    /// Looks at a single host with Kubernetes 1.36.3 in the new bundle.
    fn with_inputs<T>(look: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let (spec, facts, list) = (ClusterSpec::default(), fixture::facts(), fixture::list("1.36.3"));
        let topology = Topology::single(&spec, &facts).unwrap();
        look(&Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology })
    }

    #[test]
    fn a_host_that_was_never_set_up_or_is_one_of_several_is_refused() {
        let bench = Bench::new();
        insta::assert_snapshot!(message(&records(&bench.host()).unwrap_err()), @r"
        error: kinstall has not set up this host: there is nothing to upgrade
        hint: install the bundle: `kinstall run BUNDLE --key KEY`
        ");
        with_inputs(refuse_several).unwrap();
        let cluster = Cluster::of_three_and_two();
        let topology = cluster.seen_from("c1");
        let refusal = message(&refuse_several(&cluster.inputs(&topology)).unwrap_err());
        assert!(refusal.contains("has 5 hosts, and this command is about one host; nothing was changed"), "{refusal}");
        assert!(bench.host().ledger().changes().is_empty());
    }

    #[test]
    fn an_upgrade_goes_on_with_its_own_bundle_alone() {
        let bench = Bench::new();
        bench.file("var/lib/kinstall/ledger.jsonl", "");
        assert!(!resumes(&bench.host(), &records_of("1.36.3")).unwrap());
        unfinished::begin(&mut bench.host(), &records_of("1.36.3")).unwrap();
        assert!(resumes(&bench.host(), &records_of("1.36.3")).unwrap());
        let refusal = message(&resumes(&bench.host(), &records_of("1.36.4")).unwrap_err());
        assert!(refusal.contains("another bundle, with Kubernetes 1.36.3, is not finished"), "{refusal}");
    }

    #[test]
    fn an_installation_that_was_cut_off_is_completed_first() {
        let bench = Bench::new();
        let check = |bench: &Bench| {
            with_inputs(|inputs| refuse_incomplete(&plan::incomplete(&bench.host(), inputs), "this host"))
        };
        check(&bench).unwrap();
        bench.host().ledger_mut().record(Change::StepStarted { step: "ready".into() }).unwrap();
        let refusal = message(&check(&bench).unwrap_err());
        assert!(refusal.contains("is not complete: ready; nothing was changed"), "{refusal}");
        bench.host().ledger_mut().record(Change::StepDone { step: "ready".into() }).unwrap();
        check(&bench).unwrap();
    }

    /// A fake API with the nodes in the root's file `nodes`; not ready while that file is missing.
    fn api(root: &std::path::Path, command: &Command) -> Option<String> {
        let asked = command.arguments.join(" ");
        let nodes = fs_err::read_to_string(root.join("nodes"));
        match nodes {
            Err(_) => Some(format!("{FAILS}connection refused")),
            Ok(nodes) if asked.contains("get nodes") => Some(nodes),
            Ok(_) if asked.contains("/metrics") => {
                Some("apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",version=\"v1\"} 1\n".to_owned())
            }
            Ok(_) => None,
        }
    }

    fn node(name: &str, kubelet: &str, ready: &str) -> Value {
        serde_json::json!({"metadata": {"name": name}, "status": {
            "nodeInfo": {"kubeletVersion": kubelet}, "conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn a_cluster_that_is_not_well_is_not_upgraded() {
        let bench = Bench::with_programs(api);
        bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
        let former = fixture::list("1.35.4");
        let look = |is_resumed: bool| {
            with_inputs(|inputs| look_at_cluster(&bench.host(), inputs, &former, is_resumed))
                .map_err(|error| message(&error))
        };
        assert!(
            look(false).unwrap_err().contains("the API server is not ready: connection refused; nothing was changed")
        );
        look(true).expect("it may be what the upgrade left it");
        let nodes = |nodes: &[Value]| bench.file("nodes", &serde_json::json!({ "items": nodes }).to_string());
        nodes(&[node("a", "v1.35.4", "False")]);
        assert!(look(false).unwrap_err().contains("node a is not ready"));
        nodes(&[node("a", "v1.35.4", "True"), node("b", "v1.35.4", "True")]);
        assert!(look(false).unwrap_err().contains("the cluster has 2 nodes, and this command"));
        nodes(&[node("a", "v1.32.0", "True")]);
        assert!(look(false).unwrap_err().contains("the kubelet of a is 1.32.0"));
        nodes(&[node("a", "v1.35.4", "True")]);
        let outline = look(false).unwrap();
        assert_eq!(outline.apis.deprecated_apis[0].resource, "endpoints");
    }
}
