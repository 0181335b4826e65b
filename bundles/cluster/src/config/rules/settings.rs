//! Rules for settings that are passed on to Kubernetes: they must not be kinstall's own, and Kubernetes has to accept them. Without a
//! version, it is enough that some minor version does.

use std::collections::BTreeSet;

use kbundle_format::{KubeVersion, Role};
use serde_json::Value;

use super::registries::are_certificates;
use super::{Problems, owned};
use crate::config::{
    ApiServer, ClusterSpec, Component, DnsName, ExtraVolume, Fields, Flags, KubeProxyMode, KubeadmPatch, PatchKind,
    PodSecurity, Switch,
};
use crate::kube_types::{self, Program, Structure, unknown_flag, unknown_plugin};
use crate::version_rules::kubernetes::KUBEADM_V1BETA4;

/// Names of volumes in the static pods that belong to kinstall or kubeadm (cmd/kubeadm/app/phases/controlplane/volumes.go).
const TAKEN_VOLUMES: [&str; 12] = [
    "admission",
    "audit-log",
    "audit-policy",
    "ca-certs",
    "encryption",
    "etc-ca-certificates",
    "etc-pki",
    "flexvolume-dir",
    "k8s-certs",
    "kubeconfig",
    "oidc",
    "usr-share-ca-certificates",
];
/// Types of a `hostPath` volume.
const PATH_TYPES: [&str; 7] =
    ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];

pub(super) fn check(spec: &ClusterSpec, version: Option<KubeVersion>, problems: &mut Problems) {
    let look = &mut Look { version, problems };
    look.api_server(&spec.api_server, spec.security.audit_log);
    look.pod_security(spec);
    for (place, component, program) in [
        ("controller-manager", &spec.controller_manager, Program::ControllerManager),
        ("scheduler", &spec.scheduler, Program::Scheduler),
    ] {
        let Component { extra_args, extra_volumes, feature_gates } = component;
        look.flags(place, program, extra_args);
        look.volumes(place, extra_volumes);
        look.gates(place, feature_gates.keys());
    }
    look.kubelet("kubelet.config", &spec.kubelet.config);
    look.patches("kubeadm-patches", &spec.kubeadm_patches);
    for (index, host) in spec.hosts.iter().enumerate() {
        let place = format!("hosts[{index}]");
        look.kubelet(&format!("{place}.kubelet.config"), &host.kubelet.config);
        look.patches(&format!("{place}.kubeadm-patches"), &host.kubeadm_patches);
        if !host.kubeadm_patches.is_empty() && !host.roles.contains(&Role::ControlPlane) {
            let message = format!("host {}: patches are for control planes; remove them", host.name);
            look.problems.add(format!("{place}.kubeadm-patches"), message);
        }
        if !host.is_node() && !host.kubelet.is_default() {
            let message = format!("host {}: it has no kubelet; remove its settings", host.name);
            look.problems.add(format!("{place}.kubelet"), message);
        }
    }
    look.kube_proxy(spec);
}

struct Look<'a> {
    version: Option<KubeVersion>,
    problems: &'a mut Problems,
}

