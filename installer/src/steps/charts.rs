//! Charts of the bundle that the description lists: releases of the bundle's own helm, so that `helm list` and `helm rollback` work.
//!
//! A revision's description holds the digests of its chart and values: from it a second run sees that there is nothing to do. After a
//! rollback or somebody else's upgrade, the description differs, and the bundle's chart is installed again.

use kbundle_format::{Entry, EntryKind};

use super::Context;
use crate::helm::{Helm, ReleaseRequest};
use crate::host::Host;
use crate::inputs::Inputs;

/// Holds charts and values for helm.
const DIRECTORY: &str = "/var/lib/kinstall/charts";

/// A chart of the bundle: `charts/NAMESPACE/RELEASE/chart.tgz`, and `values-01.yaml` and so on beside it.
pub struct Chart<'a> {
    namespace: &'a str,
    release: &'a str,
    archive: &'a Entry,
    /// In the order in which helm takes them.
    values: Vec<&'a Entry>,
}

impl<'a> Chart<'a> {
    /// The chart whose release has this name.
    #[must_use]
    pub fn find(inputs: &Inputs<'a>, name: &str) -> Option<Self> {
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
    #[must_use]
    pub fn title(&self) -> String {
        let version = self.archive.component.as_ref().map(|component| component.version.as_str());
        format!("{} {}", self.release, version.unwrap_or("of an unknown version"))
    }

    /// The description of a revision with this content.
    fn description(&self) -> String {
        let values: Vec<_> = self.values.iter().map(|entry| entry.digest.to_string()).collect();
        let values = if values.is_empty() { "none".to_owned() } else { values.join(" ") };
        format!("kinstall: chart {}, values {values}", self.archive.digest)
    }

    /// Puts a file of the chart where helm reads it. Values may be secret.
    fn place(context: &mut Context<'_>, entry: &Entry) -> anyhow::Result<String> {
        let path = format!("{DIRECTORY}/{}", entry.path.as_str().trim_start_matches("charts/"));
        let content = context.bundle.read_entry(entry)?;
        context.host.write_file(&path, &content, 0o600)?;
        Ok(path)
    }
}

/// Why the cluster does not have the chart in the bundle's version.
pub fn unlike(host: &Host, chart: &Chart<'_>) -> anyhow::Result<Option<String>> {
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

/// Installs the chart, or upgrades its release to the bundle's chart, and waits until all of it is ready.
pub fn install(context: &mut Context<'_>, chart: &Chart<'_>) -> anyhow::Result<()> {
    context.progress.detail(&format!("{}, until all of it is ready", chart.title()));
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

    /// Why the chart has to be installed.
    fn reason(bench: &Bench, cluster: &Cluster) -> Option<String> {
        bench
            .look_as(cluster, "c1", &JoinMaterial::default(), |context| {
                unlike(&context.host, &Chart::find(&context.inputs, "shop").unwrap())
            })
            .unwrap()
    }

    #[test]
    fn a_chart_needs_helm() {
        let cluster = cluster();
        let topology = cluster.seen_from("c1");
        let inputs = cluster.inputs(&topology);
        assert_eq!(Chart::find(&inputs, "shop").unwrap().title(), "shop 1.2.3");
        let refusals = crate::plan::refusals(&inputs);
        assert!(refusals.iter().any(|found| matches!(found, Mismatch::NoHelm)), "{refusals:?}");
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
        assert_eq!(reason(&Bench::new(), &cluster).unwrap(), "helm is not installed");
        let with = |script: Script| {
            let bench = Bench::with_programs(script);
            bench.file("usr/local/bin/helm", "");
            reason(&bench, &cluster)
        };
        let rolled_back =
            with(|_, _| Some(r#"{"info": {"status": "deployed", "description": "Rollback to 1"}}"#.into()));
        assert_eq!(rolled_back.unwrap(), "shop is another revision than the bundle's: Rollback to 1");
        let cut_off =
            with(|_, _| Some(r#"{"info": {"status": "pending-upgrade", "description": "Preparing upgrade"}}"#.into()));
        assert_eq!(cut_off.unwrap(), "shop is pending-upgrade: Preparing upgrade");
        let same = with(|_, _| {
            let cluster = super::tests::cluster();
            let topology = cluster.seen_from("c1");
            let description = Chart::find(&cluster.inputs(&topology), "shop").unwrap().description();
            Some(serde_json::json!({"info": {"status": "deployed", "description": description}}).to_string())
        });
        assert_eq!(same, None);
    }
}
