//! The kubelet's unit, and the part of its configuration that only this host has. kubeadm starts the kubelet after it has written its
//! complete configuration. [`settings`] brings later changes of cluster.yaml to a running kubelet.

mod settings;

use super::{Check, Context, Step, needed, network, pods};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kernel_settings::set_by_others;
use crate::kubeadm::{self, KUBELET_UNIT, host_settings};
use crate::template::render;

pub use settings::note_standing;

const UNIT_PATH: &str = "/etc/systemd/system/kubelet.service";
/// The one drop-in of its unit, as in upstream's packages.
pub const DROP_IN_PATH: &str = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf";
/// Its data.
pub const DIRECTORY: &str = "/var/lib/kubelet";
/// The configuration that kubeadm writes for it.
pub const CONFIG_PATH: &str = "/var/lib/kubelet/config.yaml";
/// The mode of its unit and the files beside it: only root may read them, by the CIS Kubernetes Benchmark (4.1.1).
const UNIT_MODE: u32 = 0o600;
/// Directories that the kubelet, kubeadm, the control plane and kube-proxy fill.
const TREES: [&str; 6] = [
    kubeadm::DIRECTORY,
    DIRECTORY,
    "/var/log/pods",
    "/var/log/containers",
    "/usr/libexec/kubernetes",
    "/run/xtables.lock",
];

/// Sets up the kubelet's unit.
pub struct Kubelet;

impl Step for Kubelet {
    fn id(&self) -> &'static str {
        "kubelet"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("set up the kubelet {}", inputs.list.kubernetes_version)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        for (path, mode, content) in files(context) {
            if !host.has_file(path, content.as_bytes(), mode)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        let configuration = host.read_text(CONFIG_PATH)?;
        if let Some(key) = configuration.and_then(|text| host_settings::disagreement(&text, context)) {
            return needed(format!("{key} in {CONFIG_PATH} does not suit this host"));
        }
        if settings::differ(context)? {
            return needed(format!("{CONFIG_PATH} has other settings than cluster.yaml"));
        }
        let Some(state) = host.unit_state(KUBELET_UNIT)?.filter(|state| state.is_enabled() && !state.needs_reload)
        else {
            return needed("its service does not start at boot");
        };
        if is_configured(host) && !state.is_active() {
            return needed("its service does not run");
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let files = files(context);
        let (cpus, of_network) = (context.facts.cpus, network::trees(context.cni()));
        let mounts_of_network = network::mounts(context.cni());
        let configuration = settings::wanted(context)?;
        let host = &mut context.host;
        // From here on pods may run, so the settings that they change are recorded.
        for tree in TREES.iter().chain(of_network) {
            host.claim_tree(tree)?;
        }
        for setting in set_by_others(cpus) {
            host.note_sysctl(setting.name, &setting.value.to_string())?;
        }
        for place in mounts_of_network {
            host.note_mount(place)?;
        }
        // kube-proxy mounts this directory, which a host without modules may not have.
        host.make_directory("/lib/modules", 0o755)?;
        for (path, mode, content) in files {
            host.write_file(path, content.as_bytes(), mode)?;
        }
        if is_configured(host) {
            return settings::restart_with(context, configuration);
        }
        Ok(host.register_unit(KUBELET_UNIT)?)
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        host.stop_unit(KUBELET_UNIT)?;
        pods::remove_all(host)?;
        pods::stop_scopes_of_kubelet(host)
    }
}

/// Whether kubeadm has configured the kubelet. Before that it cannot run; kubeadm starts it.
fn is_configured(host: &Host) -> bool {
    host.exists(CONFIG_PATH)
}

fn files(inputs: &Inputs<'_>) -> [(&'static str, u32, String); 3] {
    let version = inputs.list.kubernetes_version.to_string();
    let unit = include_str!("../../../manifests/templates/kubelet.service");
    let drop_in = include_str!("../../../manifests/templates/kubelet-kubeadm.conf");
    [
        (UNIT_PATH, UNIT_MODE, render(unit, &[("version", &version)])),
        (DROP_IN_PATH, UNIT_MODE, drop_in.to_owned()),
        (host_settings::PATCH_PATH, 0o644, host_settings::patch(inputs)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cni;
    use crate::fixture::{self, bench::Bench};
    use crate::host::Change;
    use crate::join_material::JoinMaterial;

    /// Settings that kube-proxy, containerd's plugins and the network's pods write, and kinstall does not.
    #[test]
    fn what_pods_change_on_any_host_is_taken_back() {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(Cni::Calico);
        let bench = Bench::new();
        let settings = set_by_others(cluster.facts.cpus);
        let path = |name: &str| format!("proc/sys/{}", name.replace('.', "/"));
        for setting in &settings {
            bench.file(&path(setting.name), "7\n");
        }
        bench.file("run/systemd/by-others", "");
        bench.file("proc/self/mounts", "tmpfs /run tmpfs rw 0 0\n");
        bench.act_as(&cluster, "w1", &JoinMaterial::default(), |context| Kubelet.apply(context)).unwrap();
        let mount = Change::MountOfOthers { path: "/sys/fs/bpf".to_owned() };
        assert!(bench.host().ledger().changes().contains(&mount));
        for setting in &settings {
            bench.file(&path(setting.name), &format!("{}\n", setting.value));
        }
        for made in ["run/xtables.lock", "run/calico/cgroup", "var/lib/calico/nodename", "var/log/calico/cni/cni.log"] {
            bench.file(made, "");
        }
        bench.undo();
        for setting in &settings {
            assert_eq!(bench.read(&path(setting.name)).trim(), "7", "{}", setting.name);
        }
        for gone in ["run/xtables.lock", "run/calico", "var/lib/calico", "var/log/calico"] {
            assert!(!bench.path(gone).exists(), "{gone}");
        }
        assert!(bench.path("run/systemd/by-others").exists());
    }
}
