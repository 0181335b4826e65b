//! Adds names and addresses to the certificate of an existing cluster's API server: in the records of the host, in kubeadm's configuration
//! on the host and in the cluster, and in the certificate. Joins, renewals and later runs then keep them.

use std::net::IpAddr;

use anyhow::anyhow;
use kbundle_format::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pending::Pending;
use super::renew::Renewal;
use super::restart::Component;
use crate::certificates::Renewable;
use crate::certificates::look::read;
use crate::config::ClusterSpec;
use crate::failure::Advise;
use crate::host::Host;
use crate::host::unfinished::UnfinishedWork as _;
use crate::kubeadm::{CONFIG_PATH, PKI};
use crate::records::Records;
use crate::standing::Standing;
use crate::step_progress::StepProgress;
use crate::steps::{ControlPlane, Step, kubeadm_config};

/// What adding names made of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SansReport {
    /// The names and addresses that were added; none where the certificate had all of them.
    pub added: Vec<String>,
    /// All further names now, as `api.certificate-sans` of cluster.yaml has to list them.
    pub certificate_sans: Vec<String>,
    /// The programs that were restarted.
    pub restarted: Vec<Component>,
}

/// `spec` with these additional names for its API server.
#[must_use]
pub fn with_names(spec: &ClusterSpec, names: &[String]) -> ClusterSpec {
    let mut spec = spec.clone();
    for name in names {
        if !spec.api.certificate_sans.contains(name) {
            spec.api.certificate_sans.push(name.clone());
        }
    }
    spec
}

/// Refuses, before anything is changed, a host whose API server cannot get additional names.
pub fn refuse_unsuitable(host: &Host, standing: &Standing) -> anyhow::Result<()> {
    let inputs = standing.inputs();
    if !inputs.has(Role::ControlPlane) {
        return Err(anyhow!("this host, {}, is not a control plane", inputs.node_name()))
            .refused()
            .hint("run it on a control plane, or with `--config cluster.yaml`");
    }
    if !host.ledger().is_done(ControlPlane.id()) {
        return Err(anyhow!("the control plane of this host was never completed"))
            .refused()
            .hint("`kinstall run` resumes it");
    }
    match kubeadm_config::other_settings(host, &inputs)? {
        None => Ok(()),
        Some(difference) => {
            Err(anyhow!("{CONFIG_PATH} is not as kinstall wrote it: {difference}; nothing was changed"))
                .refused()
                .hint("put the former setting back, then run the same command again")
        }
    }
}

/// Adds these names to this host's API server.
pub fn add(host: &mut Host, names: &[String], progress: &dyn StepProgress) -> anyhow::Result<SansReport> {
    let standing = Standing::find(host)?;
    refuse_unsuitable(host, &standing)?;
    let before = standing.inputs().spec.clone();
    let spec = with_names(&before, names);
    spec.validate().usage()?;
    let mut pending = Pending::read(host)?;
    let missing = missing(host, &spec.api.certificate_sans);
    let certificate_sans = spec.api.certificate_sans.clone();
    if missing.is_empty() && spec == before && pending.is_empty() {
        return Ok(SansReport { certificate_sans, ..SansReport::default() });
    }
    // First of all, so that any next run completes one that is cut off.
    pending.names = true;
    pending.restart.insert(Component::KubeApiserver);
    pending.keep(host)?;
    Records { spec, ..standing.records }.keep(host)?;
    let standing = Standing::find(host)?;
    let restarted = pending.restart.iter().copied().collect();
    Renewal { host, inputs: standing.inputs(), etcd_client: None, progress }.run(pending)?;
    Ok(SansReport { added: missing, certificate_sans, restarted })
}

/// Those of `names` that the certificate of this host's API server lacks. A certificate that cannot be read has no names.
fn missing(host: &Host, names: &[String]) -> Vec<String> {
    let present = read(host, &format!("{PKI}/{}.crt", Renewable::Apiserver));
    let present = present.map(|chain| chain[0].names.clone()).unwrap_or_default();
    names.iter().filter(|name| !present.iter().any(|present| is_same(present, name))).cloned().collect()
}

/// Whether two names are the same; an address may be written in several ways.
fn is_same(one: &str, other: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    one == other || address(one).is_some_and(|found| address(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert!(is_same("2001:db8::1", "2001:DB8:0::1") && is_same("a.example", "a.example"));
        assert!(!is_same("2001:db8::1", "2001:db8::2") && !is_same("a.example", "b.example"));
    }

    #[test]
    fn names_are_added_once_and_in_order() {
        let spec = with_names(&ClusterSpec::default(), &["b.example".into(), "192.0.2.7".into(), "b.example".into()]);
        assert_eq!(spec.api.certificate_sans, ["b.example", "192.0.2.7"]);
        assert_eq!(with_names(&spec, &["192.0.2.7".into()]), spec);
        assert!(with_names(&spec, &["no name".into()]).validate().is_err());
    }
}
