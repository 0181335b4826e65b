//! Kernel modules, now and at boot. The working feature counts, not `modprobe`'s exit code: a feature may be built in, and a host inside of
//! another may not be able to load modules.

use super::{Check, Context, Step};
use crate::facts::{MODULES, kernel_features};
use crate::host::{Change, Command, Host, HostError};
use crate::inputs::Inputs;

const FILE: &str = "/etc/modules-load.d/kinstall.conf";

/// Loads kernel modules, now and at boot.
pub struct KernelModules;

impl Step for KernelModules {
    fn id(&self) -> &'static str {
        "kernel-modules"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        format!("load kernel modules {}", names().join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
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
        // Without modules for this kernel, everything needed is built in, and a named module would make systemd's unit fail at boot.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;

    use super::*;
    use crate::executor::execute;
    use crate::fixture::bench::Bench;

    /// A host on which `modprobe` makes a module's feature appear.
    fn programs(root: &Path, command: &Command) -> Option<String> {
        let trace = match command.arguments.last()?.as_str() {
            "br_netfilter" => "proc/sys/net/bridge/bridge-nf-call-iptables",
            "nf_conntrack" => "proc/sys/net/netfilter/nf_conntrack_max",
            _ => return None,
        };
        let trace = root.join(trace);
        fs::create_dir_all(trace.parent().unwrap()).unwrap();
        fs::write(trace, "1\n").unwrap();
        None
    }

    #[test]
    fn only_what_is_missing_is_loaded() {
        let bench = Bench::with_programs(programs);
        bench.file("proc/filesystems", "nodev\toverlay\n\text4\n");
        let run =
            || bench.work(&[&KernelModules], |plan, context, notes| execute(plan, context, notes).unwrap().len()).1;
        assert_eq!(run(), 1);
        assert_eq!(bench.ran(), ["modprobe br_netfilter", "modprobe nf_conntrack"]);
        assert_eq!(bench.read("etc/modules-load.d/kinstall.conf"), "br_netfilter\nnf_conntrack\noverlay\n");
        assert_eq!(run(), 0);
    }

    #[test]
    fn a_module_that_brings_nothing_is_an_error() {
        let bench = Bench::new();
        let (_, result) = bench.work(&[&KernelModules], |plan, context, notes| execute(plan, context, notes));
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains("the kernel has no br_netfilter, nf_conntrack, overlay yet"), "{error}");
    }
}
