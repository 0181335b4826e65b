//! Modes of files that others write: the kubelet's configuration, which kubeadm leaves readable for all users.

use super::{Check, Context, Step, needed};
use crate::inputs::Inputs;

/// Files that only root may read, by the CIS Kubernetes Benchmark (4.1.9). kubeadm later writes into them and keeps their modes.
const CLOSED: [&str; 1] = [super::kubelet::CONFIG_PATH];
const MODE: u32 = 0o600;

/// Makes files of kubeadm unreadable for other users.
pub struct FileModes;

impl Step for FileModes {
    fn id(&self) -> &'static str {
        "file-modes"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "close the kubelet's configuration to other users".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        for path in CLOSED {
            if let Some(mode) = context.host.permissions(path)?.filter(|mode| mode & !MODE != 0) {
                return needed(format!("{path} has the mode {mode:o}"));
            }
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        for path in CLOSED {
            if let Some(content) = context.host.read(path)? {
                context.host.write_file(path, &content, MODE)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    #[test]
    fn the_configuration_is_for_root_alone_and_keeps_its_content() {
        let (cluster, bench, material) = (Cluster::of_three_and_two(), Bench::new(), JoinMaterial::default());
        let check = || bench.look_as(&cluster, "w1", &material, |context| FileModes.check(context).unwrap());
        assert_eq!(check(), Check::Done, "kubeadm has not written it yet");
        bench.join_kubelet();
        let path = bench.path("var/lib/kubelet/config.yaml");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(check(), Check::Needed("/var/lib/kubelet/config.yaml has the mode 644".to_owned()));
        bench.act_as(&cluster, "w1", &material, |context| FileModes.apply(context)).unwrap();
        assert_eq!(check(), Check::Done);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bench.read("var/lib/kubelet/config.yaml"), "kind: KubeletConfiguration\n");
    }
}
