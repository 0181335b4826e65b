//! Upstream's `calico.yaml`, adapted to this cluster: the file stays as its project published it, and its objects are changed after it is
//! read, as its comments and Calico's documentation say.
//!
//! Sources: `manifests/calico.yaml` and `manifests/calico-vxlan.yaml` of github.com/projectcalico/calico, which differ in these
//! settings alone, and docs.tigera.io, "Configuring calico/node".

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::config::{Calico, CalicoMode, Cidrs, Encapsulation, IpFamily};
use crate::steps::addon::text;

/// The checks of BIRD in `calico-node`'s probes. BIRD speaks BGP and does not run with VXLAN alone.
const PROBES: [(&str, &str); 2] = [("livenessProbe", "-bird-live"), ("readinessProbe", "-bird-ready")];

/// Changes the objects of `calico.yaml` according to `settings`.
pub fn set(objects: &mut [Value], settings: &Calico, pod_cidr: &Cidrs) -> anyhow::Result<()> {
    let config = find(objects, "ConfigMap", "calico-config")?;
    config["data"]["calico_backend"] = json!(if uses_bird(settings.mode) { "bird" } else { "vxlan" });
    // With 0, Calico chooses a suitable MTU.
    config["data"]["veth_mtu"] = json!(settings.mtu.unwrap_or(0).to_string());
    if pod_cidr.of(IpFamily::Ipv6).is_some() {
        let plugin = &mut config["data"]["cni_network_config"];
        *plugin = json!(with_families(text(plugin), pod_cidr)?);
    }

    let daemons = find(objects, "DaemonSet", "calico-node")?;
    let containers = daemons["spec"]["template"]["spec"]["containers"].as_array_mut();
    let node = containers.and_then(|all| all.iter_mut().find(|container| container["name"] == "calico-node"));
    let node = node.context("the DaemonSet calico-node of the bundle's manifest has no container calico-node")?;
    for (name, value) in variables(settings, pod_cidr) {
        set_variable(node, name, &value)?;
    }
    PROBES.iter().try_for_each(|(probe, question)| set_probe(node, probe, question, uses_bird(settings.mode)))
}

fn uses_bird(mode: CalicoMode) -> bool {
    mode != CalicoMode::Vxlan
}

fn find<'a>(objects: &'a mut [Value], kind: &str, name: &str) -> anyhow::Result<&'a mut Value> {
    let mut found = objects.iter_mut().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.next().with_context(|| format!("the bundle's manifest of Calico has no {kind} {name}"))
}

/// The environment variables of `calico-node` that depend on the cluster.
fn variables(settings: &Calico, pod_cidr: &Cidrs) -> Vec<(&'static str, String)> {
    let wrapped = match settings.encapsulation.unwrap_or_default() {
        Encapsulation::CrossSubnet => "CrossSubnet",
        Encapsulation::Always => "Always",
    };
    let only_in = |mode| if settings.mode == mode { wrapped } else { "Never" }.to_owned();
    // Without it, Calico takes the first suitable interface, which is often the wrong one on hosts with several networks.
    let address = |family| {
        let cidr = settings.node_cidr.filter(|cidr| cidr.family() == family);
        cidr.map_or_else(|| "kubernetes-internal-ip".to_owned(), |cidr| format!("cidr={cidr}"))
    };
    let never = || "Never".to_owned();
    let (ipv4, ipv6) = (pod_cidr.of(IpFamily::Ipv4), pod_cidr.of(IpFamily::Ipv6));
    let mut found: Vec<_> = ipv4.map(|pods| ("CALICO_IPV4POOL_CIDR", pods.to_string())).into_iter().collect();
    found.extend([
        ("CALICO_IPV4POOL_IPIP", ipv4.map_or_else(never, |_| only_in(CalicoMode::Ipip))),
        ("CALICO_IPV4POOL_VXLAN", ipv4.map_or_else(never, |_| only_in(CalicoMode::Vxlan))),
        // Has no effect without IPv6, and is the same in upstream's manifests.
        ("CALICO_IPV6POOL_VXLAN", only_in(CalicoMode::Vxlan)),
    ]);
    found.extend(match ipv4 {
        Some(_) => vec![("IP_AUTODETECTION_METHOD", address(IpFamily::Ipv4))],
        // BIRD needs an IPv4 address to identify a host, and there is none.
        None => vec![("IP", "none".to_owned()), ("CALICO_ROUTER_ID", "hash".to_owned())],
    });
    if let Some(pods) = ipv6 {
        found.extend([
            ("CALICO_IPV6POOL_CIDR", pods.to_string()),
            // As it is for IPv4 by default: the rest of the site has no route back to pods.
            ("CALICO_IPV6POOL_NAT_OUTGOING", "true".to_owned()),
            ("FELIX_IPV6SUPPORT", "true".to_owned()),
            ("IP6", "autodetect".to_owned()),
            ("IP6_AUTODETECTION_METHOD", address(IpFamily::Ipv6)),
        ]);
    }
    found
}

