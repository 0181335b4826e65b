//! The files that kubeadm and the API server read: the configuration, the encryption keys, the audit policy. On an existing control plane,
//! changed settings take effect as well ([`rollout`]).

mod pending;
mod rollout;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kbundle_format::Role;
use serde::Serialize;

use super::{Check, Context, Step, control_plane, needed};
use crate::config::Switch;
use crate::host::Host;
use crate::host::unfinished::UnfinishedWork as _;
use crate::inputs::Inputs;
use crate::kubeadm::{
    self, AUDIT_LOG_DIRECTORY, CONFIG_PATH, ControlPlaneFile, ENCRYPTION_PATH, PATCHES_DIRECTORY, STATIC_PODS,
};
use pending::Pending;

/// Writes kubeadm's configuration.
pub struct KubeadmConfig;

impl Step for KubeadmConfig {
    fn id(&self) -> &'static str {
        "kubeadm-config"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let and = match (inputs.spec.security.encryption_at_rest, inputs.spec.security.audit_log) {
            (Switch::Enabled, Switch::Enabled) => ", an encryption key and an audit policy",
            (Switch::Enabled, Switch::Disabled) => " and an encryption key",
            (Switch::Disabled, Switch::Enabled) => " and an audit policy",
            (Switch::Disabled, Switch::Disabled) => "",
        };
        let patches: Vec<_> =
            kubeadm::patches(inputs.spec, &inputs.node_name()).map(|patch| patch.target.as_str()).collect();
        let changed =
            if patches.is_empty() { String::new() } else { format!("; cluster.yaml patches {}", patches.join(", ")) };
        format!("write kubeadm's configuration{and}{changed}")
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        for ControlPlaneFile { path, content, mode } in files(context)? {
            if !host.has_file(&path, content.as_bytes(), mode)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        if context.spec.security.encryption_at_rest == Switch::Enabled && !host.exists(ENCRYPTION_PATH) {
            return needed("there is no encryption key yet");
        }
        if context.spec.security.audit_log == Switch::Enabled && !host.exists(AUDIT_LOG_DIRECTORY) {
            return needed(format!("{AUDIT_LOG_DIRECTORY} is not there"));
        }
        if let Some(path) = stale_patches(context)?.first() {
            return needed(format!("{path} is a patch that cluster.yaml lists no longer"));
        }
        if !Pending::read(host)?.is_empty() {
            return needed("a run that changed settings was cut off");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        if control_plane::is_set_up(&context.host) { rollout::roll_out(context) } else { write(context) }
    }
}

/// Records that this control plane's record is about to get other settings, so that only their rollout may follow.
pub fn note_change(host: &Host) -> anyhow::Result<()> {
    if control_plane::is_set_up(host) {
        Pending::read(host)?.and(Pending { begun: true, ..Pending::default() }).keep(host)?;
    }
    Ok(())
}

/// Whether a run that changes settings of this control plane is under way, or was cut off.
#[must_use]
pub fn changes_settings(host: &Host) -> bool {
    Pending::is_kept(host)
}

/// Writes the files without putting them into effect: for a new control plane, and for an upgrade, which applies them later.
pub(super) fn write(context: &mut Context<'_>) -> anyhow::Result<()> {
    let (files, stale) = (files(context)?, stale_patches(context)?);
    let security = context.spec.security;
    let host = &mut context.host;
    host.claim_tree(kubeadm::DIRECTORY)?;
    for path in stale {
        host.remove_file(&path)?;
    }
    for ControlPlaneFile { path, content, mode } in files {
        host.write_file(&path, content.as_bytes(), mode)?;
    }
    // An existing key stays: the data in etcd was encrypted with it.
    if security.encryption_at_rest == Switch::Enabled && !host.exists(ENCRYPTION_PATH) {
        host.write_file(ENCRYPTION_PATH, encryption_configuration()?.as_bytes(), 0o600)?;
    }
    if security.audit_log == Switch::Enabled {
        make_audit_directory(host)?;
    }
    Ok(())
}

fn make_audit_directory(host: &mut Host) -> anyhow::Result<()> {
    let parent = "/var/log/kubernetes";
    host.claim_tree(parent)?;
    host.make_directory(AUDIT_LOG_DIRECTORY, 0o700)?;
    Ok(())
}

/// The first difference between kubeadm's configuration on the host and the wanted one, except for additional names of the API server: a
/// run that adds some may have been cut off. `None` if there is no configuration yet.
pub fn other_settings(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Option<String>> {
    let Some(found) = host.read_text(CONFIG_PATH)? else { return Ok(None) };
    let wanted = kubeadm::configuration(inputs)?;
    // Members of etcd come and go; the step of the control plane updates them.
    let [found, wanted] = [found, wanted].map(|text| without_sans(&without_etcd_endpoints(&text)));
    Ok(first_difference(&found, &wanted))
}

/// Patches of static pods on the host that cluster.yaml does not list any more. kubeadm would apply every patch that it finds.
fn stale_patches(context: &Context<'_>) -> anyhow::Result<Vec<String>> {
    let wanted = files(context)?;
    let names = context.host.names_in(PATCHES_DIRECTORY)?;
    let of_pods = names.iter().filter(|name| STATIC_PODS.iter().any(|pod| name.starts_with(pod)));
    let paths = of_pods.map(|name| format!("{PATCHES_DIRECTORY}/{name}"));
    Ok(paths.filter(|path| !wanted.iter().any(|file| file.path == *path)).collect())
}

/// A configuration without the list `certSANs`.
fn without_sans(text: &str) -> String {
    let mut inside = false;
    let others = |line: &&str| {
        inside = line.trim() == "certSANs:" || inside && line.trim_start().starts_with("- ");
        !inside
    };
    text.lines().filter(others).collect::<Vec<_>>().join("\n")
}

/// A configuration without the addresses of etcd's members: lines such as `    - https://192.0.2.1:2379`.
fn without_etcd_endpoints(text: &str) -> String {
    let is_endpoint = |line: &&str| line.trim_start().starts_with("- https://") && line.ends_with(":2379");
    text.lines().filter(|line| !is_endpoint(line)).collect::<Vec<_>>().join("\n")
}

fn first_difference(found: &str, wanted: &str) -> Option<String> {
    let lines = || found.lines().map(Some).chain(std::iter::repeat(None));
    let pairs = lines().zip(wanted.lines().map(Some).chain(std::iter::repeat(None)));
    let mut pairs = pairs.take_while(|pair| *pair != (None, None));
    let (was, now) = pairs.find(|(was, now)| was != now)?;
    let show = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{}`", line.trim()));
    Some(format!("{} there, {} wanted", show(was), show(now)))
}

/// The files with a content that follows from cluster.yaml.
fn files(inputs: &Inputs<'_>) -> anyhow::Result<Vec<ControlPlaneFile>> {
    let configuration =
        ControlPlaneFile { path: CONFIG_PATH.to_owned(), content: kubeadm::configuration(inputs)?, mode: 0o600 };
    let others = kubeadm::control_plane_files(inputs.spec, &inputs.node_name());
    Ok([configuration].into_iter().chain(others).collect())
}

/// `apiserver.config.k8s.io/v1`, `EncryptionConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncryptionConfiguration {
    api_version: &'static str,
    kind: &'static str,
    resources: [EncryptedResources; 1],
}

#[derive(Serialize)]
struct EncryptedResources {
    resources: [&'static str; 1],
    providers: [Provider; 2],
}

/// One of the fields has to be set.
#[derive(Default, Serialize)]
struct Provider {
    #[serde(skip_serializing_if = "Option::is_none")]
    secretbox: Option<Secretbox>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
}

/// `XSalsa20` and Poly1305: authenticated, and with random nonces too long to repeat.
#[derive(Serialize)]
struct Secretbox {
    keys: [EncryptionKey; 1],
}

/// No encryption: reads data that was stored before encryption was switched on. It is the last provider, so that no new data is stored with
/// it.
#[derive(Serialize)]
struct Identity {}

#[derive(Serialize)]
struct EncryptionKey {
    name: &'static str,
    secret: String,
}

/// A configuration with a new random key.
fn encryption_configuration() -> anyhow::Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("the system provides no random bytes: {error}"))?;
    let keys = [EncryptionKey { name: "key-1", secret: BASE64.encode(key) }];
    let providers = [
        Provider { secretbox: Some(Secretbox { keys }), ..Provider::default() },
        Provider { identity: Some(Identity {}), ..Provider::default() },
    ];
    let configuration = EncryptionConfiguration {
        api_version: "apiserver.config.k8s.io/v1",
        kind: "EncryptionConfiguration",
        resources: [EncryptedResources { resources: ["secrets"], providers }],
    };
    serde_yaml::to_string(&configuration).context("while writing the encryption configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, bench::Bench};
    use crate::join_material::JoinMaterial;

    #[test]
    fn every_cluster_gets_a_key_of_its_own() {
        let text = encryption_configuration().unwrap();
        let secret = text.lines().find_map(|line| line.trim().strip_prefix("secret: ")).unwrap();
        assert_eq!(BASE64.decode(secret).unwrap().len(), 32);
        assert_ne!(encryption_configuration().unwrap(), text);
        insta::assert_snapshot!(text.replace(secret, "KEY"), @"
        apiVersion: apiserver.config.k8s.io/v1
        kind: EncryptionConfiguration
        resources:
        - resources:
          - secrets
          providers:
          - secretbox:
              keys:
              - name: key-1
                secret: KEY
          - identity: {}
        ");
    }

    /// A second run changes nothing, and nothing is left behind.
    #[test]
    fn files_of_the_site_are_there_while_the_cluster_is() {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.kubeadm_patches =
            serde_yaml::from_str("[{target: kube-scheduler, patch: {spec: {priority: 1}}}]").unwrap();
        cluster.spec.api_server = serde_yaml::from_str(
            "{admission: {configuration: {PodSecurity: {}}, files: {a.conf: content}}, audit-policy: {kind: Policy}}",
        )
        .unwrap();
        let bench = Bench::new();
        let material = JoinMaterial::default();
        bench.act_as(&cluster, "c1", &material, |context| KubeadmConfig.apply(context)).unwrap();
        let found = bench.look_as(&cluster, "c1", &material, |context| KubeadmConfig.check(context).unwrap());
        assert_eq!(found, Check::Done);
        let title = bench.look_as(&cluster, "c1", &material, |context| KubeadmConfig.title(context));
        assert!(title.ends_with("; cluster.yaml patches kube-scheduler"), "{title}");
        let files = [
            "admission/a.conf",
            "admission/configuration.yaml",
            "audit-policy.yaml",
            "patches/kube-scheduler00+strategic.yaml",
        ];
        for file in files.map(|file| bench.path("etc/kubernetes").join(file)) {
            let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(bench.read("etc/kubernetes/audit-policy.yaml"), "kind: Policy\n");
        bench.undo();
        assert!(!bench.path("etc/kubernetes").exists());
    }

    #[test]
    fn names_are_left_out_and_nothing_else() {
        let text = "apiServer:\n  certSANs:\n  - a\n  - b\n  extraArgs:\n  - name: c";
        assert_eq!(without_sans(text), "apiServer:\n  extraArgs:\n  - name: c");
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\n  b\n", "a\nc\n").unwrap(), "`b` there, `c` wanted");
        assert_eq!(first_difference("a\n", "a\nc\n").unwrap(), "nothing there, `c` wanted");
    }
}
