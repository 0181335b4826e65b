//! Settings of add-ons for this cluster, beyond their manifests.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::ClusterAddon;
use crate::config::{ClusterSpec, LocalPathProvisioner, Metallb, Switch};
use crate::kubeadm::kubelets_are_signed;
use crate::steps::addon::text;

/// The name of the objects that kinstall makes from the settings.
const NAME: &str = "kinstall";
/// The annotation of the storage class for claims without one. Source: k8s.io/api/storage, `IsDefaultStorageClassAnnotation`.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Adapts `addon` to the cluster.
pub fn set(addon: &mut ClusterAddon, spec: &ClusterSpec) -> anyhow::Result<()> {
    match addon.name.as_str() {
        "metrics-server" => trust_kubelets(&mut addon.objects, spec),
        "metallb" => {
            let settings = spec.addon_settings.metallb.as_ref();
            addon.admitted_by_itself.extend(settings.into_iter().flat_map(pools));
        }
        "local-path-provisioner" => {
            let settings = spec.addon_settings.local_path_provisioner.clone().unwrap_or_default();
            set_volumes(&mut addon.objects, &settings)?;
        }
        _ => {}
    }
    Ok(())
}

/// kubeadm's kubelets have certificates that they signed themselves, unless they ask the cluster for them.
fn trust_kubelets(objects: &mut [Value], spec: &ClusterSpec) {
    const TRUST: &str = "--kubelet-insecure-tls";
    if kubelets_are_signed(spec) {
        return;
    }
    let servers = objects.iter_mut().filter(|object| object["kind"] == "Deployment");
    for server in servers {
        let containers = server["spec"]["template"]["spec"]["containers"].as_array_mut();
        for arguments in containers.into_iter().flatten().filter_map(|container| container["args"].as_array_mut()) {
            if !arguments.iter().any(|argument| text(argument).starts_with(TRUST)) {
                arguments.push(json!(TRUST));
            }
        }
    }
}

/// The address pool for Services, and its announcement by ARP.
fn pools(settings: &Metallb) -> [Value; 2] {
    let object = |kind: &str, spec: Value| json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": NAME, "namespace": "metallb-system"}, "spec": spec});
    let addresses: Vec<_> = settings.addresses.iter().map(ToString::to_string).collect();
    [
        object("IPAddressPool", json!({"addresses": addresses})),
        object("L2Advertisement", json!({"ipAddressPools": [NAME]})),
    ]
}

fn set_volumes(objects: &mut [Value], settings: &LocalPathProvisioner) -> anyhow::Result<()> {
    for object in objects {
        if object["kind"] == "StorageClass" {
            let is_default = settings.default_class == Switch::Enabled;
            object["metadata"]["annotations"][DEFAULT_CLASS] = json!(is_default.to_string());
        }
        if object["kind"] != "ConfigMap" {
            continue;
        }
        let data = &mut object["data"];
        if let (Some(path), Some(found)) = (&settings.path, data["config.json"].as_str()) {
            data["config.json"] = json!(with_path(found, path)?);
        }
        if let Some(found) = data["helperPod.yaml"].as_str() {
            data["helperPod.yaml"] = json!(without_pulls(found)?);
        }
    }
    Ok(())
}

/// The provisioner's configuration with the volumes of every node at `path`.
fn with_path(found: &str, path: &str) -> anyhow::Result<String> {
    let mut parsed: Value =
        serde_json::from_str(found).context("while reading config.json of local-path-provisioner")?;
    for node in parsed["nodePathMap"].as_array_mut().context("config.json has no nodePathMap")? {
        node["paths"] = json!([path]);
    }
    Ok(parsed.to_string())
}

/// The pod that makes and removes folders, with the image that the bundle brought: by default, an image without a tag would be pulled again
/// each time.
fn without_pulls(found: &str) -> anyhow::Result<String> {
    let mut pod: Value =
        serde_yaml::from_str(found).context("while reading helperPod.yaml of local-path-provisioner")?;
    for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
        container["imagePullPolicy"] = json!("IfNotPresent");
    }
    Ok(serde_yaml::to_string(&pod)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(name: &str, objects: Vec<Value>, spec: &str) -> ClusterAddon {
        let mut addon =
            ClusterAddon { name: name.into(), version: "1".into(), objects, admitted_by_itself: Vec::new() };
        set(&mut addon, &ClusterSpec::parse(spec).unwrap()).unwrap();
        addon
    }

    #[test]
    fn metrics_server_takes_the_certificates_that_kubelets_have() {
        let server = json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"args": ["--secure-port=10250"]}]}}}});
        let arguments = |spec: &str| {
            let addon = set_in("metrics-server", vec![server.clone()], spec);
            addon.objects[0]["spec"]["template"]["spec"]["containers"][0]["args"].clone()
        };
        assert_eq!(arguments(""), json!(["--secure-port=10250", "--kubelet-insecure-tls"]));
        assert_eq!(arguments("kubelet: {config: {serverTLSBootstrap: true}}"), json!(["--secure-port=10250"]));
    }

    #[test]
    fn metallb_gets_its_addresses_from_cluster_yaml() {
        let spec = "addons: [metallb]\naddon-settings: {metallb: {addresses: [192.0.2.240/30]}}";
        let addon = set_in("metallb", Vec::new(), spec);
        assert_eq!(addon.admitted_by_itself[0]["spec"]["addresses"], json!(["192.0.2.240-192.0.2.243"]));
        assert_eq!(addon.admitted_by_itself[1]["kind"], "L2Advertisement");
        assert_eq!(set_in("metallb", Vec::new(), "addons: [metallb]").admitted_by_itself, [Value::Null; 0]);
    }

    #[test]
    fn volumes_lie_where_they_are_wanted() {
        let class = json!({"kind": "StorageClass", "metadata": {"name": "local-path"}});
        let data = json!({
            "config.json": "{\"nodePathMap\": [{\"node\": \"DEFAULT\", \"paths\": [\"/opt/x\"]}]}",
            "helperPod.yaml": "kind: Pod\nspec: {containers: [{name: helper, image: busybox}]}\n",
        });
        let map = json!({"kind": "ConfigMap", "data": data});
        let objects = vec![class, map];
        let spec = "addons: [local-path-provisioner]\naddon-settings: {local-path-provisioner: {path: /srv/v, default-class: enabled}}";
        let addon = set_in("local-path-provisioner", objects.clone(), spec);
        assert_eq!(addon.objects[0]["metadata"]["annotations"][DEFAULT_CLASS], "true");
        assert!(text(&addon.objects[1]["data"]["config.json"]).contains("[\"/srv/v\"]"));
        assert!(text(&addon.objects[1]["data"]["helperPod.yaml"]).contains("imagePullPolicy: IfNotPresent"));
        let addon = set_in("local-path-provisioner", objects, "addons: [local-path-provisioner]");
        assert_eq!(addon.objects[0]["metadata"]["annotations"][DEFAULT_CLASS], "false");
        assert!(text(&addon.objects[1]["data"]["config.json"]).contains("/opt/x"));
    }
}
