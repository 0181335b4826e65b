//! `apiServer` of `ClusterConfiguration`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cluster::is_put_in_anyway;
use super::{Import, Section, flags};
use crate::config::{Admission, ClusterSpec, ExtraVolume, Fields, Flags, Oidc, Switch};
use crate::kube_types::{Program, unknown_plugin};
use crate::kubeadm::{
    AUDIT_LOG_DIRECTORY, AUDIT_POLICY_PATH, ENCRYPTION_PATH, flags_of, own_audit_policy, own_volumes,
};

impl Import<'_> {
    pub(super) fn api_server(&mut self, mut section: Section) {
        for san in section.texts("certSANs") {
            if !is_put_in_anyway(&self.spec, &san) {
                self.spec.api.certificate_sans.push(san);
            }
        }
        let place = section.place("extraArgs");
        let mut given = flags::take(&mut section, "extraArgs");
        let mut volumes = flags::take_volumes(&mut section);
        self.encryption(&mut given);
        self.audit(&place, &mut given, &mut volumes);
        self.oidc(&place, &mut given, &mut volumes);
        self.admission(&place, &mut given, &mut volumes);
        let server = &mut self.spec.api_server;
        server.service_node_ports = flags::take_one(&mut given, "service-node-port-range");
        server.service_account_issuers =
            given.remove("service-account-issuer").map(|issuers| issuers.all().to_vec()).unwrap_or_default();
        server.feature_gates = flags::take_gates(&mut given);
        if given.get("authorization-mode").is_some_and(|modes| modes.all() == ["Node,RBAC"]) {
            given.remove("authorization-mode");
        }
        // Flags of the audit log are kinstall's own if the cluster has an audit log.
        let usual = ClusterSpec { security: self.spec.security, ..ClusterSpec::default() };
        let extra_args = self.extra_args(&place, Program::ApiServer, given, &flags_of(Program::ApiServer, &usual));
        self.spec.api_server.extra_args = extra_args;
        // kinstall's own volumes are made again together with the settings that need them.
        let own = own_volumes(&self.spec);
        volumes.retain(|volume| !own.contains(volume));
        self.spec.api_server.extra_volumes = volumes;
        if section.text("timeoutForControlPlane").is_some_and(|time| time != "4m0s") {
            self.remark(section.place("timeoutForControlPlane"), "left out: kinstall waits as long as it takes");
        }
        self.rest(section);
    }

    /// Removes flags that kinstall derives from the kubelets' settings, which are read later.
    pub(super) fn leave_out_what_follows(&mut self) {
        let ClusterSpec { security, kubelet, .. } = self.spec.clone();
        let own = flags_of(Program::ApiServer, &ClusterSpec { security, kubelet, ..ClusterSpec::default() });
        self.spec.api_server.extra_args.retain(|name, value| own.get(name) != Some(value));
    }

    fn encryption(&mut self, given: &mut Flags) {
        match given.get("encryption-provider-config").map(|path| path.all().join(",")) {
            Some(path) if path == ENCRYPTION_PATH => drop(given.remove("encryption-provider-config")),
            None if self.is_of_kinstall => self.spec.security.encryption_at_rest = Switch::Disabled,
            // Another file is reported later, with the other flags that cannot be given.
            _ => {}
        }
    }

    fn audit(&mut self, place: &str, given: &mut Flags, volumes: &mut Vec<ExtraVolume>) {
        let policy = flags::take_one(given, "audit-policy-file");
        if policy.is_none() && self.is_of_kinstall {
            self.spec.security.audit_log = Switch::Disabled;
        }
        if let Some(path) = policy {
            match (self.read_file)(&path).and_then(|text| serde_yaml::from_str::<Fields>(&text).ok()) {
                Some(policy) => {
                    let policy = Some(policy).filter(|policy| *policy != own_audit_policy());
                    self.spec.api_server.audit_policy = policy;
                }
                None => self.not_here(&format!("{place}.audit-policy-file"), &path, "api-server.audit-policy"),
            }
            if path != AUDIT_POLICY_PATH {
                volumes.retain(|volume| !holds(volume, &path));
            }
        }
        let log = format!("{AUDIT_LOG_DIRECTORY}/audit.log");
        if let Some(path) = flags::take_one(given, "audit-log-path").filter(|path| *path != log) {
            self.remark(format!("{place}.audit-log-path"), format!("left out: the audit log is {log}"));
            volumes.retain(|volume| !holds(volume, &path));
        }
    }

    fn oidc(&mut self, place: &str, given: &mut Flags, volumes: &mut Vec<ExtraVolume>) {
        let issuer_url = flags::take_one(given, "oidc-issuer-url");
        let client_id = flags::take_one(given, "oidc-client-id");
        let (Some(issuer_url), Some(client_id)) = (issuer_url, client_id) else { return };
        let claims = given.remove("oidc-required-claim").map(|claims| claims.all().to_vec()).unwrap_or_default();
        let claim = |claim: &String| claim.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let ca_file = flags::take_one(given, "oidc-ca-file");
        let ca = ca_file.as_ref().and_then(|path| (self.read_file)(path));
        if let Some(path) = &ca_file {
            if ca.is_none() {
                self.not_here(&format!("{place}.oidc-ca-file"), path, "api-server.oidc.ca");
            }
            volumes.retain(|volume| !holds(volume, path));
        }
        self.spec.api_server.oidc = Some(Oidc {
            issuer_url,
            client_id,
            username_claim: flags::take_one(given, "oidc-username-claim"),
            username_prefix: flags::take_one(given, "oidc-username-prefix"),
            groups_claim: flags::take_one(given, "oidc-groups-claim"),
            groups_prefix: flags::take_one(given, "oidc-groups-prefix"),
            required_claims: claims.iter().filter_map(claim).collect(),
            signing_algs: flags::take_list(given, "oidc-signing-algs"),
            ca,
        });
    }

    fn admission(&mut self, place: &str, given: &mut Flags, volumes: &mut Vec<ExtraVolume>) {
        let mut known = |import: &mut Self, flag: &str| {
            let mut names = flags::take_list(given, flag);
            names.retain(|name| match unknown_plugin(name, None) {
                None => name != "NodeRestriction",
                Some(message) => {
                    import.remark(format!("{place}.{flag}"), format!("{name} is left out: {message}"));
                    false
                }
            });
            names
        };
        let enable = known(self, "enable-admission-plugins");
        let disable = known(self, "disable-admission-plugins");
        self.spec.api_server.admission = Admission { enable, disable, ..Admission::default() };
        let Some(path) = flags::take_one(given, "admission-control-config-file") else { return };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        volumes.retain(|volume| !holds(volume, &path));
        let place = format!("{place}.admission-control-config-file");
        let Some(configuration) = (self.read_file)(&path).and_then(|text| serde_yaml::from_str::<Value>(&text).ok())
        else {
            return self.not_here(&place, &path, "api-server.admission.configuration");
        };
        for plugin in configuration["plugins"].as_array().into_iter().flatten() {
            let Some(name) = plugin["name"].as_str() else { continue };
            let apart = plugin["path"].as_str().filter(|path| !path.is_empty());
            let apart =
                apart.map(|path| if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") });
            let content = match &apart {
                None => plugin["configuration"].as_object().cloned(),
                Some(path) => (self.read_file)(path).and_then(|text| serde_yaml::from_str(&text).ok()),
            };
            match (content, apart) {
                (Some(content), _) => {
                    self.admission_files(&place, folder, &content);
                    self.spec.api_server.admission.configuration.insert(name.to_owned(), content);
                }
                (None, Some(path)) => {
                    self.not_here(&place, &path, &format!("api-server.admission.configuration.{name}"));
                }
                (None, None) => self.remark(&place, format!("the plugin {name} has no configuration there")),
            }
        }
    }

    /// The files that the configuration names in the same folder.
    fn admission_files(&mut self, place: &str, folder: &str, configuration: &Fields) {
        let mut files = BTreeMap::new();
        for path in configuration.values().flat_map(texts) {
            let Some(name) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) else { continue };
            match (self.read_file)(path) {
                Some(content) => drop(files.insert(name.to_owned(), content)),
                None => self.not_here(place, path, "api-server.admission.files"),
            }
        }
        self.spec.api_server.admission.files.extend(files);
    }

    fn not_here(&mut self, place: &str, path: &str, key: &str) {
        let message = format!(
            "left out: {path} is not here; put it beside this file and import again, or write its content under `{key}`"
        );
        self.remark(place, message);
    }
}

/// Whether a file is seen through a volume.
fn holds(volume: &ExtraVolume, path: &str) -> bool {
    let mount = volume.mount_path.as_ref().unwrap_or(&volume.host_path);
    path.strip_prefix(mount.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || mount.ends_with('/'))
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
