//! Charts of the bundle that the description lists: releases of the bundle's own helm, so that `helm list` and `helm rollback` work.
//!
//! A revision's description holds the digests of its chart and values: by it a second run sees that there is nothing to do. After a rollback, or an
//! upgrade by somebody else, the description is another one, and the chart of the bundle is installed again.

use std::collections::BTreeSet;

use anyhow::Context as _;
use kbundle_format::{ComponentName, Entry, EntryKind};

use super::{Check, Context, Step, needed};
use crate::config::DnsName;
use crate::helm::{Helm, ReleaseRequest};
use crate::host::Host;
use crate::inputs::Inputs;

/// Where charts and values lie for helm.
const DIRECTORY: &str = "/var/lib/kinstall/charts";

/// Installs the charts that cluster.yaml lists.
pub struct Charts;

/// A chart of the bundle: `charts/NAMESPACE/RELEASE/chart.tgz`, and `values-01.yaml` and so on beside it.
struct Chart<'a> {
    namespace: &'a str,
    release: &'a str,
    archive: &'a Entry,
    /// In the order in which helm takes them.
    values: Vec<&'a Entry>,
}

impl<'a> Chart<'a> {
    fn find(inputs: &Inputs<'a>, name: &str) -> Option<Self> {
        let of_kind = |kind| inputs.list.entries.iter().filter(move |entry| entry.kind == kind);
        let (archive, namespace, release) = of_kind(EntryKind::Chart).find_map(|entry| {
            let mut parts = entry.path.as_str().split('/').skip(1);
            let (namespace, release) = (parts.next()?, parts.next()?);
            (release == name).then_some((entry, namespace, release))
        })?;
        let folder = format!("charts/{namespace}/{release}/");
        let mut values: Vec<_> =
            of_kind(EntryKind::ChartValues).filter(|entry| entry.path.as_str().starts_with(&folder)).collect();
        values.sort_by(|one, other| one.path.cmp(&other.path));
        Some(Self { namespace, release, archive, values })
    }

    /// The name and the version of the chart.
    fn title(&self) -> String {
        let version = self.archive.component.as_ref().map(|component| component.version.as_str());
        format!("{} {}", self.release, version.unwrap_or("of an unknown version"))
    }

    /// What a revision with this content says of itself.
    fn description(&self) -> String {
        let values: Vec<_> = self.values.iter().map(|entry| entry.digest.to_string()).collect();
        let values = if values.is_empty() { "none".to_owned() } else { values.join(" ") };
        format!("kinstall: chart {}, values {values}", self.archive.digest)
    }

    /// Puts a file of it where helm reads it. Values may be secret.
    fn place(context: &mut Context<'_>, entry: &Entry) -> anyhow::Result<String> {
        let path = format!("{DIRECTORY}/{}", entry.path.as_str().trim_start_matches("charts/"));
        let content = context.bundle.read_entry(entry)?;
        context.host.write_file(&path, &content, 0o600)?;
        Ok(path)
    }
}

/// The charts among the add-ons that the description lists, in its order.
fn listed<'a>(inputs: &Inputs<'a>) -> Vec<Chart<'a>> {
    inputs.spec.addons.iter().map(DnsName::as_str).filter_map(|name| Chart::find(inputs, name)).collect()
}

impl Step for Charts {
    fn id(&self) -> &'static str {
        "charts"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let charts: Vec<_> = listed(inputs).iter().map(Chart::title).collect();
        let helm = inputs.version_of(ComponentName::Helm).map(|version| format!(" {version}")).unwrap_or_default();
        let word = if charts.len() == 1 { "chart" } else { "charts" };
        format!("install the {word} {} with helm{helm}", charts.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() && !listed(inputs).is_empty()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        for chart in listed(context) {
            if let Some(reason) = unlike(&context.host, &chart)? {
                return needed(reason);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let inputs = context.inputs;
        for chart in listed(&inputs) {
            if unlike(&context.host, &chart)?.is_none() {
                continue;
            }
            context.progress.detail(&format!("{}, until all of it is ready", chart.title()));
            install(context, &chart).with_context(|| format!("while installing the chart {}", chart.title()))?;
        }
        Ok(())
    }
}

/// Why the cluster does not have the chart as the bundle has it.
fn unlike(host: &Host, chart: &Chart<'_>) -> anyhow::Result<Option<String>> {
    let helm = Helm::on(host);
    let release = chart.release;
    if !helm.is_installed() {
        return Ok(Some("helm is not installed".to_owned()));
    }
    Ok(match helm.release(release, chart.namespace)? {
        None => Some(format!("{release} is not installed")),
        Some(found) if found.is(&chart.description()) => None,
        Some(found) if found.status == "deployed" => {
            Some(format!("{release} is another revision than the bundle's: {}", found.description))
        }
        Some(found) => Some(format!("{release} is {}: {}", found.status, found.description)),
    })
}

fn install(context: &mut Context<'_>, chart: &Chart<'_>) -> anyhow::Result<()> {
    let archive = Chart::place(context, chart.archive)?;
    let values = chart.values.iter().map(|entry| Chart::place(context, entry)).collect::<anyhow::Result<Vec<_>>>()?;
    let helm = Helm::on(&context.host);
    if helm.release(chart.release, chart.namespace)?.is_some_and(|found| found.is_pending()) {
        helm.forget_pending(chart.release, chart.namespace)?;
    }
    helm.upgrade(&ReleaseRequest {
        name: chart.release,
        namespace: chart.namespace,
        chart: &archive,
        values: &values,
        description: &chart.description(),
    })
}

/// Names of add-ons that are charts.
#[must_use]
pub fn names<'a>(inputs: &Inputs<'a>) -> BTreeSet<&'a str> {
    listed(inputs).into_iter().map(|chart| chart.release).collect()
}

