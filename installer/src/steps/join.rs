//! Joins an existing cluster by `kubeadm join`, with credentials that were handed over.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kbundle_format::Role;

use super::{Check, Context, Step, load_balancer, needed};
use crate::host::{Command, Host, HostError};
use crate::inputs::Inputs;
use crate::join_material::JoinCredentials;
use crate::kubeadm::run::{Kubeadm, create_token};
use crate::kubeadm::{AUTHORITY_PATH, CRI_SOCKET, JOIN_PATH, KUBELET_UNIT, join_configuration, kubelet_is_told};
use crate::kubectl::{KUBELET_KUBECONFIG, Kubectl};
use crate::pki::public_key_hash;
use crate::version_rules::kubernetes::CRI_SOCKET_ANNOTATION;

/// The kubelet's first credential: the token to join with.
const BOOTSTRAP_KUBECONFIG: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// The pause before kubeadm is called again, if an API server was too slow for it.
const PAUSE: Duration = Duration::from_secs(10);
/// Long enough for an installation of many hosts, too short for a token that is found later.
pub const TOKEN_LIFE: Duration = Duration::from_hours(1);
/// The annotation of a node in which kubeadm records how the kubelet reaches containerd, while [`CRI_SOCKET_ANNOTATION`] holds.
const SOCKET_ANNOTATION: &str = "kubeadm.alpha.kubernetes.io/cri-socket";

/// Makes credentials for other hosts to join with, valid for `life`; `kubeadm token list` shows the `purpose`. Runs on a control plane.
pub fn credentials(host: &Host, inputs: &Inputs<'_>, life: Duration, purpose: &str) -> anyhow::Result<JoinCredentials> {
    let token = create_token(host, life, purpose).context("while making a token to join with")?;
    let authority = authority(host)?.with_context(|| format!("there is no {AUTHORITY_PATH}"))?;
    let authority_hash =
        public_key_hash(&authority).with_context(|| format!("{AUTHORITY_PATH} is not a certificate"))?;
    let api_server = SocketAddr::new(inputs.address(), inputs.spec.api.port).to_string();
    Ok(JoinCredentials { api_server, token, authority_hash })
}

/// The certificate of the cluster's authority in PEM; `None` on a host that is in no cluster.
pub fn authority(host: &Host) -> Result<Option<String>, HostError> {
    host.read_text(AUTHORITY_PATH)
}

/// Makes a worker a node of the cluster.
pub struct Join;

impl Step for Join {
    fn id(&self) -> &'static str {
        "join"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("join the cluster as {} with kubeadm {}", inputs.node_name(), inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::Worker) && !inputs.has(Role::ControlPlane)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if !has_joined(&context.host)? {
            return needed("this host has not joined the cluster");
        }
        let name = context.node_name();
        let Some(node) = Kubectl::as_kubelet(&context.host).get(&["node", &name])? else {
            return needed(format!("the cluster has no node {name}"));
        };
        if wants_annotation(context) && node["metadata"]["annotations"][SOCKET_ANNOTATION].is_null() {
            return needed("an earlier join by kubeadm did not finish");
        }
        check_credential_removed(&context.host)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let is_node = || Kubectl::as_kubelet(&context.host).has(&["node", &context.node_name()]);
        if has_joined(&context.host)? && is_node()? {
            if wants_annotation(context) {
                let annotation = format!("{SOCKET_ANNOTATION}={CRI_SOCKET}");
                let name = context.node_name();
                Kubectl::as_kubelet(&context.host).run(&["annotate", "--overwrite", "node", &name, &annotation])?;
            }
            return remove_credential(context).map(drop);
        }
        join(context)?;
        if load_balancer::is_wanted(context) {
            load_balancer::wait(context)?;
            // Its present connection bypasses the load balancer, which did not run when it began.
            context.host.run(&Command::new("systemctl", ["restart", KUBELET_UNIT]))?;
        }
        Ok(())
    }
}

/// Whether the kubelet of this host has its own credential and runs.
fn has_joined(host: &Host) -> anyhow::Result<bool> {
    Ok(kubelet_is_told(host)? && host.unit_state(KUBELET_UNIT)?.is_some_and(|state| state.is_active()))
}

