//! Variables about the programs of the control plane, the kubelet and kube-proxy.
//!
//! Source: Kubespray's templates `kubeadm-config.v1beta3.yaml.j2`, `kubeadm-config.v1beta4.yaml.j2` and `kubelet-config.v1beta1.yaml.j2`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{Cluster, Value};
use crate::config::{Fields, FlagValue, owned};
use crate::import::SourceLine;
use crate::kube_types::{Program, Structure, flaws, unknown_flag, unknown_plugin};

/// A program of the control plane, with the variables of its own.
struct Component {
    program: Program,
    /// Its key in cluster.yaml.
    key: &'static str,
    /// The variable that gives flags as a mapping.
    extra_args: &'static str,
    gates: &'static str,
    volumes: &'static str,
    /// Flags that have a variable each.
    flags: &'static [(&'static str, &'static str)],
}

const COMPONENTS: [Component; 3] = [
    Component {
        program: Program::ApiServer,
        key: "api-server",
        extra_args: "kube_kubeadm_apiserver_extra_args",
        gates: "kube_apiserver_feature_gates",
        volumes: "apiserver_extra_volumes",
        flags: &[
            ("event_ttl_duration", "event-ttl"),
            ("kube_apiserver_request_timeout", "request-timeout"),
            ("kube_apiserver_pod_eviction_not_ready_timeout_seconds", "default-not-ready-toleration-seconds"),
            ("kube_apiserver_pod_eviction_unreachable_timeout_seconds", "default-unreachable-toleration-seconds"),
            ("kube_api_runtime_config", "runtime-config"),
        ],
    },
    Component {
        program: Program::ControllerManager,
        key: "controller-manager",
        extra_args: "kube_kubeadm_controller_extra_args",
        gates: "kube_controller_feature_gates",
        volumes: "controller_manager_extra_volumes",
        flags: &[
            ("kube_controller_node_monitor_grace_period", "node-monitor-grace-period"),
            ("kube_controller_node_monitor_period", "node-monitor-period"),
            ("kube_controller_terminated_pod_gc_threshold", "terminated-pod-gc-threshold"),
        ],
    },
    Component {
        program: Program::Scheduler,
        key: "scheduler",
        extra_args: "kube_kubeadm_scheduler_extra_args",
        gates: "kube_scheduler_feature_gates",
        volumes: "scheduler_extra_volumes",
        flags: &[],
    },
];

/// Flags of every program of the control plane.
const FLAGS_OF_ALL: [(&str, &str); 2] =
    [("tls_min_version", "tls-min-version"), ("tls_cipher_suites", "tls-cipher-suites")];
/// The feature gates of every program without gates of its own.
const GATES_OF_ALL: &str = "kube_feature_gates";

/// Fields of the kubelet's configuration that have a variable each.
const KUBELET: [(&str, &str); 14] = [
    ("tls_min_version", "tlsMinVersion"),
    ("tls_cipher_suites", "tlsCipherSuites"),
    ("eviction_hard", "evictionHard"),
    ("kubelet_status_update_frequency", "nodeStatusUpdateFrequency"),
    ("kubelet_streaming_connection_idle_timeout", "streamingConnectionIdleTimeout"),
    ("kubelet_event_record_qps", "eventRecordQPS"),
    ("kubelet_shutdown_grace_period", "shutdownGracePeriod"),
    ("kubelet_shutdown_grace_period_critical_pods", "shutdownGracePeriodCriticalPods"),
    ("kubelet_logfiles_max_nr", "containerLogMaxFiles"),
    ("kubelet_logfiles_max_size", "containerLogMaxSize"),
    ("kubelet_cpu_manager_policy", "cpuManagerPolicy"),
    ("kubelet_cpu_manager_policy_options", "cpuManagerPolicyOptions"),
    ("kubelet_topology_manager_policy", "topologyManagerPolicy"),
    ("kubelet_topology_manager_scope", "topologyManagerScope"),
];

/// Switches of reservations with their fields, and the amounts by the names of resources.
type Reservation = (&'static str, &'static str, [(&'static str, &'static str); 4]);

const RESERVATIONS: [Reservation; 2] = [
    (
        "kube_reserved",
        "kubeReserved",
        [
            ("kube_cpu_reserved", "cpu"),
            ("kube_memory_reserved", "memory"),
            ("kube_ephemeral_storage_reserved", "ephemeral-storage"),
            ("kube_pid_reserved", "pid"),
        ],
    ),
    (
        "system_reserved",
        "systemReserved",
        [
            ("system_cpu_reserved", "cpu"),
            ("system_memory_reserved", "memory"),
            ("system_ephemeral_storage_reserved", "ephemeral-storage"),
            ("system_pid_reserved", "pid"),
        ],
    ),
];

