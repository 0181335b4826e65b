//! Upgrades containerd and etcd: replaces their binaries, and restarts them with the configuration of the new version.

use kbundle_format::{ComponentName, Role};

use super::begin_changing;
use crate::inputs::Inputs;
use crate::steps::programs::{PROGRAM_DIRECTORY, preloaded};
use crate::steps::{Check, Containerd, Context, Etcd, Step, needed};
use crate::upgrade::unfinished::{self, Mark};

/// A service, and the components that are replaced together with it.
struct Service {
    /// The first component is the service's own.
    components: &'static [ComponentName],
    /// Writes its configuration and starts it.
    step: &'static (dyn Step + Sync),
}

const RUNTIME: Service = Service {
    components: &[ComponentName::Containerd, ComponentName::Runc, ComponentName::Crictl, ComponentName::CniPlugins],
    step: &Containerd,
};
const ETCD: Service = Service { components: &[ComponentName::Etcd], step: &Etcd };

impl Service {
    fn title(&self, inputs: &Inputs<'_>) -> String {
        let version = |name: &ComponentName| Some(format!("{name} {}", inputs.version_of(*name)?));
        format!("change to {}", self.components.iter().filter_map(version).collect::<Vec<_>>().join(", "))
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if let Some(reason) = preloaded::pending(context, self.components)? {
            return needed(reason);
        }
        self.check_running(context)
    }

    /// Whether the running program is the one on the disk.
    fn check_running(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let program = format!("{PROGRAM_DIRECTORY}/{}", self.components[0]);
        if context.host.runs_replaced(&program)? {
            return needed(format!("the former {program} still runs"));
        }
        self.step.check(context)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        begin_changing(context)?;
        if self.components.contains(&ComponentName::Etcd) {
            unfinished::note(&context.host, Mark::Store)?;
        }
        preloaded::put_in_place(context, self.components)?;
        // The next container uses a new runc; if only runc differs, nothing is restarted.
        match self.check_running(context)? {
            Check::Done => Ok(()),
            Check::Needed(_) => self.step.apply(context),
        }
    }
}

/// Upgrades containerd, runc, crictl and the CNI plugins. Containers keep running.
pub struct UpgradedRuntime;

impl Step for UpgradedRuntime {
    fn id(&self) -> &'static str {
        "upgrade-runtime"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        RUNTIME.title(inputs)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        RUNTIME.check(context)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        RUNTIME.apply(context)
    }
}

/// Changes this host's member of etcd.
pub struct UpgradedEtcd;

impl Step for UpgradedEtcd {
    fn id(&self) -> &'static str {
        "upgrade-etcd"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        ETCD.title(inputs)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.has(Role::Etcd)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        ETCD.check(context)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        ETCD.apply(context)
    }
}