/// Whether the token for the join was removed from the host. kubeadm removes it at the end of its join.
pub(super) fn check_credential_removed(host: &Host) -> anyhow::Result<Check> {
    if host.exists(BOOTSTRAP_KUBECONFIG) {
        return needed(format!("{BOOTSTRAP_KUBECONFIG} still exists, with a token in it"));
    }
    Ok(Check::Done)
}

/// Removes that token if the kubelet's own credential works, so that the token is not needed any more; `true` if there was one.
pub(super) fn remove_credential(context: &mut Context<'_>) -> anyhow::Result<bool> {
    let host = &context.host;
    if !host.exists(BOOTSTRAP_KUBECONFIG) || !has_joined(host)? {
        return Ok(false);
    }
    if let Err(said) = Kubectl::as_kubelet(host).list(&["node", &context.node_name()])? {
        tracing::info!(said, path = BOOTSTRAP_KUBECONFIG, "kept: the kubelet's own credential does not work yet");
        return Ok(false);
    }
    Ok(context.host.remove_file(BOOTSTRAP_KUBECONFIG)?)
}

fn wants_annotation(inputs: &Inputs<'_>) -> bool {
    CRI_SOCKET_ANNOTATION.holds(inputs.list.kubernetes_version)
}

/// Runs `kubeadm join` with the credentials that were handed over.
pub(super) fn join(context: &mut Context<'_>) -> anyhow::Result<()> {
    let Some(credentials) = &context.material.join else {
        bail!("this host has not joined the cluster, and there are no credentials to join with")
    };
    let configuration = join_configuration(context, credentials);
    context.kubeadm().wait_for_another()?;
    context.host.write_file(JOIN_PATH, configuration.as_bytes(), 0o600)?;
    let joined = run_join(context).and_then(|()| remove_credential(context).map(drop));
    // It holds a credential, so it is removed even if the join failed.
    let removed = context.host.remove_file(JOIN_PATH);
    joined?;
    removed?;
    Ok(())
}

