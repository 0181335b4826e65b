//! The network of pods: the standard plugins on a bridge with routes between hosts, or an add-on of the bundle.

mod addon;
mod bridge;
mod calico;
mod given;
mod routes;

use super::{Check, Context, Step, needed};
use crate::config::Cni;
use crate::host::Host;
use crate::inputs::Inputs;
pub use addon::{mounts, objects, trees};
pub use bridge::Bridge;
pub use given::{pod_networks, present_networks};

/// Sets up the network of pods.
pub struct Network;

impl Step for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let cni = inputs.cni();
        let version = inputs.version_of_addon(cni.as_str());
        match (cni, version) {
            (Cni::None, _) => "leave the network of pods to the site".to_owned(),
            (Cni::Bridge, _) => "connect pods with those of other hosts by routes".to_owned(),
            (_, Some(version)) => format!("connect pods with {} {version}", cni.as_str()),
            (_, None) => format!("connect pods with {}", cni.as_str()),
        }
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        match inputs.cni() {
            Cni::Bridge => inputs.topology.this().is_node(),
            Cni::Flannel | Cni::Calico => inputs.leads(),
            Cni::None => false,
        }
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        match context.cni() {
            Cni::Bridge => routes::check(context, &given::known(context)?),
            Cni::Flannel | Cni::Calico => addon::check(context),
            Cni::None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        match context.cni() {
            Cni::Bridge => routes::apply(context, &given::known(context)?),
            Cni::Flannel | Cni::Calico => addon::apply(context),
            Cni::None => Ok(()),
        }
    }

    fn undo(&self, host: &mut Host) -> anyhow::Result<()> {
        Ok(host.stop_unit(routes::UNIT)?)
    }
}
