//! A network add-on of the bundle: its manifests, with the cluster's pod network set, applied to the API.

use anyhow::Context as _;
use kbundle_format::{Entry, EntryKind};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::config::{Cidr, Cni};
use crate::kubectl::Kubectl;
use crate::steps::{Check, Context, Inputs, needed};

/// Whether the bundle has what `inputs` ask for; nothing is asked for the bridge.
#[must_use]
pub fn is_in_bundle(inputs: &Inputs<'_>) -> bool {
    inputs.spec.network.cni == Cni::Bridge || manifests(inputs).next().is_some()
}

fn manifests<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
    let folder = format!("manifests/{}/", inputs.spec.network.cni.as_str());
    let is_wanted = move |entry: &&Entry| entry.kind == EntryKind::Manifest && entry.path.as_str().starts_with(&folder);
    inputs.list.entries.iter().filter(is_wanted)
}

pub fn check(context: &Context<'_>) -> anyhow::Result<Check> {
    for object in objects(context)? {
        if !Kubectl::on(&context.host).has_object(&object)? {
            return needed(format!("{} {} is not there", text(&object["kind"]), text(&object["metadata"]["name"])));
        }
    }
    Ok(Check::Done)
}

/// What the add-on's pods fill on the host, beside what every network does.
fn trees(cni: Cni) -> &'static [&'static str] {
    match cni {
        Cni::Bridge => &[],
        Cni::Flannel => &["/run/flannel"],
        Cni::Calico => &["/run/calico", "/var/lib/calico", "/var/log/calico"],
    }
}

pub fn apply(context: &mut Context<'_>) -> anyhow::Result<()> {
    for tree in trees(context.spec.network.cni) {
        context.host.claim_tree(tree)?;
    }
    // Definitions of further kinds come first in the manifests, but the API knows a new kind only a moment later.
    let (definitions, others): (Vec<_>, Vec<_>) =
        objects(context)?.into_iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    for group in [definitions, others].into_iter().filter(|group| !group.is_empty()) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": group});
        Kubectl::on(&context.host).apply(serde_json::to_vec(&list)?)?;
    }
    Ok(())
}

/// The objects of the add-on's manifests, made to fit this cluster.
fn objects(context: &Context<'_>) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for entry in manifests(context) {
        let bytes = context.bundle.read_entry(entry)?;
        let in_file = parse(&bytes).with_context(|| format!("while reading {}", entry.path))?;
        objects.extend(in_file);
    }
    for object in &mut objects {
        set_flannel_network(object, &context.spec.network.pod_cidr)?;
    }
    Ok(objects)
}

/// Reads a file of YAML documents; empty ones are passed over.
fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_slice(bytes);
    let objects: Result<Vec<_>, _> = documents.map(Value::deserialize).collect();
    Ok(objects?.into_iter().filter(|object| !object.is_null()).collect())
}

/// Flannel has the pod network in a `ConfigMap`. Calico asks kubeadm's.
fn set_flannel_network(object: &mut Value, pod_cidr: &Cidr) -> anyhow::Result<()> {
    if object["kind"] != "ConfigMap" || object["metadata"]["name"] != "kube-flannel-cfg" {
        return Ok(());
    }
    let settings = object["data"]["net-conf.json"].as_str().context("Flannel's ConfigMap has no net-conf.json")?;
    let mut settings: Value = serde_json::from_str(settings).context("while reading Flannel's net-conf.json")?;
    settings["Network"] = json!(pod_cidr.to_string());
    object["data"]["net-conf.json"] = json!(settings.to_string());
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "---\nkind: Namespace\nmetadata: {name: kube-flannel}\n---\n# nothing\n---\n\
        kind: ConfigMap\nmetadata: {name: kube-flannel-cfg}\ndata:\n  net-conf.json: |\n    {\"Network\": \"10.244.0.0/16\", \"Backend\": {\"Type\": \"vxlan\"}}\n";

    #[test]
    fn flannel_gets_the_clusters_pod_network() {
        let mut objects = parse(MANIFEST.as_bytes()).unwrap();
        assert_eq!(objects.len(), 2);
        for object in &mut objects {
            set_flannel_network(object, &"10.0.0.0/16".parse().unwrap()).unwrap();
        }
        let settings: Value = serde_json::from_str(text(&objects[1]["data"]["net-conf.json"])).unwrap();
        assert_eq!(settings, json!({"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan"}}));
    }
}