fn run_join(context: &mut Context<'_>) -> anyhow::Result<()> {
    // The API server is another host's, and kubeadm itself waits for it when it begins.
    let pause = |_: &Kubeadm<'_>| {
        thread::sleep(PAUSE);
        Ok(())
    };
    let own_files = [KUBELET_KUBECONFIG, BOOTSTRAP_KUBECONFIG, AUTHORITY_PATH];
    let has_balancer = load_balancer::is_wanted(context);
    let attempt = |kubeadm: &mut Kubeadm<'_>| {
        if kubeadm.inputs.has(Role::ControlPlane) && has_joined(kubeadm.host)? {
            return kubeadm.complete_join();
        }
        let found = own_files.into_iter().filter(|path| kubeadm.host.exists(path));
        let mut own: Vec<_> = found.map(|path| format!("FileAvailable-{}", path.replace('/', "-"))).collect();
        own.extend(has_balancer.then(|| "DirAvailable--etc-kubernetes-manifests".to_owned()));
        kubeadm.join(own)
    };
    context.kubeadm().patiently(attempt, pause)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixture;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    /// A running kubelet, and a cluster that knows its node.
    fn joined(_: &Path, command: &Command) -> Option<String> {
        const UNIT: &str = "Id=kubelet.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n";
        let node = || serde_json::json!({"metadata": {"annotations": {SOCKET_ANNOTATION: "unix:///x"}}}).to_string();
        match command.program.as_str() {
            "systemctl" => Some(UNIT.to_owned()),
            program if program.ends_with("kubectl") => command.arguments.contains(&"node".to_owned()).then(node),
            _ => None,
        }
    }

    fn credentials_to_join_with() -> JoinCredentials {
        JoinCredentials {
            api_server: "192.0.2.1:6443".into(),
            token: "abcdef.0123456789abcdef".into(),
            authority_hash: "sha256:00".into(),
        }
    }

    #[test]
    fn a_token_that_a_cut_off_join_left_is_removed() {
        let (cluster, bench) = (fixture::Cluster::of_three_and_two(), Bench::with_programs(joined));
        bench.join_kubelet();
        let material = JoinMaterial::default();
        let check = || bench.look_as(&cluster, "w1", &material, |context| Join.check(context).unwrap());
        assert_eq!(check(), Check::Done);
        bench.file("etc/kubernetes/bootstrap-kubelet.conf", "token");
        assert!(matches!(check(), Check::Needed(reason) if reason.contains("token")));
        bench.ran();
        bench.act_as(&cluster, "w1", &material, |context| Join.apply(context)).unwrap();
        assert!(!bench.ran().iter().any(|command| command.starts_with(crate::kubeadm::run::PROGRAM)));
        assert_eq!(check(), Check::Done);
    }

    #[test]
    fn a_kubelet_without_a_whole_credential_has_not_joined() {
        let (cluster, bench) = (fixture::Cluster::of_three_and_two(), Bench::with_programs(joined));
        bench.join_kubelet();
        for file in ["etc/kubernetes/kubelet.conf", "var/lib/kubelet/config.yaml", "var/lib/kubelet/kubeadm-flags.env"]
        {
            let whole = bench.read(file);
            bench.file(file, "");
            let found = bench.look_as(&cluster, "w1", &JoinMaterial::default(), |context| Join.check(context).unwrap());
            assert!(matches!(found, Check::Needed(_)), "{file}");
            bench.file(file, &whole);
        }
    }

    #[test]
    fn a_control_plane_cut_off_after_its_kubelet_joined_repeats_the_rest_and_drops_the_token() {
        let (cluster, bench) = (fixture::Cluster::of_three_and_two(), Bench::with_programs(joined));
        bench.join_kubelet();
        bench.file("proc/uptime", "");
        bench.file("etc/kubernetes/bootstrap-kubelet.conf", "token");
        let material = JoinMaterial { join: Some(credentials_to_join_with()), ..JoinMaterial::default() };
        bench.act_as(&cluster, "c2", &material, join).unwrap();
        let ran: Vec<_> = bench.ran().into_iter().filter(|command| command.contains("kubeadm join")).collect();
        assert_eq!(
            ran,
            [
                "/usr/local/bin/kubeadm join phase control-plane-prepare all --config=/etc/kubernetes/join.yaml",
                "/usr/local/bin/kubeadm join phase control-plane-join all --config=/etc/kubernetes/join.yaml",
            ]
        );
        for gone in ["bootstrap-kubelet.conf", "join.yaml"] {
            assert!(!bench.path("etc/kubernetes").join(gone).exists(), "{gone}");
        }
    }

    #[test]
    fn control_planes_and_workers_join_differently() {
        let cluster = fixture::Cluster::of_three_and_two();
        let credentials = credentials_to_join_with();
        let written = |name: &str| join_configuration(&cluster.inputs(&cluster.seen_from(name)), &credentials);
        insta::assert_snapshot!(written("w1"), @"
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: JoinConfiguration
        discovery:
          bootstrapToken:
            apiServerEndpoint: 192.0.2.1:6443
            token: abcdef.0123456789abcdef
            caCertHashes:
            - sha256:00
        nodeRegistration:
          name: w1
          criSocket: unix:///run/containerd/containerd.sock
          imagePullPolicy: Never
          kubeletExtraArgs:
            node-ip: 192.0.2.11
        patches:
          directory: /etc/kubernetes/patches
        ");
        insta::assert_snapshot!(written("c2"), @"
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: JoinConfiguration
        discovery:
          bootstrapToken:
            apiServerEndpoint: 192.0.2.1:6443
            token: abcdef.0123456789abcdef
            caCertHashes:
            - sha256:00
        nodeRegistration:
          name: c2
          criSocket: unix:///run/containerd/containerd.sock
          imagePullPolicy: Never
          kubeletExtraArgs:
            node-ip: 192.0.2.2
        patches:
          directory: /etc/kubernetes/patches
        controlPlane:
          localAPIEndpoint:
            advertiseAddress: 192.0.2.2
            bindPort: 6443
        ");
    }
}