/// The plugin's configuration, with the address families of pods. It is not valid JSON before Calico's own container has filled it in.
fn with_families(config: &str, pod_cidr: &Cidrs) -> anyhow::Result<String> {
    const IPAM: &str = "\"type\": \"calico-ipam\"";
    ensure!(config.contains(IPAM), "the bundle's manifest of Calico has no {IPAM} in cni_network_config");
    let assigns = |family| pod_cidr.of(family).is_some();
    let wanted = format!(
        "{IPAM}, \"assign_ipv4\": \"{}\", \"assign_ipv6\": \"{}\"",
        assigns(IpFamily::Ipv4),
        assigns(IpFamily::Ipv6)
    );
    Ok(config.replacen(IPAM, &wanted, 1))
}

fn set_variable(container: &mut Value, name: &str, value: &str) -> anyhow::Result<()> {
    let variables = container["env"].as_array_mut().context("the container calico-node has no environment")?;
    let wanted = json!({"name": name, "value": value});
    match variables.iter_mut().find(|variable| variable["name"] == name) {
        Some(variable) => *variable = wanted,
        None => variables.push(wanted),
    }
    Ok(())
}

/// Lets a probe ask `question`, or not.
fn set_probe(container: &mut Value, probe: &str, question: &str, asks: bool) -> anyhow::Result<()> {
    let command = container[probe]["exec"]["command"].as_array_mut();
    let command = command.with_context(|| format!("the container calico-node has no {probe} that runs a command"))?;
    ensure!(
        command.iter().any(|word| text(word).starts_with("-felix-")),
        "the {probe} of calico-node does not ask Felix"
    );
    command.retain(|word| text(word) != question);
    if asks {
        command.push(json!(question));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::steps::addon::parse;

    /// Has the same shape as upstream's manifest, with the parts that are changed and a few that are not.
    const MANIFEST: &str = r#"
kind: ConfigMap
apiVersion: v1
metadata: {name: calico-config, namespace: kube-system}
data:
  typha_service_name: none
  calico_backend: bird
  veth_mtu: "0"
  cni_network_config: '{"plugins": [{"mtu": __CNI_MTU__, "ipam": {"type": "calico-ipam"}}]}'
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      containers:
      - name: calico-node
        env:
        - {name: IP, value: autodetect}
        - {name: CALICO_IPV4POOL_IPIP, value: Always}
        - {name: CALICO_IPV4POOL_VXLAN, value: Never}
        livenessProbe: {exec: {command: [/bin/calico-node, -felix-live, -bird-live]}}
        readinessProbe: {exec: {command: [/bin/calico-node, -felix-ready, -bird-ready]}}
"#;
    const MODULE: &str = "github.com/projectcalico/calico@v1.11.0-cni-plugin.0.20250813170300-a0db560f0520";

    fn after(manifest: &[u8], settings: &str) -> Vec<Value> {
        let mut objects = parse(manifest).unwrap();
        let settings = serde_yaml::from_str(settings).unwrap();
        set(&mut objects, &settings, &"10.0.0.0/16".parse().unwrap()).unwrap();
        objects
    }

    /// The settings in the manifest, shortened.
    fn shown(settings: &str) -> String {
        let objects = after(MANIFEST.as_bytes(), settings);
        let data = &objects[0]["data"];
        let node = &objects[1]["spec"]["template"]["spec"]["containers"][0];
        let mut lines = vec![format!("backend {}, mtu {}", text(&data["calico_backend"]), text(&data["veth_mtu"]))];
        let variables = node["env"].as_array().unwrap().iter();
        lines.extend(variables.map(|variable| format!("{} {}", text(&variable["name"]), text(&variable["value"]))));
        lines.extend(PROBES.map(|(probe, _)| node[probe]["exec"]["command"].to_string()));
        lines.join("\n")
    }

    #[test]
    fn vxlan_is_what_comes_by_default_and_asks_nothing_of_bird() {
        insta::assert_snapshot!(shown("{}"), @r#"
        backend vxlan, mtu 0
        IP autodetect
        CALICO_IPV4POOL_IPIP Never
        CALICO_IPV4POOL_VXLAN CrossSubnet
        CALICO_IPV4POOL_CIDR 10.0.0.0/16
        CALICO_IPV6POOL_VXLAN CrossSubnet
        IP_AUTODETECTION_METHOD kubernetes-internal-ip
        ["/bin/calico-node","-felix-live"]
        ["/bin/calico-node","-felix-ready"]
        "#);
    }

    #[test]
    fn ipip_and_bgp_need_bird() {
        insta::assert_snapshot!(shown("{mode: ipip, encapsulation: always, mtu: 1400, node-cidr: 192.0.2.0/24}"), @r#"
        backend bird, mtu 1400
        IP autodetect
        CALICO_IPV4POOL_IPIP Always
        CALICO_IPV4POOL_VXLAN Never
        CALICO_IPV4POOL_CIDR 10.0.0.0/16
        CALICO_IPV6POOL_VXLAN Never
        IP_AUTODETECTION_METHOD cidr=192.0.2.0/24
        ["/bin/calico-node","-felix-live","-bird-live"]
        ["/bin/calico-node","-felix-ready","-bird-ready"]
        "#);
        let bgp = shown("{mode: bgp}");
        assert!(bgp.starts_with("backend bird") && bgp.contains("IPIP Never") && bgp.contains("VXLAN Never"), "{bgp}");
    }

    /// The settings in the manifest for pods with these networks, shortened.
    fn shown_for(pods: &str) -> String {
        let mut objects = parse(MANIFEST.as_bytes()).unwrap();
        set(&mut objects, &Calico::default(), &pods.parse().unwrap()).unwrap();
        let node = &objects[1]["spec"]["template"]["spec"]["containers"][0];
        let variables = node["env"].as_array().unwrap().iter();
        let mut lines: Vec<_> =
            variables.map(|variable| format!("{} {}", text(&variable["name"]), text(&variable["value"]))).collect();
        lines.push(text(&objects[0]["data"]["cni_network_config"]).to_owned());
        lines.join("\n")
    }

    #[test]
    fn each_family_has_its_pool_and_its_way_to_find_addresses() {
        insta::assert_snapshot!(shown_for("10.0.0.0/16,fd00::/56"), @r#"
        IP autodetect
        CALICO_IPV4POOL_IPIP Never
        CALICO_IPV4POOL_VXLAN CrossSubnet
        CALICO_IPV4POOL_CIDR 10.0.0.0/16
        CALICO_IPV6POOL_VXLAN CrossSubnet
        IP_AUTODETECTION_METHOD kubernetes-internal-ip
        CALICO_IPV6POOL_CIDR fd00::/56
        CALICO_IPV6POOL_NAT_OUTGOING true
        FELIX_IPV6SUPPORT true
        IP6 autodetect
        IP6_AUTODETECTION_METHOD kubernetes-internal-ip
        {"plugins": [{"mtu": __CNI_MTU__, "ipam": {"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true"}}]}
        "#);
        insta::assert_snapshot!(shown_for("fd00::/56"), @r#"
        IP none
        CALICO_IPV4POOL_IPIP Never
        CALICO_IPV4POOL_VXLAN Never
        CALICO_IPV6POOL_VXLAN CrossSubnet
        CALICO_ROUTER_ID hash
        CALICO_IPV6POOL_CIDR fd00::/56
        CALICO_IPV6POOL_NAT_OUTGOING true
        FELIX_IPV6SUPPORT true
        IP6 autodetect
        IP6_AUTODETECTION_METHOD kubernetes-internal-ip
        {"plugins": [{"mtu": __CNI_MTU__, "ipam": {"type": "calico-ipam", "assign_ipv4": "false", "assign_ipv6": "true"}}]}
        "#);
    }

    #[test]
    fn a_manifest_of_another_shape_is_refused() {
        for gone in ["calico-config", "- name: calico-node", "livenessProbe", "-felix-ready", "env"] {
            let manifest = MANIFEST.replace(gone, if gone.starts_with("- ") { "- name: x" } else { "x" });
            let mut objects = parse(manifest.as_bytes()).unwrap();
            let error = set(&mut objects, &Calico::default(), &"10.0.0.0/16".parse().unwrap());
            assert!(error.is_err(), "without {gone}");
        }
    }

    /// Upstream's own manifest for VXLAN is a variant of the one in bundles: kinstall's result has to be the same for both.
    #[test]
    #[ignore = "needs Calico's Go module, which the lab's mirror is built from: ./ci/test one-host"]
    fn what_vxlan_makes_of_upstreams_manifest_is_upstreams_manifest_for_vxlan() {
        let manifests = upstream().expect("Calico's Go module; `go mod download` fetches it");
        let read = |name: &str| fs_err::read(manifests.join(name)).unwrap();
        let ours = after(&read("calico.yaml"), "{mode: vxlan}");
        let mut theirs = parse(&read("calico-vxlan.yaml")).unwrap();
        assert!(ours.len() > 20 && ours.len() == theirs.len());
        assert_eq!(ours, after(&read("calico-vxlan.yaml"), "{mode: vxlan}"), "their variant is set to the same");
        // In addition, kinstall sets the addresses of pods and of hosts.
        let node = find(&mut theirs, "DaemonSet", "calico-node").unwrap();
        let node = &mut node["spec"]["template"]["spec"]["containers"][0];
        set_variable(node, "CALICO_IPV4POOL_CIDR", "10.0.0.0/16").unwrap();
        set_variable(node, "IP_AUTODETECTION_METHOD", "kubernetes-internal-ip").unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(after(&read("calico-vxlan.yaml"), "{mode: ipip}"), after(&read("calico.yaml"), "{mode: ipip}"));
    }

    /// The path of the module's manifests in Go's cache, if they are there.
    fn upstream() -> Option<PathBuf> {
        let cache = Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
        let cache = String::from_utf8(cache.stdout).ok()?;
        let manifests = PathBuf::from(cache.trim()).join(MODULE).join("manifests");
        manifests.is_dir().then_some(manifests)
    }
}
