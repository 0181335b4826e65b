//! Kernel modules, now and at boot. What counts is the feature at work, not `modprobe`'s word: it may be built in, and a host
//! inside of another may not load modules at all.

use super::{Check, Context, Inputs, Step};
use crate::facts::{MODULES, kernel_features};
use crate::host::{Change, Command, Host, HostError};

const FILE: &str = "/etc/modules-load.d/kinstall.conf";

/// See the module.
pub struct KernelModules;

impl Step for KernelModules {
    fn id(&self) -> &'static str {
        "kernel-modules"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        format!("load kernel modules {}", names().join(", "))
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let missing = missing(&context.host)?;
        if !missing.is_empty() {
            return Ok(Check::Needed(format!("the kernel has no {} yet", missing.join(", "))));
        }
        if context.facts.kernel.has_modules && !context.host.has_file(FILE, content().as_bytes(), 0o644)? {
            return Ok(Check::Needed(format!("{FILE} does not load them at boot")));
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let has_modules = context.facts.kernel.has_modules;
        let host = &mut context.host;
        for name in missing(host)? {
            host.ledger_mut().record(Change::Module { name: name.to_owned() }).map_err(HostError::from)?;
            host.run(&Command::new("modprobe", [name]))?;
        }
        // Without modules for this kernel, everything needed is built in, and naming it would fail systemd's unit at boot.
        if has_modules {
            host.write_file(FILE, content().as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

fn names() -> Vec<&'static str> {
    MODULES.iter().map(|&(name, _)| name).collect()
}

fn content() -> String {
    names().join("\n") + "\n"
}

fn missing(host: &Host) -> Result<Vec<&'static str>, HostError> {
    let found = kernel_features(host)?;
    Ok(names().into_iter().filter(|&name| !found.contains(name)).collect())
}