impl Look<'_> {
    fn api_server(&mut self, server: &ApiServer, audit_log: Switch) {
        self.flags("api-server", Program::ApiServer, &server.extra_args);
        self.volumes("api-server", &server.extra_volumes);
        self.gates("api-server", server.feature_gates.keys());
        self.oidc(server);
        self.admission(server);
        if let Some(policy) = &server.audit_policy {
            if audit_log == Switch::Disabled {
                self.problems
                    .add("api-server.audit-policy", "there is no audit log; remove it, or enable `security.audit-log`");
            }
            let is = |key: &str, value: &str| policy.get(key).and_then(Value::as_str) == Some(value);
            if !is("apiVersion", "audit.k8s.io/v1")
                || !is("kind", "Policy")
                || !policy.get("rules").is_some_and(Value::is_array)
            {
                let message = "audit-policy has to be a document of `apiVersion: audit.k8s.io/v1`, `kind: Policy`, with a list of `rules`";
                self.problems.add("api-server.audit-policy", message);
            }
        }
        for (index, issuer) in server.service_account_issuers.iter().enumerate() {
            if issuer.is_empty() || issuer.contains(char::is_whitespace) {
                let message = format!("`{issuer}` is not an issuer; an issuer is a URL or a name without spaces");
                self.problems.add(format!("api-server.service-account-issuers[{index}]"), message);
            }
        }
        if server.service_account_issuers.len() > 1 {
            self.repeated("api-server.service-account-issuers", "service-account-issuer");
        }
        if let Some(ports) = server.service_node_ports.as_deref().filter(|ports| !is_port_range(ports)) {
            let message = format!("service-node-ports `{ports}` is not a range of ports; write it as `30000-32767`");
            self.problems.add("api-server.service-node-ports", message);
        }
    }

    fn oidc(&mut self, server: &ApiServer) {
        let Some(oidc) = &server.oidc else { return };
        if !oidc.issuer_url.starts_with("https://") {
            let message = format!("issuer-url `{}` has to begin with `https://`", oidc.issuer_url);
            self.problems.add("api-server.oidc.issuer-url", message);
        }
        if oidc.client_id.is_empty() {
            self.problems.add("api-server.oidc.client-id", "client-id is empty; it is what tokens are issued for");
        }
        if oidc.ca.as_ref().is_some_and(|ca| !are_certificates(ca)) {
            self.problems.add("api-server.oidc.ca", "ca is not one or more certificates in PEM form");
        }
        if oidc.required_claims.len() > 1 {
            self.repeated("api-server.oidc.required-claims", "oidc-required-claim");
        }
    }

    fn admission(&mut self, server: &ApiServer) {
        let admission = &server.admission;
        let listed = [("enable", &admission.enable), ("disable", &admission.disable)];
        for (key, names) in listed {
            for (index, name) in names.iter().enumerate() {
                self.plugin(&format!("api-server.admission.{key}[{index}]"), name);
            }
        }
        for name in admission.configuration.keys() {
            self.plugin(&format!("api-server.admission.configuration.{name}"), name);
        }
        for name in &admission.disable {
            if name == "NodeRestriction" {
                let message = "NodeRestriction keeps each kubelet to its own node; it cannot be switched off";
                self.problems.add("api-server.admission.disable", message);
            }
            if admission.enable.contains(name) {
                let message = format!("{name} is both in `enable` and in `disable`; remove it from one of them");
                self.problems.add("api-server.admission.disable", message);
            }
        }
        for name in admission.files.keys() {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) || name == "configuration.yaml" {
                let message = format!(
                    "`{name}` cannot name a file here; take letters, digits, `-`, `_` and `.`, and not configuration.yaml"
                );
                self.problems.add("api-server.admission.files", message);
            }
        }
        if !admission.files.is_empty() && admission.configuration.is_empty() {
            self.problems
                .add("api-server.admission.files", "files are for what `configuration` names, and there is none");
        }
    }

    /// If a level is set, kinstall configures the plugin.
    fn pod_security(&mut self, spec: &ClusterSpec) {
        const PLUGIN: &str = "PodSecurity";
        let admission = &spec.api_server.admission;
        if spec.security.pod_security == PodSecurity::Privileged {
            return;
        }
        if admission.configuration.contains_key(PLUGIN) {
            let message = "`security.pod-security` sets a level as well; remove one of the two";
            self.problems.add(format!("api-server.admission.configuration.{PLUGIN}"), message);
        }
        if admission.disable.iter().any(|name| name == PLUGIN) {
            let message = "it is what `security.pod-security` works by; remove one of the two";
            self.problems.add("api-server.admission.disable", message);
        }
    }

    fn plugin(&mut self, place: &str, name: &str) {
        if let Some(message) = unknown_plugin(name, self.version) {
            self.problems.add(place, message);
        }
    }

    fn flags(&mut self, place: &str, program: Program, flags: &Flags) {
        for (name, value) in flags {
            let place = format!("{place}.extra-args.{name}");
            if let Some(bare) = name.strip_prefix("--") {
                self.problems.add(&place, format!("write the flag without `--`: `{bare}`"));
            } else if let Some(reason) = owned::flag(program, name) {
                self.problems.add(&place, format!("`{name}` of {} cannot be set here: {reason}", program.as_str()));
            } else if let Some(message) = unknown_flag(program, name, self.version) {
                self.problems.add(&place, message);
            }
            if value.all().iter().any(|value| value.contains(char::is_control)) {
                self.problems.add(&place, format!("the value of `{name}` has control characters in it"));
            }
            if value.all().len() > 1 {
                self.repeated(&place, name);
            }
        }
    }

    /// kubeadm can write a flag several times only if its configuration has flags as a list.
    fn repeated(&mut self, place: &str, name: &str) {
        if let Some(version) = self.version.filter(|version| !KUBEADM_V1BETA4.holds(*version)) {
            let first = KUBEADM_V1BETA4.since.map(|first| first.to_string()).unwrap_or_default();
            let message = format!("kubeadm {version} gives `{name}` one value only; several need Kubernetes {first}");
            self.problems.add(place, message);
        }
    }

    fn gates<'a>(&mut self, place: &str, names: impl Iterator<Item = &'a String>) {
        for name in names.filter(|name| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            let message =
                format!("`{name}` is not the name of a feature gate; such a name has letters and digits only");
            self.problems.add(format!("{place}.feature-gates"), message);
        }
    }

    fn volumes(&mut self, place: &str, volumes: &[ExtraVolume]) {
        let mut names = BTreeSet::new();
        for (index, volume) in volumes.iter().enumerate() {
            let place = format!("{place}.extra-volumes[{index}]");
            let name = &volume.name;
            if name.len() > 63 || name.contains('.') || name.parse::<DnsName>().is_err() {
                let message = format!("`{name}` is not the name of a volume; take lowercase letters, digits and `-`");
                self.problems.add(format!("{place}.name"), message);
            } else if TAKEN_VOLUMES.contains(&name.as_str()) || name.starts_with("etcd-certs-") {
                self.problems
                    .add(format!("{place}.name"), format!("the pod has a volume {name} already; take another name"));
            } else if !names.insert(name) {
                self.problems
                    .add(format!("{place}.name"), format!("two volumes have the name {name}; each needs its own"));
            }
            for (key, path) in [("host-path", Some(&volume.host_path)), ("mount-path", volume.mount_path.as_ref())] {
                if let Some(path) = path.filter(|path| !is_path(path)) {
                    self.problems
                        .add(format!("{place}.{key}"), format!("`{path}` is not an absolute path without `..`"));
                }
            }
            if let Some(kind) = volume.path_type.as_deref().filter(|kind| !PATH_TYPES.contains(kind)) {
                let message = format!("path-type `{kind}` is none of {}", PATH_TYPES.join(", "));
                self.problems.add(format!("{place}.path-type"), message);
            }
        }
    }

    fn kubelet(&mut self, place: &str, config: &Fields) {
        self.fields(place, Structure::Kubelet, config, owned::KUBELET);
        super::reservations::check(place, config, self.problems);
    }

    fn kube_proxy(&mut self, spec: &ClusterSpec) {
        let proxy = &spec.network.kube_proxy;
        self.fields("network.kube-proxy.config", Structure::KubeProxy, &proxy.config, owned::KUBE_PROXY);
        if proxy.mode == KubeProxyMode::None && !proxy.config.is_empty() {
            self.problems
                .add("network.kube-proxy.config", "with mode none there is no kube-proxy; remove its settings");
        }
    }

    fn fields(&mut self, place: &str, structure: Structure, fields: &Fields, owned: owned::Owned) {
        let mut refused = Vec::new();
        for (path, reason) in owned.iter().filter(|(path, _)| find(fields, path).is_some()) {
            refused.push(*path);
            self.problems.add(format!("{place}.{path}"), format!("`{path}` cannot be set here: {reason}"));
        }
        let flaws = kube_types::flaws(structure, fields, self.version);
        for flaw in flaws.into_iter().filter(|flaw| !refused.contains(&flaw.path.as_str())) {
            let path = &flaw.path;
            self.problems.add(format!("{place}.{path}"), format!("`{path}`: {}", flaw.message));
        }
    }

    fn patches(&mut self, place: &str, patches: &[KubeadmPatch]) {
        for (index, patch) in patches.iter().enumerate() {
            let fits = match patch.kind {
                PatchKind::Strategic | PatchKind::Merge => patch.patch.is_object(),
                PatchKind::Json => patch.patch.is_array(),
            };
            if !fits {
                let wanted =
                    if patch.kind == PatchKind::Json { "a list of operations" } else { "an excerpt of the manifest" };
                let message = format!("a patch of the type {} has to be {wanted}", patch.kind.as_str());
                self.problems.add(format!("{place}[{index}].patch"), message);
            }
        }
    }
}

/// The value at a place of fields, such as `authentication.webhook.enabled`.
fn find<'a>(fields: &'a Fields, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = fields.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => find(value.as_object()?, rest),
    }
}

pub(super) fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains(char::is_control)
}

fn is_port_range(text: &str) -> bool {
    let Some((first, last)) = text.split_once('-') else { return false };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    port(first).zip(port(last)).is_some_and(|(first, last)| first <= last)
}