#[cfg(test)]
mod tests {
    use kbundle_cluster::needs::Mismatch;

    use super::*;
    use crate::fixture::bench::{Bench, Script};
    use crate::fixture::{Cluster, chart};
    use crate::join_material::JoinMaterial;

    /// A cluster that lists a chart with two files of values, in the wrong order, beside an add-on.
    fn cluster() -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.addons = vec!["metallb".parse().unwrap(), "shop".parse().unwrap()];
        let file = |name: &str, kind| chart(&format!("charts/web/shop/{name}"), kind);
        let values = ["values-02.yaml", "values-01.yaml"].map(|name| file(name, EntryKind::ChartValues));
        cluster.list.entries.push(file("chart.tgz", EntryKind::Chart));
        cluster.list.entries.extend(values);
        cluster
    }

    fn check(bench: &Bench, cluster: &Cluster) -> Check {
        bench.look_as(cluster, "c1", &JoinMaterial::default(), |context| Charts.check(context)).unwrap()
    }

    #[test]
    fn the_first_control_plane_alone_installs_them() {
        let cluster = cluster();
        for (name, concerned) in [("c1", true), ("c2", false), ("w1", false)] {
            assert_eq!(Charts.concerns(&cluster.inputs(&cluster.seen_from(name))), concerned, "{name}");
        }
        let topology = cluster.seen_from("c1");
        let inputs = cluster.inputs(&topology);
        assert_eq!(Charts.title(&inputs), "install the chart shop 1.2.3 with helm");
        let refusals = crate::plan::refusals(&inputs);
        assert!(refusals.iter().any(|found| matches!(found, Mismatch::NoHelm)), "{refusals:?}");
        assert_eq!(names(&inputs), BTreeSet::from(["shop"]));
    }

    #[test]
    fn values_keep_their_order() {
        let cluster = cluster();
        let topology = cluster.seen_from("c1");
        let inputs = cluster.inputs(&topology);
        let found = Chart::find(&inputs, "shop").unwrap();
        let order: Vec<_> = found.values.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(order, ["charts/web/shop/values-01.yaml", "charts/web/shop/values-02.yaml"]);
    }

    #[test]
    fn what_runs_as_the_bundle_has_it_is_unchanged() {
        let cluster = cluster();
        let missing = check(&Bench::new(), &cluster);
        assert_eq!(missing, Check::Needed("helm is not installed".to_owned()));
        let with = |script: Script| {
            let bench = Bench::with_programs(script);
            bench.file("usr/local/bin/helm", "");
            check(&bench, &cluster)
        };
        let rolled_back =
            with(|_, _| Some(r#"{"info": {"status": "deployed", "description": "Rollback to 1"}}"#.into()));
        assert_eq!(rolled_back, Check::Needed("shop is another revision than the bundle's: Rollback to 1".to_owned()));
        let cut_off =
            with(|_, _| Some(r#"{"info": {"status": "pending-upgrade", "description": "Preparing upgrade"}}"#.into()));
        assert_eq!(cut_off, Check::Needed("shop is pending-upgrade: Preparing upgrade".to_owned()));
        let same = with(|_, _| {
            let cluster = super::tests::cluster();
            let topology = cluster.seen_from("c1");
            let description = Chart::find(&cluster.inputs(&topology), "shop").unwrap().description();
            Some(serde_json::json!({"info": {"status": "deployed", "description": description}}).to_string())
        });
        assert_eq!(same, Check::Done);
    }
}
