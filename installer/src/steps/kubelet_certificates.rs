//! Serving certificates of kubelets that the cluster signs, if cluster.yaml has `serverTLSBootstrap: true` for them. The first control
//! plane approves the kubelets' requests; see [`crate::kubelet_requests`]. The daily timer approves later requests.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Check, Context, Step, needed};
use crate::inputs::Inputs;
use crate::kubeadm::kubelets_are_signed;
use crate::kubectl::Kubectl;
use crate::kubelet_requests::{approve, known_hosts, look};
use crate::wait::{Look, until};

/// The kubelet's own certificate, once it is signed.
const SIGNED: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";
/// A kubelet sends its request within seconds. If it cannot reach the API when it starts, it tries again within minutes.
const LIMIT: Duration = Duration::from_mins(5);

/// Approves the requests of kubelets.
pub struct KubeletCertificates;

impl Step for KubeletCertificates {
    fn id(&self) -> &'static str {
        "kubelet-certificates"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "approve the certificates that kubelets ask for".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads() && kubelets_are_signed(inputs.spec)
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if !context.host.exists(SIGNED) {
            return needed("the kubelet has no certificate of the cluster yet");
        }
        let known = known_hosts(&context.host, context)?;
        match look(&Kubectl::on(&context.host), &known)?.approved.first() {
            Some(asked) => needed(format!("{} asks for a certificate", asked.user)),
            None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let (api, known) = (Kubectl::on(&context.host), known_hosts(&context.host, context)?);
        let absent = &context.material.absent;
        let nodes = context.topology.members().iter().filter(|member| member.is_node());
        let mut waiting: BTreeSet<_> =
            nodes.map(|member| member.name.as_str()).filter(|name| !absent.contains(*name)).collect();
        until(context.progress, "certificates of kubelets", LIMIT, || {
            let left = approve(&api, &known)?.left;
            let mut said = String::new();
            waiting.retain(|name| match is_verified(&api, name) {
                Ok(Ok(())) => false,
                Ok(Err(why)) => {
                    said = format!("the API server does not verify the kubelet of {name}: {why}");
                    true
                }
                Err(error) => {
                    said = format!("{error:#}");
                    true
                }
            });
            if waiting.is_empty() {
                return Ok(Look::Ready(()));
            }
            context.progress.detail(&format!("waiting for the certificate of {} kubelets", waiting.len()));
            let refused = left
                .iter()
                .map(|left| format!("; {} of {} is left: {}", left.asked.request, left.asked.user, left.reason));
            Ok(Look::NotYet(format!("{said}{}", refused.collect::<String>())))
        })
    }
}

/// Whether the API server accepts the serving certificate of a node's kubelet; if not, its message.
fn is_verified(api: &Kubectl<'_>, node: &str) -> anyhow::Result<Result<(), String>> {
    let path = format!("--raw=/api/v1/nodes/{node}/proxy/healthz");
    Ok(api.ask(&["get", &path])?.map(drop))
}
