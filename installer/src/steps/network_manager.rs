//! Keeps NetworkManager off the interfaces of pods, which it would otherwise take, rename or take down.
//!
//! Sources: the pages on NetworkManager in the requirements of Calico and RKE2; `NetworkManager.conf(5)`.

use super::{Check, Context, Step, needed};
use crate::config::Switch;
use crate::facts::{NETWORK_MANAGER_DEVICES as DEVICES, NETWORK_MANAGER_FILE as FILE};
use crate::host::{Command, Host};
use crate::inputs::Inputs;

const UNIT: &str = "NetworkManager.service";

/// Tells NetworkManager which interfaces to leave alone.
pub struct NetworkManager;

impl Step for NetworkManager {
    fn id(&self) -> &'static str {
        "network-manager"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "keep NetworkManager off the interfaces of pods".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.spec.host_preparation == Switch::Enabled
            && inputs.topology.this().is_node()
            && inputs.facts.hardening.at_work.contains(UNIT)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let is_told_by_others = context.facts.hardening.network_manager_keeps_off && !context.host.exists(FILE);
        if is_told_by_others || context.host.has_file(FILE, content().as_bytes(), 0o644)? {
            return Ok(Check::Done);
        }
        needed(format!("{FILE} does not name them"))
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        context.host.write_file(FILE, content().as_bytes(), 0o644)?;
        reload(&context.host)
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        if host.remove_file(FILE)? { reload(host) } else { Ok(()) }
    }
}

fn content() -> String {
    format!("# By kinstall: the interfaces of Kubernetes' pods.\n[keyfile]\nunmanaged-devices+={DEVICES}\n")
}

fn reload(host: &Host) -> anyhow::Result<()> {
    if host.unit_state(UNIT)?.is_some_and(|state| state.is_active()) {
        host.run(&Command::new("systemctl", ["reload", UNIT]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::network::LINKS;

    #[test]
    fn every_interface_of_a_cluster_is_named() {
        let names: Vec<_> = DEVICES.split(';').map(|device| device.strip_prefix("interface-name:").unwrap()).collect();
        for link in LINKS {
            let is_named = |name: &&str| name.strip_suffix('*').map_or(link == *name, |start| link.starts_with(start));
            assert!(names.iter().any(is_named), "{link}");
        }
    }
}
