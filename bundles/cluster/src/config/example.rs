//! An example of `cluster.yaml`.

/// Every key of `cluster.yaml`, commented out: its default, or an example of three control planes and two workers.
pub const EXAMPLE: &str = include_str!("example.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CalicoMode, ClusterSpec, Encapsulation, Fields, KubeProxy, Kubelet, Network, schema};
    use std::collections::BTreeSet;

    /// The example with every setting uncommented.
    fn uncommented() -> String {
        let line = |line: &str| format!("{}\n", line.strip_prefix("# ").unwrap_or(line));
        EXAMPLE.lines().map(line).collect()
    }

    #[test]
    fn as_it_is_it_changes_nothing() {
        assert_eq!(ClusterSpec::parse(EXAMPLE).unwrap(), ClusterSpec::default());
    }

    #[test]
    fn uncommented_it_is_a_cluster_with_the_defaults() {
        let spec = ClusterSpec::parse(&uncommented()).unwrap();
        assert_eq!(spec.hosts.len(), 5);
        assert_eq!(spec.registries[0].host, "docker.io");
        let calico = spec.network.calico.clone().unwrap();
        assert_eq!((calico.mode, calico.encapsulation), (CalicoMode::default(), Some(Encapsulation::default())));
        for settings in [&spec.network.kube_proxy.config, &spec.kubelet.config] {
            assert!(!settings.is_empty());
        }
        let kube_proxy = KubeProxy { config: Fields::default(), ..spec.network.kube_proxy };
        let network = Network { calico: None, kube_proxy, ..spec.network };
        let kubelet = Kubelet { config: Fields::default(), ..spec.kubelet };
        let usual = ClusterSpec::default();
        let (api, security, addons) = (spec.api, spec.security, spec.addons);
        // Everything else is an example of a key without a default.
        let with_defaults = ClusterSpec { name: spec.name, network, kubelet, api, security, addons, ..usual.clone() };
        assert_eq!(with_defaults.filled_in(), usual.filled_in());
    }

    #[test]
    fn every_key_is_in_it() {
        fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
            for (key, inner) in schema.as_object().into_iter().flatten() {
                if key == "properties" {
                    found.extend(inner.as_object().unwrap().keys().cloned());
                }
                keys(inner, found);
            }
        }
        let mut wanted = BTreeSet::new();
        keys(&schema(), &mut wanted);
        assert!(wanted.len() > 25, "{wanted:?}");
        let text = uncommented();
        let has = |key: &String| {
            text.lines().any(|line| line.trim_start_matches([' ', '-', '#']).starts_with(&format!("{key}:")))
        };
        let missing: Vec<_> = wanted.iter().filter(|key| !has(key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
