//! containerd: its configuration, registries and unit, and `crictl.yaml` for crictl.

mod registries;

use anyhow::Context as _;
use kbundle_format::ComponentName;

use super::{Check, Context, Step, needed};
use crate::host::{Command, Host};
use crate::inputs::Inputs;
use crate::kubeadm::CRI_SOCKET;
use crate::kubeadm::images::ClusterImages;
use crate::template::render;
use crate::version_rules::containerd::{CNI_BIN_DIRS, FORM_3, FORM_4};
use crate::version_rules::{Release, Rule};

/// The unit.
pub const UNIT: &str = "containerd.service";
const UNIT_PATH: &str = "/etc/systemd/system/containerd.service";
const CONFIG_PATH: &str = "/etc/containerd/config.toml";
const CRICTL_PATH: &str = "/etc/crictl.yaml";
/// Directories that containerd and the containers fill: images and snapshots, state, the socket of its resource interface (NRI, on from
/// 2.0), plugins of its own, network configurations, address leases.
const TREES: [&str; 7] = [
    "/var/lib/containerd",
    "/run/containerd",
    "/run/nri",
    "/opt/containerd",
    registries::DIRECTORY,
    "/etc/cni",
    "/var/lib/cni",
];

/// Sets up containerd.
pub struct Containerd;

