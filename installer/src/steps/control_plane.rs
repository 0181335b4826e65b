//! The control plane, by `kubeadm init` on the first host and `kubeadm join` on others: checks whether it exists and is complete.
//! [`crate::kubeadm::run`] runs kubeadm.

use kbundle_format::Role;

use super::{Check, Context, Step, join, needed};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubeadm::run::API_READY_WITHIN;
use crate::kubeadm::{STATIC_PODS, etcd_endpoints, has_coredns, has_kube_proxy, manifest_path};
use crate::kubectl::Kubectl;
use crate::restoration_records;
use crate::version_rules::kubernetes::SUPER_ADMIN_KUBECONFIG;
use crate::wait::{Look, Unheard, until};

const ID: &str = "control-plane";
/// kubeadm marks the node of a control plane with this label.
const NODE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// Sets up the control plane.
pub struct ControlPlane;

impl Step for ControlPlane {
    fn id(&self) -> &'static str {
        ID
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let act = if inputs.leads() { "set up the control plane" } else { "join the control plane" };
        format!("{act} with kubeadm {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::ControlPlane)
    }

    /// Waits for the API server if the control plane was set up before: after a boot of the host it takes a while.
    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(manifest) = STATIC_PODS.map(manifest_path).iter().find(|path| !context.host.exists(path)) {
            return needed(format!("{manifest} is not there"));
        }
        if restoration_records::awaits_kubeadm(&context.host) {
            return needed("kubeadm has not completed it on the restored data");
        }
        if let Err(said) = wait_for_api(context)? {
            return needed(format!("the API server is not ready: {said}"));
        }
        let api = Kubectl::on(&context.host);
        // kubeadm gives its group a role some time after the API server is ready.
        let may_lack_rights = SUPER_ADMIN_KUBECONFIG.holds(context.list.kubernetes_version);
        if may_lack_rights && !is_set_up(&context.host) && !api.may_do_all()? {
            return needed("an earlier run of kubeadm ended before it gave the administrator rights");
        }
        for object in objects(context)? {
            if !api.has(&["--namespace=kube-system", object])? {
                return needed(format!("{object} is not there"));
            }
        }
        let name = context.node_name();
        let node = api.get(&["node", &name])?;
        if node.is_none_or(|node| node["metadata"]["labels"][NODE_LABEL].is_null()) {
            return needed(format!("{name} is not known as a control plane"));
        }
        if !asks_every_etcd_member(context)? {
            return needed("the API server does not know every member of etcd");
        }
        join::check_credential_removed(&context.host)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let was_left = join::remove_credential(context)?;
        if is_set_up(&context.host) && !asks_every_etcd_member(context)? {
            return tell_etcd_members(context);
        }
        if was_left && self.check(context)? == Check::Done {
            return Ok(());
        }
        if context.leads() {
            context.kubeadm().init()?;
            restoration_records::kubeadm_is_done(&context.host)?;
        } else {
            join::join(context)?;
            context.kubeadm().wait_for_own_api()?;
        }
        // An earlier run may have been cut off, and members may have come or gone since.
        if asks_every_etcd_member(context)? { Ok(()) } else { tell_etcd_members(context) }
    }
}

/// Whether the API server of this host uses exactly the present members of etcd.
fn asks_every_etcd_member(context: &Context<'_>) -> anyhow::Result<bool> {
    let manifest = context.host.read_text(&manifest_path("kube-apiserver"))?.unwrap_or_default();
    let flag = format!("- --etcd-servers={}", etcd_endpoints(context).join(","));
    Ok(manifest.lines().any(|line| line.trim() == flag))
}

/// Gives the API server, and hosts that join later, the present members of etcd.
fn tell_etcd_members(context: &mut Context<'_>) -> anyhow::Result<()> {
    context.kubeadm().renew_api_server()?;
    wait_for_api(context)?.map_err(|said| anyhow::anyhow!("the API server did not come back: {said}"))
}

/// Whether the control plane of this host was completed once.
#[must_use]
pub fn is_set_up(host: &Host) -> bool {
    host.ledger().is_done(ID)
}

