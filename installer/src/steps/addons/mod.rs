//! The add-ons and charts of the bundle that the description lists: applied one after another, in the order of the list but after what they
//! need. kinstall waits for each before it applies the next. Add-ons that are no longer listed are removed; [`kept`] records in the cluster
//! what was applied.

mod foreign;
mod kept;
mod removal;
mod rollout;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Digest;
use serde_json::Value;

use super::charts::{self, Chart};
use super::{Check, Context, Step, addon, needed};
use crate::addon_data::AddonData;
use crate::config::DnsName;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::wait::{Look, until};
use kept::{AddonState, KeptAddon};

pub use kept::ObjectName;

/// Slow disks and two cores need about one minute for an add-on.
const LIMIT: Duration = Duration::from_mins(5);

/// An add-on in its wanted state in this cluster.
#[derive(Clone, Debug)]
pub struct ClusterAddon {
    /// Its name in cluster.yaml.
    pub name: String,
    /// Its version in the bundle.
    pub version: String,
    /// The objects of its manifests, adapted to the cluster.
    pub objects: Vec<Value>,
    /// Objects that the API accepts only when the add-on's own pods admit them.
    pub admitted_by_itself: Vec<Value>,
}

impl ClusterAddon {
    /// The add-on called `name`, from the bundle and the description.
    fn of(context: &Context<'_>, name: &str) -> anyhow::Result<Self> {
        let mut addon = Self {
            name: name.to_owned(),
            version: context.version_of_addon(name).unwrap_or("of an unknown version").to_owned(),
            objects: flat(addon::objects(context, name)?),
            admitted_by_itself: Vec::new(),
        };
        settings::set(&mut addon, context.spec)?;
        Ok(addon)
    }

    /// All objects that are applied to the API.
    #[must_use]
    pub fn all_objects(&self) -> Vec<Value> {
        self.objects.iter().chain(&self.admitted_by_itself).cloned().collect()
    }

    fn names(&self) -> Vec<ObjectName> {
        self.objects.iter().chain(&self.admitted_by_itself).map(ObjectName::of).collect()
    }

    fn digest(&self) -> Digest {
        let all = serde_json::to_vec(&self.all_objects()).expect("objects are plain data");
        Digest::of(&all)
    }
}

/// Replaces lists by their objects.
fn flat(objects: Vec<Value>) -> Vec<Value> {
    let inside = |object: Value| match object["items"].as_array() {
        Some(items) if addon::text(&object["kind"]).ends_with("List") => items.clone(),
        _ => vec![object],
    };
    objects.into_iter().flat_map(inside).collect()
}

/// What the bundle contains under a name in cluster.yaml.
enum Listed<'a> {
    Objects(ClusterAddon),
    Chart(Chart<'a>),
}

/// Applies the add-ons that cluster.yaml lists, and removes those that it no longer lists.
pub struct Addons;