impl Cluster<'_, '_> {
    pub(super) fn components(&mut self) {
        for component in &COMPONENTS {
            self.flags(component);
            let gates = self.gates(component.gates);
            self.set_unless_empty(&format!("{}.feature-gates", component.key), gates);
            self.volumes(component);
        }
        self.oidc();
        self.admission();
        self.kubelet();
        let gates = self.gates("kube_proxy_feature_gates");
        // Gates for all programs apply to kube-proxy, unless it is removed.
        if !gates.is_empty() && self.truth("kube_proxy_remove").is_none_or(|(removed, _)| !removed) {
            self.settings.set("network.kube-proxy.config", json!({ "featureGates": gates }));
        }
    }

    fn set_unless_empty<T: serde::Serialize>(&mut self, key: &str, values: impl IntoIterator<Item = (String, T)>) {
        let values: BTreeMap<_, _> = values.into_iter().collect();
        if !values.is_empty() {
            self.settings.set(key, values);
        }
    }

    fn flags(&mut self, component: &Component) {
        let mut given = BTreeMap::new();
        for (name, flag) in component.flags.iter().chain(&FLAGS_OF_ALL) {
            if let Some(found) = self.value(name) {
                self.flag(component.program, name, flag, &found.value, &found.place, &mut given);
            }
        }
        if let Some((on, place)) = self.truth("kube_profiling") {
            self.flag(component.program, "kube_profiling", "profiling", &Value::Bool(on), &place, &mut given);
        }
        if let Some(found) = self.value(component.extra_args) {
            match found.value.entries() {
                Some(entries) => {
                    for (flag, node) in entries {
                        self.flag(component.program, component.extra_args, flag, &node.value, &found.place, &mut given);
                    }
                }
                None => self.reading.problems.add(&found.place, format!("`{}` is not a mapping", component.extra_args)),
            }
        }
        self.set_unless_empty(&format!("{}.extra-args", component.key), given);
    }

    /// Takes a flag that cluster.yaml can give; for any other flag, reports why it is left out.
    fn flag(
        &mut self,
        program: Program,
        name: &str,
        flag: &str,
        value: &Value,
        place: &SourceLine,
        given: &mut BTreeMap<String, FlagValue>,
    ) {
        let value = match value.items() {
            Some(items) => Json::from(items.iter().filter_map(|node| node.value.text()).collect::<Vec<_>>().join(",")),
            None => value.json(),
        };
        let reason = owned::flag(program, flag).map(str::to_owned).or_else(|| unknown_flag(program, flag, None));
        match (reason, FlagValue::try_from(value)) {
            (Some(reason), _) => self.remark(place, format!("`{flag}` of `{name}` is left out: {reason}")),
            (None, Ok(value)) => drop(given.insert(flag.to_owned(), value)),
            (None, Err(error)) => self.reading.problems.add(place, format!("`{flag}` of `{name}`: {error}")),
        }
    }

    /// Feature gates, each written as `Name=true`.
    fn gates(&mut self, name: &str) -> BTreeMap<String, bool> {
        let Some((name, found)) = [name, GATES_OF_ALL].into_iter().find_map(|name| Some((name, self.value(name)?)))
        else {
            return BTreeMap::new();
        };
        let texts = self.texts(name, &found.value, &found.place);
        let gate = |text: &String| {
            let (gate, on) = text.split_once('=')?;
            Some((gate.trim().to_owned(), Value::Text(on.to_owned()).truth()?))
        };
        let gates = texts.iter().filter_map(gate).collect::<BTreeMap<_, _>>();
        if gates.len() < texts.len() {
            self.reading.problems.add(&found.place, format!("`{name}` is not a list of gates, `Name=true`"));
        }
        gates
    }

