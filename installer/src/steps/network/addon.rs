//! A network add-on of the bundle, adapted to the cluster.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::calico;
use crate::config::{Cidrs, Cni, IpFamily};
use crate::steps::{Check, Context, addon};

pub fn check(context: &Context<'_>) -> anyhow::Result<Check> {
    addon::check(context, &objects(context)?)
}

/// Directories that the network's pods fill on every node, in addition to those of every network (`/etc/cni`, `/var/lib/cni`, `/opt/cni`).
/// They are claimed before the kubelet starts, because the pods start as soon as a node has joined.
#[must_use]
pub fn trees(cni: Cni) -> &'static [&'static str] {
    match cni {
        Cni::Bridge | Cni::None => &[],
        Cni::Flannel => &["/run/flannel"],
        Cni::Calico => &["/run/calico", "/run/nodeagent", "/var/lib/calico", "/var/log/calico"],
    }
}

/// Where the network's pods mount a file system on the host, unless systemd did so at boot.
#[must_use]
pub fn mounts(cni: Cni) -> &'static [&'static str] {
    match cni {
        Cni::Calico => &["/sys/fs/bpf"],
        Cni::Bridge | Cni::Flannel | Cni::None => &[],
    }
}

pub fn apply(context: &Context<'_>) -> anyhow::Result<()> {
    addon::apply(context, objects(context)?)
}

/// The objects of the network's manifests; empty for a network without manifests.
pub fn objects(context: &Context<'_>) -> anyhow::Result<Vec<Value>> {
    let network = &context.spec.network;
    let mut objects = addon::objects(context, context.cni().as_str())?;
    match context.cni() {
        Cni::Calico => calico::set(&mut objects, &network.calico.clone().unwrap_or_default(), &network.pod_cidr)?,
        Cni::Flannel => {
            objects.iter_mut().try_for_each(|object| set_flannel_network(object, &network.pod_cidr))?;
        }
        Cni::Bridge | Cni::None => {}
    }
    Ok(objects)
}

/// Flannel has the pod network in a `ConfigMap`.
fn set_flannel_network(object: &mut Value, pod_cidr: &Cidrs) -> anyhow::Result<()> {
    if object["kind"] != "ConfigMap" || object["metadata"]["name"] != "kube-flannel-cfg" {
        return Ok(());
    }
    let settings = object["data"]["net-conf.json"].as_str().context("Flannel's ConfigMap has no net-conf.json")?;
    let mut settings: Value = serde_json::from_str(settings).context("while reading Flannel's net-conf.json")?;
    // Source: pkg/subnet/config.go of Flannel; by default, IPv4 is on and IPv6 off.
    for (family, enabled, network) in
        [(IpFamily::Ipv4, "EnableIPv4", "Network"), (IpFamily::Ipv6, "EnableIPv6", "IPv6Network")]
    {
        let Some(fields) = settings.as_object_mut() else { break };
        match pod_cidr.of(family) {
            Some(cidr) => drop(fields.insert(network.to_owned(), json!(cidr.to_string()))),
            None => drop(fields.remove(network)),
        }
        if pod_cidr.of(IpFamily::Ipv6).is_some() {
            fields.insert(enabled.to_owned(), json!(pod_cidr.of(family).is_some()));
        }
    }
    object["data"]["net-conf.json"] = json!(settings.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "---\nkind: Namespace\nmetadata: {name: kube-flannel}\n---\n# nothing\n---\n\
        kind: ConfigMap\nmetadata: {name: kube-flannel-cfg}\ndata:\n  net-conf.json: |\n    {\"Network\": \"10.244.0.0/16\", \"Backend\": {\"Type\": \"vxlan\"}}\n";

    #[test]
    fn flannel_gets_the_clusters_pod_network() {
        let mut objects = addon::parse(MANIFEST.as_bytes()).unwrap();
        assert_eq!(objects.len(), 2);
        for object in &mut objects {
            set_flannel_network(object, &"10.0.0.0/16".parse().unwrap()).unwrap();
        }
        let settings: Value = serde_json::from_str(addon::text(&objects[1]["data"]["net-conf.json"])).unwrap();
        assert_eq!(settings, json!({"Network": "10.0.0.0/16", "Backend": {"Type": "vxlan"}}));
    }

    #[test]
    fn flannel_is_told_of_each_family() {
        let told = |pods: &str| {
            let mut objects = addon::parse(MANIFEST.as_bytes()).unwrap();
            set_flannel_network(&mut objects[1], &pods.parse().unwrap()).unwrap();
            let mut settings: Value = serde_json::from_str(addon::text(&objects[1]["data"]["net-conf.json"])).unwrap();
            settings.as_object_mut().unwrap().remove("Backend");
            settings
        };
        let both =
            json!({"EnableIPv4": true, "Network": "10.0.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00::/56"});
        assert_eq!(told("10.0.0.0/16,fd00::/56"), both);
        assert_eq!(told("fd00::/56"), json!({"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00::/56"}));
    }
}
