//! The objects of the network and the add-ons, if those of the new bundle differ. An installation checks only that the network's objects
//! exist.

use super::former_list;
use crate::config::{Cni, DnsName};
use crate::inputs::Inputs;
use crate::steps::{Addons, Check, Context, Network, Step, needed};
use crate::upgrade::outline::changes_manifests;
use crate::upgrade::unfinished::{self, Mark};

/// Changes the network's objects to those of the new bundle.
pub struct UpgradedNetwork;

impl Step for UpgradedNetwork {
    fn id(&self) -> &'static str {
        "upgrade-network"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        Network.title(inputs)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        matches!(inputs.cni(), Cni::Flannel | Cni::Calico) && inputs.leads()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        check(context, Mark::Network, &[context.cni().as_str()])
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        Network.apply(context)?;
        unfinished::note(&context.host, Mark::Network)
    }
}

/// Changes the objects of the add-ons that cluster.yaml lists.
pub struct UpgradedAddons;

impl Step for UpgradedAddons {
    fn id(&self) -> &'static str {
        "upgrade-addons"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        Addons.title(inputs)
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        Addons.concerns(inputs) && !inputs.spec.addons.is_empty()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let names: Vec<_> = context.spec.addons.iter().map(DnsName::as_str).collect();
        check(context, Mark::Addons, &names)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        Addons.apply(context)?;
        unfinished::note(&context.host, Mark::Addons)
    }
}

fn check(context: &Context<'_>, mark: Mark, names: &[&str]) -> anyhow::Result<Check> {
    let former = former_list(&context.host)?;
    let changed = names.iter().find(|name| changes_manifests(&former, context.list, name));
    match changed {
        Some(name) if !unfinished::has(&context.host, mark)? => needed(format!("the new bundle has another {name}")),
        _ => Ok(Check::Done),
    }
}