impl Step for Addons {
    fn id(&self) -> &'static str {
        "addons"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let named = |name: &str| match (Chart::find(inputs, name), inputs.version_of_addon(name)) {
            (Some(chart), _) => format!("chart {}", chart.title()),
            (None, Some(version)) => format!("{name} {version}"),
            (None, None) => name.to_owned(),
        };
        let names: Vec<_> = in_order(inputs).into_iter().map(named).collect();
        if names.is_empty() {
            return "remove add-ons that are no longer listed".to_owned();
        }
        format!("add {} to the cluster", names.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let api = Kubectl::on(&context.host);
        let kept = KeptAddon::read_all(&api)?;
        if let Some(leaving) = leaving(context, &kept).first() {
            return needed(format!("{} {} is no longer listed", leaving.name, leaving.version));
        }
        for one in listed(context)? {
            let reason = match one {
                Listed::Objects(addon) => lacking(&api, &addon, kept.get(&addon.name))?,
                Listed::Chart(chart) => charts::unlike(&context.host, &chart)?,
            };
            if let Some(reason) = reason {
                return needed(reason);
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let mut kept = KeptAddon::read_all(&Kubectl::on(&context.host))?;
        let leaving: Vec<_> = leaving(context, &kept).into_iter().cloned().collect();
        for gone in leaving {
            remove(context, &gone, &mut kept).with_context(|| format!("{} was not removed", gone.name))?;
        }
        for one in listed(context)? {
            match one {
                Listed::Objects(addon) => {
                    if lacking(&Kubectl::on(&context.host), &addon, kept.get(&addon.name))?.is_some() {
                        bring(context, &addon, &mut kept).with_context(|| format!("{} was not applied", addon.name))?;
                    }
                }
                Listed::Chart(chart) => {
                    if charts::unlike(&context.host, &chart)?.is_some() {
                        charts::install(context, &chart)
                            .with_context(|| format!("while installing the chart {}", chart.title()))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why an add-on has to be applied.
fn lacking(api: &Kubectl<'_>, addon: &ClusterAddon, known: Option<&KeptAddon>) -> anyhow::Result<Option<String>> {
    Ok(match known {
        Some(known) if !known.is(addon) => Some(difference(known, addon)),
        Some(_) if api.has_objects(&addon.all_objects())? => None,
        Some(_) => Some(format!("objects of {} are missing", addon.name)),
        None => Some(format!("{} was not applied yet", addon.name)),
    })
}

/// Why a known add-on has to be applied again.
fn difference(known: &KeptAddon, addon: &ClusterAddon) -> String {
    let name = &addon.name;
    match known.state {
        AddonState::Applied if known.version != addon.version => {
            format!("{name} {} is to become {}", known.version, addon.version)
        }
        AddonState::Applied => format!("the objects of {name} are to change"),
        AddonState::Applying => format!("{name} was not seen to run yet"),
        AddonState::Removed => format!("{name} was removed before"),
    }
}

/// The add-ons of the description that are manifests, in the order of application.
pub fn listed_objects(context: &Context<'_>) -> anyhow::Result<Vec<ClusterAddon>> {
    let objects = |listed| match listed {
        Listed::Objects(addon) => Some(addon),
        Listed::Chart(_) => None,
    };
    Ok(listed(context)?.into_iter().filter_map(objects).collect())
}

/// Everything that the description lists, in the order of application.
fn listed<'a>(context: &Context<'a>) -> anyhow::Result<Vec<Listed<'a>>> {
    let one = |name| match Chart::find(&context.inputs, name) {
        Some(chart) => Ok(Listed::Chart(chart)),
        None => ClusterAddon::of(context, name).map(Listed::Objects),
    };
    in_order(&context.inputs).into_iter().map(one).collect()
}

/// The names in the description, each after those that it needs by the bundle.
fn in_order<'a>(inputs: &Inputs<'a>) -> Vec<&'a str> {
    let names: Vec<_> = inputs.spec.addons.iter().map(DnsName::as_str).collect();
    inputs.list.after.in_order(&names)
}

/// The known add-ons that are no longer listed. The rest of a removed add-on stays until its data is to be deleted.
fn leaving<'a>(context: &Context<'_>, kept: &'a BTreeMap<String, KeptAddon>) -> Vec<&'a KeptAddon> {
    let is_listed = |known: &&KeptAddon| context.spec.addons.iter().any(|name| name.as_str() == known.name);
    let is_over =
        |known: &&KeptAddon| known.state == AddonState::Removed && context.material.addon_data == AddonData::Kept;
    kept.values().filter(|known| !is_listed(known) && !is_over(known)).collect()
}

/// Removes an add-on, and keeps a list of what remains of it.
fn remove(context: &Context<'_>, gone: &KeptAddon, kept: &mut BTreeMap<String, KeptAddon>) -> anyhow::Result<()> {
    kept.remove(&gone.name);
    let api = Kubectl::on(&context.host);
    let others: Vec<_> = kept.values().filter(|other| other.state != AddonState::Removed).collect();
    let stays = removal::remove(&api, context.progress, gone, &others, context.material.addon_data)?;
    match removal::remainder(gone, stays) {
        Some(rest) => rest.keep(&api)?,
        None => gone.forget(&api)?,
    }
    Ok(())
}

/// Applies an add-on, waits until it runs, and removes the objects that only its former version had.
fn bring(context: &Context<'_>, addon: &ClusterAddon, kept: &mut BTreeMap<String, KeptAddon>) -> anyhow::Result<()> {
    let api = Kubectl::on(&context.host);
    let begun = KeptAddon::begun(addon, kept.get(&addon.name));
    begun.keep(&api)?;
    context.progress.detail(&format!("{} {}", addon.name, addon.version));
    addon::apply(context, addon.objects.clone())?;
    until(context.progress, &addon.name, LIMIT, || {
        let reasons = rollout::unready(context, &addon.objects)?;
        let Some(first) = reasons.first() else { return Ok(Look::Ready(())) };
        context.progress.detail(&format!("{}: {first}", addon.name));
        Ok(Look::NotYet(reasons.join("; ")))
    })?;
    if !addon.admitted_by_itself.is_empty() {
        // A ready pod does not answer until its address is known everywhere.
        until(context.progress, &format!("{} to take its settings", addon.name), LIMIT, || {
            Ok(match addon::apply(context, addon.admitted_by_itself.clone()) {
                Ok(()) => Look::Ready(()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })?;
    }
    kept.remove(&addon.name);
    let others: Vec<_> = kept.values().filter(|other| other.state != AddonState::Removed).collect();
    let former = begun.left_behind(addon);
    let mut objects = removal::remove(&api, context.progress, &former, &others, context.material.addon_data)?;
    objects.extend(addon.names());
    let applied = KeptAddon { state: AddonState::Applied, objects, ..begun };
    applied.keep(&api)?;
    kept.insert(addon.name.clone(), applied);
    Ok(())
}

/// The namespaces in which their pods run.
pub fn namespaces(context: &Context<'_>) -> anyhow::Result<BTreeSet<String>> {
    let runs_pods = |object: &&Value| ["Deployment", "DaemonSet"].contains(&addon::text(&object["kind"]));
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    let listed = listed(context)?;
    let objects = listed.iter().flat_map(|one| match one {
        Listed::Objects(addon) => addon.objects.as_slice(),
        Listed::Chart(_) => &[],
    });
    Ok(objects.filter(runs_pods).map(namespace).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;
    use kbundle_format::EntryKind;
    use serde_json::json;

    use super::*;
    use crate::fixture::bench::Bench;
    use crate::fixture::{Cluster, chart};
    use crate::host::Command;

    const LEFT: &str = "left.json";

    /// A fake cluster for kubectl: its list of an add-on is in `left.json`, and deletions are written to `deleted`.
    fn kubectl(root: &Path, command: &Command) -> Option<String> {
        let line = command.to_string();
        let input: Value = serde_json::from_slice(&command.input).unwrap_or_default();
        let name = addon::text(&input["metadata"]["name"]).to_owned();
        let known = root.join(LEFT);
        if line.contains("get configmaps") {
            let kept = fs::read_to_string(known).ok()?;
            let map = json!({"metadata": {"name": "m"}, "data": {"applied.json": kept}});
            return Some(json!({"items": [map]}).to_string());
        }
        if line.contains(" apply ") && name.starts_with("kinstall-addon-") {
            fs::write(known, addon::text(&input["data"]["applied.json"])).unwrap();
        } else if line.contains(" delete ") && name.starts_with("kinstall-addon-") {
            fs::remove_file(known).unwrap();
        } else if line.contains(" delete ") {
            let before = fs::read_to_string(root.join("deleted")).unwrap_or_default();
            fs::write(root.join("deleted"), format!("{before}{name}\n")).unwrap();
        }
        None
    }

    fn bench(objects: &[Value]) -> Bench {
        let bench = Bench::with_programs(kubectl);
        let kept = KeptAddon {
            name: "app".into(),
            version: "1".into(),
            state: AddonState::Applied,
            digest: Digest::of(b""),
            objects: objects.iter().map(ObjectName::of).collect(),
        };
        bench.file(LEFT, &serde_json::to_string(&kept).unwrap());
        bench
    }

    fn object(kind: &str, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ns"}})
    }

    fn checked(bench: &Bench) -> Check {
        bench.work(&[&Addons], |_, context, _| Addons.check(context).unwrap()).1
    }

    #[test]
    fn an_add_on_that_is_listed_no_longer_goes() {
        let bench = bench(&[object("Service", "first"), object("ConfigMap", "second")]);
        assert_eq!(checked(&bench), Check::Needed("app 1 is no longer listed".into()));
        bench.work(&[&Addons], |_, context, _| Addons.apply(context).unwrap());
        assert_eq!(bench.read("deleted"), "second\nfirst\n");
        assert_eq!(checked(&bench), Check::Done);
        assert!(!bench.path(LEFT).exists());
    }

    #[test]
    fn volumes_stay_and_are_remembered() {
        let bench = bench(&[object("Service", "first"), object("PersistentVolumeClaim", "data")]);
        bench.work(&[&Addons], |_, context, _| Addons.apply(context).unwrap());
        assert_eq!(bench.read("deleted"), "first\n");
        assert_eq!(checked(&bench), Check::Done, "it was removed as far as it is to be");
        let left: KeptAddon = serde_json::from_str(&bench.read(LEFT)).unwrap();
        assert_eq!((left.state, left.objects.len()), (AddonState::Removed, 1));
    }

    #[test]
    fn what_is_needed_first_is_applied_first_charts_too() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.addons = ["team", "shop", "metallb"].map(|name| name.parse().unwrap()).into();
        cluster.list.entries.push(chart("charts/web/shop/chart.tgz", EntryKind::Chart));
        cluster.list.after.add("shop", ["metallb".to_owned()]);
        cluster.list.after.add("team", ["shop".to_owned()]);
        let topology = cluster.seen_from("c1");
        let inputs = cluster.inputs(&topology);
        assert_eq!(Addons.title(&inputs), "add metallb, chart shop 1.2.3, team to the cluster");
        for (name, concerned) in [("c1", true), ("c2", false), ("w1", false)] {
            assert_eq!(Addons.concerns(&cluster.inputs(&cluster.seen_from(name))), concerned, "{name}");
        }
    }

    #[test]
    fn objects_of_lists_stand_for_themselves() {
        let list = json!({"kind": "List", "items": [object("Service", "a"), object("Service", "b")]});
        assert_eq!(flat(vec![list, object("Pod", "c")]).len(), 3);
    }
}