/// The objects that kubeadm makes last, so that everything before them exists too, and objects that are essential.
///
/// Source: `printOrCreateKubeProxyObjects` of kubeadm's `app/phases/addons/proxy`, and the order of phases in `app/cmd/init.go`;
/// the same in 1.25.2 and 1.36.3.
fn objects(inputs: &Inputs<'_>) -> anyhow::Result<Vec<&'static str>> {
    let mut objects = vec!["configmap/kubeadm-config"];
    if has_kube_proxy(inputs) {
        objects.extend(["rolebinding/kube-proxy", "daemonset/kube-proxy"]);
    }
    if has_coredns(inputs)? {
        objects.extend(["service/kube-dns", "deployment/coredns"]);
    }
    Ok(objects)
}

/// Waits for an API server that was set up before and is starting, such as after a boot. Does not wait for one that was never set up.
fn wait_for_api(context: &Context<'_>) -> anyhow::Result<Result<(), String>> {
    let api = Kubectl::on(&context.host);
    if !is_set_up(&context.host) {
        return api.readiness();
    }
    context.progress.detail("waiting for the API server");
    let ready = until(context.progress, "the API server", API_READY_WITHIN, || {
        Ok(match api.readiness()? {
            Ok(()) => Look::Ready(()),
            Err(said) => Look::NotYet(said),
        })
    });
    match ready {
        // This error says nothing about the API server.
        Err(error) if error.is::<Unheard>() => Err(error),
        ready => Ok(ready.map_err(|error| error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::{Bench, KUBECONFIG};
    use crate::join_material::JoinMaterial;

    /// A cluster without the objects in the root's `cut`, until kubeadm makes them.
    fn programs(root: &std::path::Path, command: &crate::host::Command) -> Option<String> {
        const FORBIDDEN: &str = "fails: Error from server (Forbidden): User \"kubernetes-admin\" cannot get resource";
        let lacks = |what: &str| root.join("cut").join(what.replace('/', "-")).exists();
        let said = command.arguments.join(" ");
        if said.starts_with("init phase") {
            let refused = said.contains("upload-config") && lacks("refused");
            let refuse = || fs::remove_file(root.join("cut/refused")).unwrap();
            return refused
                .then(refuse)
                .map(|()| "fails: dial tcp 10.77.0.11:6443: connect: connection refused".to_owned());
        }
        if command.program == crate::kubeadm::run::PROGRAM {
            for (cause, words) in
                [("time", "Client.Timeout exceeded while awaiting headers"), ("port", "Port 6443 is in use")]
            {
                if lacks(cause) {
                    fs::remove_file(root.join("cut").join(cause)).unwrap();
                    return Some(format!("fails: {words}"));
                }
            }
            fs::remove_dir_all(root.join("cut")).unwrap();
            return None;
        }
        if said.contains("can-i") {
            return lacks("rights").then(|| "fails: no".to_owned());
        }
        if !said.contains(" get ") || said.contains("--raw") {
            return None;
        }
        if lacks("rights") {
            return Some(FORBIDDEN.to_owned());
        }
        if said.contains("node c1") {
            let label = if lacks("label") { "other" } else { NODE_LABEL };
            return Some(serde_json::json!({ "metadata": { "labels": { label: "" } } }).to_string());
        }
        let object = command.arguments.iter().find(|argument| argument.contains('/') && !argument.starts_with('-'))?;
        (!lacks(object)).then(|| "{}".to_owned())
    }

    /// In a version whose administrator may lack rights.
    fn newest() -> Cluster {
        let mut cluster = Cluster::of_three_and_two();
        cluster.list.kubernetes_version = "1.36.3".parse().unwrap();
        cluster
    }

    /// The first control plane, after the kubelet has started the API server; kubeadm made everything but `lacking`.
    fn cut_off(cluster: &Cluster, lacking: &[&str]) -> Bench {
        let bench = Bench::with_programs(programs);
        bench.file("proc/uptime", "");
        bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
        for what in lacking {
            bench.file(&format!("cut/{}", what.replace('/', "-")), "");
        }
        let flag = bench.look_as(cluster, "c1", &JoinMaterial::default(), |context| {
            format!("    - --etcd-servers={}\n", etcd_endpoints(context).join(","))
        });
        for name in STATIC_PODS {
            bench.file(manifest_path(name).trim_start_matches('/'), &flag);
        }
        bench
    }

    fn check(bench: &Bench, cluster: &Cluster) -> Check {
        bench.look_as(cluster, "c1", &JoinMaterial::default(), |context| ControlPlane.check(context).unwrap())
    }

    fn apply(bench: &Bench, cluster: &Cluster) -> (anyhow::Result<()>, usize) {
        bench.ran();
        let result = bench.act_as(cluster, "c1", &JoinMaterial::default(), |context| ControlPlane.apply(context));
        (result, bench.ran().iter().filter(|command| command.starts_with("/usr/local/bin/kubeadm init")).count())
    }

    #[test]
    fn a_kubeadm_that_was_cut_off_anywhere_is_called_again() {
        let cluster = newest();
        // In the order in which kubeadm makes them.
        let all = [
            "rights",
            "configmap/kubeadm-config",
            "label",
            "deployment/coredns",
            "service/kube-dns",
            "daemonset/kube-proxy",
            "rolebinding/kube-proxy",
        ];
        for made in 0..all.len() {
            let bench = cut_off(&cluster, &all[made..]);
            assert!(matches!(check(&bench, &cluster), Check::Needed(_)), "cut off before {}", all[made]);
            let (result, calls) = apply(&bench, &cluster);
            result.unwrap();
            assert_eq!((calls, check(&bench, &cluster)), (1, Check::Done), "cut off before {}", all[made]);
        }
        assert_eq!(check(&cut_off(&cluster, &[]), &cluster), Check::Done);
    }

    #[test]
    fn an_api_server_that_was_slow_is_asked_again_within_the_run() {
        let cluster = newest();
        let (result, calls) = apply(&cut_off(&cluster, &["time", "label"]), &cluster);
        result.unwrap();
        assert_eq!(calls, 2);
    }

    #[test]
    fn an_api_server_that_restarts_for_new_etcd_members_is_waited_for() {
        let cluster = newest();
        let bench = cut_off(&cluster, &["refused"]);
        bench.file("var/lib/kinstall/ledger.jsonl", "{\"change\":\"step-done\",\"step\":\"control-plane\"}\n");
        bench.file("etc/kubernetes/manifests/kube-apiserver.yaml", "    - --etcd-servers=https://10.0.0.1:2379\n");
        bench.ran();
        bench.act_as(&cluster, "c1", &JoinMaterial::default(), |context| ControlPlane.apply(context)).unwrap();
        let phases: Vec<_> = bench.ran().into_iter().filter(|command| command.contains("init phase")).collect();
        assert_eq!(phases.len(), 3, "{phases:?}");
        assert!(phases[0].contains("control-plane apiserver"), "{phases:?}");
        assert!(phases[1..].iter().all(|phase| phase.contains("upload-config kubeadm")), "{phases:?}");
    }

    #[test]
    fn what_is_no_time_out_is_told_at_once() {
        let cluster = newest();
        let (result, calls) = apply(&cut_off(&cluster, &["port", "label"]), &cluster);
        assert!(format!("{:#}", result.unwrap_err()).contains("Port 6443 is in use"));
        assert_eq!(calls, 1);
    }
}
