//! The add-ons of the bundle that the description lists.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, Context, Step, addon, charts};
use crate::config::DnsName;
use crate::inputs::Inputs;

/// Applies the add-ons that cluster.yaml lists.
pub struct Addons;

impl Step for Addons {
    fn id(&self) -> &'static str {
        "addons"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let named = |name: &str| match inputs.version_of_addon(name) {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        };
        let names: Vec<_> = of_manifests(inputs).map(|name| named(name.as_str())).collect();
        format!("add {} to the cluster", names.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() && of_manifests(inputs).next().is_some()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        addon::check(context, &objects(context)?)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        for name in of_manifests(&context.inputs) {
            context.progress.detail(name.as_str());
            addon::apply(context, addon::objects(context, name.as_str())?)?;
        }
        Ok(())
    }
}

/// The listed add-ons that are no charts.
fn of_manifests<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a DnsName> + use<'a> {
    let charts = charts::names(inputs);
    inputs.spec.addons.iter().filter(move |name| !charts.contains(name.as_str()))
}

fn objects(context: &Context<'_>) -> anyhow::Result<Vec<Value>> {
    let all: Result<Vec<_>, _> =
        context.spec.addons.iter().map(|name| addon::objects(context, name.as_str())).collect();
    Ok(all?.concat())
}

/// The first of the listed add-ons that the bundle does not have.
#[must_use]
pub fn missing<'a>(inputs: &Inputs<'a>) -> Option<&'a str> {
    inputs
        .spec
        .addons
        .iter()
        .map(DnsName::as_str)
        .find(|name| !addon::is_in_bundle(inputs, name) && !charts::is_in_bundle(inputs, name))
}

/// Where their pods run.
pub fn namespaces(context: &Context<'_>) -> anyhow::Result<BTreeSet<String>> {
    let runs_pods = |object: &&Value| ["Deployment", "DaemonSet"].contains(&addon::text(&object["kind"]));
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    Ok(objects(context)?.iter().filter(runs_pods).map(namespace).collect())
}
