//! CoreDNS on a host without name servers: it ends at once if it has to forward to none.
//!
//! The step comes before the network lets CoreDNS's pods start, so that they never fail.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Check, Context, Step, needed};
use crate::inputs::Inputs;
use crate::kubeadm::images::ClusterImages;
use crate::kubectl::Kubectl;

const CONFIG_MAP: [&str; 2] = ["--namespace=kube-system", "configmap/coredns"];

/// Configures CoreDNS.
pub struct Dns;

impl Step for Dns {
    fn id(&self) -> &'static str {
        "dns"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        let servers = &inputs.facts.resolver.nameservers;
        let images = ClusterImages::find(inputs.list, &inputs.facts.platform);
        if images.is_ok_and(|images| images.coredns.is_none()) {
            return "go without DNS in the cluster, since the bundle has no CoreDNS".to_owned();
        }
        if servers.is_empty() {
            return "let CoreDNS answer only for the cluster, since this host has no name server".to_owned();
        }
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        format!("let CoreDNS forward other names to {}", servers.join(", "))
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.leads()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if !context.facts.resolver.nameservers.is_empty() {
            return Ok(Check::Done);
        }
        let Some(object) = Kubectl::on(&context.host).get(&CONFIG_MAP)? else { return Ok(Check::Done) };
        match without_forward(corefile(&object)?) {
            Some(_) => needed("CoreDNS forwards to name servers that this host does not have"),
            None => Ok(Check::Done),
        }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let api = Kubectl::on(&context.host);
        let mut object = api.get(&CONFIG_MAP)?.context("the cluster has no ConfigMap coredns")?;
        if let Some(text) = without_forward(corefile(&object)?) {
            object["data"]["Corefile"] = json!(text);
            api.replace(&object)?;
        }
        Ok(())
    }
}

fn corefile(object: &Value) -> anyhow::Result<&str> {
    object["data"]["Corefile"].as_str().context("the ConfigMap coredns has no Corefile")
}

/// The Corefile without its `forward` to the host's name servers; `None` if it has none.
fn without_forward(corefile: &str) -> Option<String> {
    let mut kept = String::new();
    let mut found = false;
    let mut inside = false;
    for line in corefile.split_inclusive('\n') {
        let words: Vec<_> = line.split_whitespace().collect();
        if inside {
            inside = words != ["}"];
        } else if words.starts_with(&["forward", ".", "/etc/resolv.conf"]) {
            found = true;
            inside = words.last() == Some(&"{");
        } else {
            kept.push_str(line);
        }
    }
    found.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_forward_goes() {
        let corefile = ".:53 {\n    errors\n    kubernetes cluster.local {\n       ttl 30\n    }\n    \
                        forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n}\n";
        let without = ".:53 {\n    errors\n    kubernetes cluster.local {\n       ttl 30\n    }\n    cache 30\n}\n";
        assert_eq!(without_forward(corefile).as_deref(), Some(without));
        assert_eq!(without_forward(without), None);
        assert_eq!(
            without_forward(".:53 {\n    forward . /etc/resolv.conf\n    loop\n}\n").unwrap(),
            ".:53 {\n    loop\n}\n"
        );
        // An administrator's own servers stay.
        assert_eq!(without_forward(".:53 {\n    forward . 10.0.0.53\n}\n"), None);
    }
}
