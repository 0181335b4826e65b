//! The kubelet's and kube-proxy's documents, whose fields are passed on as they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Import, Section};
use crate::config::{Fields, IpFamily, KubeProxyMode, owned};
use crate::kube_types::{Structure, flaws};
use crate::kubeadm::own_kubelet_configuration;

/// Values that kubeadm or kinstall writes into fields that cannot be given. No remark is made about them.
const USUAL_OF_KUBELET: [(&str, &str); 9] = [
    ("authentication.x509", r#"{"clientCAFile":"/etc/kubernetes/pki/ca.crt"}"#),
    ("authentication.anonymous", r#"{"enabled":false}"#),
    ("authentication.webhook.enabled", "true"),
    ("authorization.mode", r#""Webhook""#),
    ("cgroupDriver", r#""systemd""#),
    ("healthzBindAddress", r#""127.0.0.1""#),
    ("healthzPort", "10248"),
    ("staticPodPath", r#""/etc/kubernetes/manifests""#),
    ("readOnlyPort", "0"),
];

impl Import<'_> {
    pub(super) fn kubelet(&mut self, mut section: Section) {
        if let Some(most) = section.text("maxPods") {
            match most.parse() {
                Ok(most) => self.spec.kubelet.max_pods = most,
                Err(_) => self.remark(section.place("maxPods"), format!("left out: `{most}` is not a number of pods")),
            }
        }
        let mut fields = saying(section.into_fields());
        let domain = Value::from(self.spec.network.dns_domain.as_str());
        if fields.get("clusterDomain") == Some(&domain) {
            fields.remove("clusterDomain");
        }
        let dns = self.spec.network.service_cidr.first().nth(10).map(|address| json!([address.to_string()]));
        if fields.get("clusterDNS") == dns.as_ref() {
            fields.remove("clusterDNS");
        }
        for (field, value) in own_kubelet_configuration() {
            if fields.get(&field) == Some(&value) {
                fields.remove(&field);
            }
        }
        self.take_owned("KubeletConfiguration", &mut fields, owned::KUBELET, &USUAL_OF_KUBELET);
        self.spec.kubelet.config = fields;
    }

    pub(super) fn kube_proxy(&mut self, mut section: Section) {
        let proxy = &mut self.spec.network.kube_proxy;
        // If kube-proxy's phase is skipped there is no kube-proxy, whatever its document says.
        if proxy.mode == KubeProxyMode::None {
            return self
                .remark("KubeProxyConfiguration", "left out: InitConfiguration.skipPhases leaves kube-proxy out");
        }
        match section.text("mode").as_deref() {
            None | Some("iptables") => {}
            Some("ipvs") => proxy.mode = KubeProxyMode::Ipvs,
            Some("nftables") => proxy.mode = KubeProxyMode::Nftables,
            Some(mode) => {
                let message = format!("left out: `{mode}` is none of iptables, ipvs and nftables");
                self.remark(section.place("mode"), message);
            }
        }
        let mut fields = saying(section.into_fields());
        let proxy = &mut self.spec.network.kube_proxy;
        let strict = fields.get_mut("ipvs").and_then(Value::as_object_mut).and_then(|ipvs| ipvs.remove("strictARP"));
        if strict == Some(Value::Bool(true)) {
            proxy.strict_arp = proxy.mode == KubeProxyMode::Ipvs;
            if !proxy.strict_arp {
                self.remark("KubeProxyConfiguration.ipvs.strictARP", "left out: it applies to the mode ipvs only");
            }
        }
        let keeps_localhost = self.spec.network.kube_proxy.mode == KubeProxyMode::Iptables;
        if let Some(iptables) = fields.get_mut("iptables").and_then(Value::as_object_mut)
            && keeps_localhost
            && iptables.get("localhostNodePorts") == Some(&Value::Bool(false))
        {
            iptables.remove("localhostNodePorts");
        }
        let pods = Value::from(self.spec.network.pod_cidr.to_string());
        if fields.get("clusterCIDR") == Some(&pods) {
            fields.remove("clusterCIDR");
        }
        let usual = [("clientConnection.kubeconfig", r#""/var/lib/kube-proxy/kubeconfig.conf""#)];
        self.take_owned("KubeProxyConfiguration", &mut fields, owned::KUBE_PROXY, &usual);
        let mut fields = saying(without_switched_off(fields));
        // Each host listens on all of its addresses by default.
        if fields.get("bindAddress").and_then(Value::as_str)
            == Some(if self.spec.network.main_family() == IpFamily::Ipv4 { "0.0.0.0" } else { "::" })
        {
            fields.remove("bindAddress");
        }
        self.spec.network.kube_proxy.config = fields;
    }

    /// Removes the fields that cannot be given, and names those whose values are not the usual ones.
    fn take_owned(&mut self, kind: &str, fields: &mut Fields, owned: owned::Owned, usual: &[(&str, &str)]) {
        for (path, reason) in owned {
            let says = |value: &Value| !value.is_null() && value.as_str() != Some("");
            let Some(value) = owned::remove(fields, path).filter(says) else {
                continue;
            };
            let is_usual = usual
                .iter()
                .any(|(known, usual)| known == path && serde_json::from_str(usual).ok().as_ref() == Some(&value));
            if !is_usual {
                self.remark(format!("{kind}.{path}"), format!("left out: {reason}"));
            }
        }
    }

    /// Removes the fields that no known version of Kubernetes takes, and names them.
    pub(super) fn leave_out_what_is_unknown(&mut self) {
        for (structure, kind) in
            [(Structure::Kubelet, "KubeletConfiguration"), (Structure::KubeProxy, "KubeProxyConfiguration")]
        {
            let fields = match structure {
                Structure::Kubelet => &mut self.spec.kubelet.config,
                Structure::KubeProxy => &mut self.spec.network.kube_proxy.config,
            };
            let found = flaws(structure, fields, None);
            let broken: BTreeSet<_> = found.iter().filter_map(|flaw| flaw.path.split(['.', '[']).next()).collect();
            for field in broken {
                fields.remove(field);
            }
            for flaw in &found {
                self.remark(
                    format!("{kind}.{}", flaw.path),
                    format!("left out with what is around it: {}", flaw.message),
                );
            }
        }
    }
}

/// The fields that say something. `kubeadm config print` also writes many fields without a value, or with the zero that stands for the
/// default.
fn saying(fields: Fields) -> Fields {
    let says = |(name, value): (String, Value)| {
        let value = match value {
            Value::Object(inner) if name == "logging" => Value::Object(saying_of_logging(inner)),
            Value::Object(inner) => Value::Object(saying(inner)),
            other => other,
        };
        let is_silent = match &value {
            Value::Null => true,
            Value::String(text) => ["", "0s"].contains(&text.as_str()),
            Value::Object(inner) => inner.is_empty(),
            Value::Array(_) | Value::Bool(_) | Value::Number(_) => false,
        };
        (!is_silent).then_some((name, value))
    };
    fields.into_iter().filter_map(says).collect()
}

/// The fields without those that are off by default in kube-proxy, and without rates that are zero: `kubeadm config print` writes them too.
/// A field that is on by default, such as `localhostNodePorts`, stays.
fn without_switched_off(fields: Fields) -> Fields {
    let says = |(name, value): (String, Value)| match value {
        Value::Bool(false) if name != "localhostNodePorts" => None,
        Value::Number(number) if number.as_u64() == Some(0) && ["burst", "qps"].contains(&name.as_str()) => None,
        Value::Object(inner) => Some((name, Value::Object(without_switched_off(inner)))),
        other => Some((name, other)),
    };
    fields.into_iter().filter_map(says).collect()
}

/// The same for the settings of logs, in which zero is the default too.
fn saying_of_logging(fields: Fields) -> Fields {
    let inner = |(name, value)| match value {
        Value::Object(inner) => (name, Value::Object(saying_of_logging(inner))),
        other => (name, other),
    };
    let zero = [Value::from(0), Value::from("0")];
    saying(fields.into_iter().map(inner).filter(|(_, value)| !zero.contains(value)).collect())
}