impl Step for Containerd {
    fn id(&self) -> &'static str {
        "containerd"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("set up containerd {}", inputs.version_of(ComponentName::Containerd).unwrap_or_default())
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        for (path, content) in files(context)? {
            if !context.host.has_file(&path, content.as_bytes(), 0o644)? {
                return needed(format!("{path} differs from what kinstall writes"));
            }
        }
        if let Some(path) = registries::stale(&context.host, &context.spec.registries)?.first() {
            return needed(format!("{path} is for a registry that is not listed any more"));
        }
        if !context.host.unit_is_up(UNIT)? {
            return needed("its service does not run");
        }
        match answers(&context.host)? {
            Ok(()) => Ok(Check::Done),
            Err(said) => needed(format!("it does not answer: {said}")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let files = files(context)?;
        let stale = registries::stale(&context.host, &context.spec.registries)?;
        let host = &mut context.host;
        for tree in TREES {
            host.claim_tree(tree)?;
        }
        for (path, content) in files {
            host.write_file(&path, content.as_bytes(), 0o644)?;
        }
        for folder in stale {
            host.remove_claimed(&folder)?;
        }
        // Containers keep running through a restart.
        host.restart_unit(UNIT).context("while starting containerd; `journalctl -u containerd` has its log")?;
        answers(host)?.map_err(|said| anyhow::anyhow!("containerd was started but does not answer: {said}"))
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        Ok(host.stop_unit(UNIT)?)
    }
}

/// The files to write, by path.
fn files(inputs: &Inputs<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let version =
        inputs.version_of(ComponentName::Containerd).context("the bundle has no containerd for this platform")?;
    let images = ClusterImages::find(inputs.list, &inputs.facts.platform)?;
    let unit = include_str!("../../../manifests/templates/containerd.service");
    let crictl = include_str!("../../../manifests/templates/crictl.yaml");
    let own = [
        (CONFIG_PATH, config(version, &images.pause.to_string(), inputs.facts.can_lower_oom_score)),
        (UNIT_PATH, render(unit, &[("version", version)])),
        (CRICTL_PATH, render(crictl, &[("socket", CRI_SOCKET)])),
    ];
    let own = own.into_iter().map(|(path, content)| (path.to_owned(), content));
    Ok(own.chain(registries::files(&inputs.spec.registries)).collect())
}

/// The configuration for containerd `version`, in its newest form: containerd would migrate an older form at every start.
fn config(version: &str, pause: &str, can_lower_oom_score: bool) -> String {
    // Pods ask for lower scores than containerd's own; on a host inside of a container, the kernel forbids that.
    let restrict = if can_lower_oom_score { "false" } else { "true" };
    let common = [("pause", pause), ("restrict_oom_score_adj", restrict)];
    let form = Form::of(version);
    let plugins = match form.cni_plugins {
        CniPlugins::Directory => r#"bin_dir = "/opt/cni/bin""#,
        CniPlugins::Directories => r#"bin_dirs = ["/opt/cni/bin"]"#,
    };
    match form.number {
        2 => render(include_str!("../../../manifests/templates/containerd-1.toml"), &common),
        number => {
            let own = [("release", form.release), ("form", &number.to_string()), ("cni_plugins", plugins)];
            render(include_str!("../../../manifests/templates/containerd-2.toml"), &[&common[..], &own].concat())
        }
    }
}

/// The form of the configuration of a version of containerd.
struct Form {
    /// `version` in the file.
    number: u8,
    /// The releases that read it without a warning, for people.
    release: &'static str,
    cni_plugins: CniPlugins,
}

/// The key for the directories of CNI plugins.
enum CniPlugins {
    Directory,
    Directories,
}

impl Form {
    /// A version that is not upstream's gets the newest.
    fn of(version: &str) -> Self {
        let holds =
            |rule: &Rule<Release>| Release::read(version).map_or(rule.until.is_none(), |found| rule.holds(found));
        let directories = holds(&CNI_BIN_DIRS);
        let (number, release) = match (holds(&FORM_4), holds(&FORM_3), directories) {
            (true, ..) => (4, "2.3 and later"),
            (false, true, true) => (3, "2.1 and 2.2"),
            (false, true, false) => (3, "2.0"),
            (false, false, _) => (2, "1.x"),
        };
        let cni_plugins = if directories { CniPlugins::Directories } else { CniPlugins::Directory };
        Self { number, release, cni_plugins }
    }
}

/// Whether containerd and its CRI plugin answer; if not, their message.
fn answers(host: &Host) -> anyhow::Result<Result<(), String>> {
    let socket = CRI_SOCKET.trim_start_matches("unix://");
    for command in [
        Command::new("/usr/local/bin/ctr", ["--address", socket, "version"]),
        Command::new("/usr/local/bin/crictl", ["-r", CRI_SOCKET, "info"]),
    ] {
        let output = host.run_if_installed(&command)?;
        if output.as_ref().and_then(|output| output.code) != Some(0) {
            let said = output.map_or("it is not installed".to_owned(), |output| output.stderr.trim().to_owned());
            return Ok(Err(format!("`{command}`: {said}")));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_2_for_containerd_1_on_a_nested_host() {
        insta::assert_snapshot!(config("1.7.13", "registry.k8s.io/pause:3.8", false), @r#"
        # Written by kinstall for containerd 1.x.
        version = 2

        [plugins."io.containerd.grpc.v1.cri"]
          sandbox_image = "registry.k8s.io/pause:3.8"
          restrict_oom_score_adj = true

          [plugins."io.containerd.grpc.v1.cri".cni]
            bin_dir = "/opt/cni/bin"
            conf_dir = "/etc/cni/net.d"

          [plugins."io.containerd.grpc.v1.cri".containerd]
            default_runtime_name = "runc"

            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
              runtime_type = "io.containerd.runc.v2"

              [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
                BinaryName = "/usr/local/bin/runc"
                SystemdCgroup = true

          [plugins."io.containerd.grpc.v1.cri".registry]
            config_path = "/etc/containerd/certs.d"
        "#);
    }

    #[test]
    fn form_3_for_containerd_2_0() {
        insta::assert_snapshot!(config("2.0.5", "registry.k8s.io/pause:3.10", true));
    }

    #[test]
    fn form_4_for_containerd_2_3() {
        insta::assert_snapshot!(config("2.3.4", "registry.k8s.io/pause:3.10.2", true));
    }

    #[test]
    fn each_release_is_spoken_to_in_its_own_form() {
        for (version, form, plugins) in [
            ("1.7.13", "version = 2\n", "bin_dir = "),
            ("2.0.6", "version = 3\n", "bin_dir = "),
            ("2.1.5", "version = 3\n", "bin_dirs = ["),
            ("2.2.3", "version = 3\n", "bin_dirs = ["),
            ("2.3.4", "version = 4\n", "bin_dirs = ["),
            ("2.4.2", "version = 4\n", "bin_dirs = ["),
            ("a build of the site", "version = 4\n", "bin_dirs = ["),
        ] {
            let text = config(version, "registry.k8s.io/pause:3.10", true);
            assert!(text.contains(form) && text.contains(plugins), "{version}: {text}");
            assert!(!text.contains("{{"), "{text}");
        }
    }
}
