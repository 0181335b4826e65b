//! The virtual IP of the control planes: `kube-vip` as a static pod on each of them. The pods elect one of themselves with a lease in the
//! API; its host holds the address, and announces it by ARP, or for IPv6 by neighbour discovery.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use kbundle_cluster::needs::VIRTUAL_ADDRESS_IMAGE;
use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::config::Cidr;
use crate::host::{Host, HostError};
use crate::inputs::Inputs;
use crate::kubeadm::images::image_called;
use crate::kubeadm::{self, MANIFESTS};
use crate::kubectl::{ADMIN_KUBECONFIG, Kubectl};
use crate::template::render;
use crate::topology::Member;
use crate::wait::{Look, until};

/// The name of its static pod.
pub const POD: &str = VIRTUAL_ADDRESS_IMAGE;
/// The pod starts within seconds, and the lease of a lost pod ends within five.
const HELD_WITHIN: Duration = Duration::from_mins(2);

/// Runs kube-vip on a control plane.
pub struct VirtualAddress;

impl Step for VirtualAddress {
    fn id(&self) -> &'static str {
        "virtual-address"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let address = inputs.spec.api.address.map(|address| address.to_string()).unwrap_or_default();
        format!("keep {address} on one of the control planes with kube-vip")
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        is_wanted(inputs)
    }

    /// Waits until a host holds the address: after a boot of this host, or of the host that held it, that takes a while.
    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let path = manifest_path();
        if !context.host.has_file(&path, manifest(context)?.as_bytes(), 0o600)? {
            return needed(format!("{path} differs from what kinstall writes"));
        }
        match wait(context) {
            Ok(()) => Ok(Check::Done),
            Err(error) => needed(format!("no API server answers at the address: {error:#}")),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let (path, manifest) = (manifest_path(), manifest(context)?);
        context.host.claim_tree(kubeadm::DIRECTORY)?;
        context.host.write_file(&path, manifest.as_bytes(), 0o600)?;
        wait(context)
    }
}

fn wait(context: &Context<'_>) -> anyhow::Result<()> {
    context.progress.detail("waiting for the address to be held");
    let (api, server) = (Kubectl::on(&context.host), server(context)?);
    until(context.progress, "an API server at the virtual IP", HELD_WITHIN, || {
        Ok(match api.readiness_at(&server)? {
            Ok(()) => Look::Ready(()),
            Err(said) => Look::NotYet(said),
        })
    })
    .context("`crictl ps -a` and `crictl logs` show the state of the pod kube-vip")
}

/// Whether this host may hold the address.
#[must_use]
pub fn is_wanted(inputs: &Inputs<'_>) -> bool {
    is_wanted_on(inputs.topology.this(), inputs)
}

/// Whether `member` may hold the address.
pub(super) fn is_wanted_on(member: &Member, inputs: &Inputs<'_>) -> bool {
    inputs.profile_of(member).may_hold_address(inputs.spec)
}

/// The address and its interface, if the host was set up to hold one.
pub fn held(host: &Host) -> Result<Option<(IpAddr, String)>, HostError> {
    Ok(host.read_text(&manifest_path())?.and_then(|manifest| address_in(&manifest)))
}

fn address_in(manifest: &str) -> Option<(IpAddr, String)> {
    let pod: Value = serde_yaml::from_str(manifest).ok()?;
    let variables = pod["spec"]["containers"][0]["env"].as_array()?;
    let value = |name: &str| variables.iter().find(|variable| variable["name"] == name)?["value"].as_str();
    Some((value("address")?.parse().ok()?, value("vip_interface")?.to_owned()))
}

fn manifest_path() -> String {
    format!("{MANIFESTS}/{POD}.yaml")
}

fn address(inputs: &Inputs<'_>) -> anyhow::Result<IpAddr> {
    inputs.spec.api.address.context("no virtual IP is given as api.address")
}

fn server(inputs: &Inputs<'_>) -> anyhow::Result<String> {
    Ok(format!("https://{}", SocketAddr::new(address(inputs)?, inputs.spec.api.port)))
}

fn manifest(inputs: &Inputs<'_>) -> anyhow::Result<String> {
    let address = address(inputs)?;
    let found = inputs.facts.interface_towards(address);
    let interface = inputs.spec.api.interface.as_deref().or(found);
    let interface = interface.with_context(|| format!("no interface of this host is in the network of {address}"))?;
    let image = image_called(POD, inputs).context("the bundle has no kube-vip image for this platform")?;
    Ok(render(
        include_str!("../../../manifests/templates/kube-vip-pod.yaml"),
        &[
            ("address", &address.to_string()),
            ("prefix", &Cidr::single(address).prefix().to_string()),
            ("interface", interface),
            ("port", &inputs.spec.api.port.to_string()),
            ("image", &image),
            ("kubeconfig", ADMIN_KUBECONFIG),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadBalancer;
    use crate::fixture;

    fn cluster() -> fixture::Cluster {
        let mut cluster = fixture::Cluster::of_three_and_two();
        cluster.spec.api.load_balancer = LoadBalancer::Vip;
        cluster.spec.api.address = Some("10.0.0.100".parse().unwrap());
        cluster
    }

    #[test]
    fn control_planes_alone_hold_the_address() {
        let cluster = cluster();
        let wanted = |name: &str| is_wanted(&cluster.inputs(&cluster.seen_from(name)));
        assert!(wanted("c1") && wanted("c3") && !wanted("w1"));
        assert!(!is_wanted(&fixture::Cluster::of_three_and_two().inputs(&cluster.seen_from("c1"))));
    }

    #[test]
    fn what_is_written_is_found_again_at_a_reset() {
        let mut cluster = cluster();
        let of = |cluster: &fixture::Cluster| manifest(&cluster.inputs(&cluster.seen_from("c1")));
        let text = of(&cluster).unwrap();
        assert_eq!(address_in(&text), Some(("10.0.0.100".parse().unwrap(), "eth0".to_owned())));
        let pod: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["image"], "ghcr.io/kube-vip/kube-vip:v1.0.4");
        cluster.spec.api.interface = Some("bond0".into());
        assert_eq!(address_in(&of(&cluster).unwrap()).unwrap().1, "bond0");
        cluster.spec.api.interface = None;
        cluster.spec.api.address = Some("198.51.100.1".parse().unwrap());
        assert_eq!(
            of(&cluster).unwrap_err().to_string(),
            "no interface of this host is in the network of 198.51.100.1"
        );
        assert_eq!(address_in("apiVersion: v1\n"), None);
    }

    #[test]
    fn an_address_of_ipv6_is_held_alone_too() {
        let mut cluster = fixture::Cluster::of_ipv6();
        cluster.spec.api.load_balancer = LoadBalancer::Vip;
        cluster.spec.api.address = Some("2001:db8::100".parse().unwrap());
        cluster.spec.api.interface = Some("eth0".into());
        let pod: Value = serde_yaml::from_str(&manifest(&cluster.inputs(&cluster.seen_from("c1"))).unwrap()).unwrap();
        let variables = pod["spec"]["containers"][0]["env"].as_array().unwrap();
        let value = |name: &str| variables.iter().find(|variable| variable["name"] == name).unwrap()["value"].clone();
        assert_eq!([value("address"), value("vip_cidr"), value("vip_subnet")], ["2001:db8::100", "128", "128"]);
    }
}