    /// The items of a list, or the parts of a text with commas.
    fn texts(&mut self, name: &str, value: &Value, place: &SourceLine) -> Vec<String> {
        if let Some(items) = value.items() {
            return items.iter().filter_map(|node| node.value.filled_text()).collect();
        }
        let Some(text) = value.text() else {
            self.reading.problems.add(place, format!("`{name}` is not a list"));
            return Vec::new();
        };
        text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    fn volumes(&mut self, component: &Component) {
        let Some(found) = self.value(component.volumes) else { return };
        let volume = |node: &super::super::value::Node| {
            let text = |key: &str| node.value.get(key).and_then(|node| node.value.filled_text());
            let truth = |key: &str| node.value.get(key).and_then(|node| node.value.truth());
            let read_only = truth("readOnly").unwrap_or_else(|| !truth("writable").unwrap_or(false));
            let (name, host, mount) = (text("name")?, text("hostPath")?, text("mountPath")?);
            Some(json!({ "name": name, "host-path": host, "mount-path": mount, "read-only": read_only }))
        };
        let volumes = found.value.items().and_then(|items| items.iter().map(volume).collect::<Option<Vec<_>>>());
        if let Some(volumes) = volumes {
            self.settings.set(&format!("{}.extra-volumes", component.key), volumes);
        } else {
            let message =
                format!("each entry of `{}` needs a `name`, a `hostPath` and a `mountPath`", component.volumes);
            self.reading.problems.add(&found.place, message);
        }
    }

    fn oidc(&mut self) {
        if !self.truth("kube_oidc_auth").is_some_and(|(on, _)| on) {
            return;
        }
        let mut oidc = Fields::new();
        for (name, key) in [
            ("kube_oidc_url", "issuer-url"),
            ("kube_oidc_client_id", "client-id"),
            ("kube_oidc_username_claim", "username-claim"),
            ("kube_oidc_username_prefix", "username-prefix"),
            ("kube_oidc_groups_claim", "groups-claim"),
            ("kube_oidc_groups_prefix", "groups-prefix"),
        ] {
            if let Some((text, _)) = self.text(name) {
                oidc.insert(key.to_owned(), text.into());
            }
        }
        if let Some((text, place)) = self.text("kube_oidc_ca_cert") {
            match STANDARD.decode(text.split_whitespace().collect::<String>()).map(String::from_utf8) {
                Ok(Ok(ca)) => drop(oidc.insert("ca".to_owned(), ca.into())),
                _ => self.reading.problems.add(&place, "`kube_oidc_ca_cert` is not a certificate in base64"),
            }
        } else if let Some((path, place)) = self.text("kube_oidc_ca_file") {
            let message =
                format!("`kube_oidc_ca_file: {path}` is left out; write its content under `api-server.oidc.ca`");
            self.remark(&place, message);
        }
        // As Kubespray does: it sets the flags only if both are given.
        if ["issuer-url", "client-id"].iter().all(|key| oidc.contains_key(*key)) {
            self.settings.set("api-server.oidc", oidc);
        }
    }

    fn admission(&mut self) {
        for (name, key) in [
            ("kube_apiserver_enable_admission_plugins", "api-server.admission.enable"),
            ("kube_apiserver_disable_admission_plugins", "api-server.admission.disable"),
        ] {
            let Some(found) = self.value(name) else { continue };
            let mut plugins = self.texts(name, &found.value, &found.place);
            plugins.retain(|plugin| match unknown_plugin(plugin, None) {
                // These are always on.
                None => plugin != "NodeRestriction",
                Some(message) => {
                    self.remark(&found.place, format!("`{plugin}` of `{name}` is left out: {message}"));
                    false
                }
            });
            if !plugins.is_empty() {
                self.settings.set(key, plugins);
            }
        }
    }

    fn kubelet(&mut self) {
        let mut config = Fields::new();
        for (name, field) in KUBELET {
            if let Some(found) = self.value(name) {
                self.field(name, field, found.value.json(), &found.place, &mut config);
            }
        }
        let gates = self.gates("kubelet_feature_gates");
        if !gates.is_empty() {
            config.insert("featureGates".to_owned(), json!(gates));
        }
        for (switch, field, amounts) in RESERVATIONS {
            self.reservation(switch, field, &amounts, &mut config);
        }
        let name = "kubelet_config_extra_args";
        if let Some(found) = self.value(name) {
            match found.value.entries() {
                Some(entries) => {
                    for (field, node) in entries {
                        self.field(name, field, node.value.json(), &found.place, &mut config);
                    }
                }
                None => self.reading.problems.add(&found.place, format!("`{name}` is not a mapping")),
            }
        }
        if !config.is_empty() {
            self.settings.set("kubelet.config", config);
        }
    }

    /// Resources that are kept free of pods. Kubespray uses the amounts only if the switch is on.
    fn reservation(&mut self, switch: &str, field: &str, amounts: &[(&str, &str); 4], config: &mut Fields) {
        let is_on = self.truth(switch).is_some_and(|(on, _)| on);
        let mut kept = Fields::new();
        for (name, resource) in amounts {
            let Some((text, place)) = self.text(name) else { continue };
            if is_on {
                kept.insert((*resource).to_owned(), text.into());
            } else {
                self.remark(&place, format!("`{name}` is left out; `{switch}` is not true"));
            }
        }
        if let Some((_, place)) = self.truth(switch).filter(|_| !kept.is_empty()) {
            self.field(switch, field, Json::Object(kept), &place, config);
        }
    }

    /// Takes a field that cluster.yaml can give; for any other field, reports why it is left out.
    fn field(&mut self, name: &str, field: &str, value: Json, place: &SourceLine, config: &mut Fields) {
        let mut fields = Fields::from_iter([(field.to_owned(), value)]);
        for (path, reason) in owned::KUBELET {
            if owned::remove(&mut fields, path).is_some() {
                self.remark(place, format!("`{path}` of `{name}` is left out: {reason}"));
            }
        }
        let found = flaws(Structure::Kubelet, &fields, None);
        for flaw in &found {
            self.remark(place, format!("`{}` of `{name}` is left out: {}", flaw.path, flaw.message));
        }
        if found.is_empty() {
            config.extend(fields);
        }
    }
}
