//! Removes objects of a restored cluster that refer to what is gone: nodes, their pods and leases, and tokens to join with. Only in the
//! plan of a restoration.

use anyhow::Context as _;
use serde_json::Value;

use super::{Check, Context, Step, needed};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubectl::Kubectl;
use crate::restoration_records::RESTORED_OBJECTS;

const TOKENS: [&str; 3] = ["secrets", "--namespace=kube-system", "--field-selector=type=bootstrap.kubernetes.io/token"];

/// Deletes these objects, so that the controllers replace the pods at once and nobody joins with an old token. No other host has joined
/// yet, so every other node is gone, even one with the name of a host that joins later.
pub struct RestoredObjects;

impl Step for RestoredObjects {
    fn id(&self) -> &'static str {
        RESTORED_OBJECTS
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "remove nodes that are gone, their leases, and old tokens".to_owned()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        if context.host.ledger().is_done(self.id()) {
            return Ok(Check::Done);
        }
        let gone = Gone::find(&context.host, context)?;
        if let Some(node) = gone.nodes.first() {
            return needed(format!("the node {node} is from before the restoration"));
        }
        if let Some(lease) = gone.leases.first() {
            return needed(format!("there is a lease of the node {lease} from before the restoration"));
        }
        if gone.tokens { needed("there are tokens to join with from before the backup") } else { Ok(Check::Done) }
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let gone = Gone::find(&context.host, context)?;
        let api = Kubectl::on(&context.host);
        for node in &gone.nodes {
            context.progress.detail(&format!("removing the node {node}"));
            // No kubelet is there to end them. The garbage collection of pods would wait a minute, and their controllers with it.
            let its_own = format!("--field-selector=spec.nodeName={node}");
            let now = ["--force", "--grace-period=0", "--wait=false"].as_slice();
            api.run(&[&["delete", "pods", "--all-namespaces", its_own.as_str()], now].concat())?;
            api.run(&["delete", "node", node, "--ignore-not-found"])?;
        }
        for lease in &gone.leases {
            api.run(&["delete", "lease", lease, "--namespace=kube-node-lease", "--ignore-not-found"])?;
        }
        if gone.tokens {
            api.run(&[&["delete"], TOKENS.as_slice()].concat())?;
        }
        Ok(())
    }
}

/// Objects in a restored cluster that refer to what is gone.
struct Gone {
    nodes: Vec<String>,
    leases: Vec<String>,
    tokens: bool,
}

impl Gone {
    fn find(host: &Host, inputs: &Inputs<'_>) -> anyhow::Result<Self> {
        let api = Kubectl::on(host);
        let this = inputs.node_name();
        let foreign = |names: Vec<String>| -> Vec<String> { names.into_iter().filter(|name| *name != this).collect() };
        let nodes = names(&api.nodes()?);
        let leases = items(&api, &["leases", "--namespace=kube-node-lease"])?;
        let tokens = items(&api, &TOKENS)?;
        Ok(Self { nodes: foreign(nodes), leases: foreign(names(&leases)), tokens: !tokens.is_empty() })
    }
}

fn items(api: &Kubectl<'_>, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let list = api.get(arguments)?.unwrap_or_default();
    if list.is_null() {
        return Ok(Vec::new());
    }
    list["items"].as_array().cloned().with_context(|| format!("the API server gave no list of {}", arguments[0]))
}

fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::host::{Change, Command};
    use crate::join_material::JoinMaterial;

    /// An API server with nodes, leases and tokens; those in the root's file `gone` are deleted.
    fn api(root: &Path, command: &Command) -> Option<String> {
        let said = command.arguments.join(" ");
        if said.contains(" delete ") {
            fs_err::write(root.join("gone"), "").unwrap();
            return None;
        }
        let is_gone = root.join("gone").exists();
        let list = |names: &[&str]| {
            let items: Vec<_> = names.iter().map(|name| serde_json::json!({"metadata": {"name": name}})).collect();
            Some(serde_json::json!({ "items": items }).to_string())
        };
        if said.contains("get secrets") {
            return list(if is_gone { &[] } else { &["bootstrap-token-abcdef"] });
        }
        let all = ["c1", "c2"];
        list(if is_gone { &all[..1] } else { &all })
    }

    #[test]
    fn what_is_gone_is_deleted_once_and_what_is_there_stays() {
        let bench = Bench::with_programs(api);
        let cluster = Cluster::of_three_and_two();
        let check = || {
            bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| RestoredObjects.check(context).unwrap())
        };
        assert_eq!(check(), Check::Needed("the node c2 is from before the restoration".into()));
        bench.ran();
        bench.act_as(&cluster, "c1", &JoinMaterial::default(), |context| RestoredObjects.apply(context)).unwrap();
        let deleted: Vec<_> = bench
            .ran()
            .iter()
            .filter_map(|line| line.split_once("=20s delete "))
            .map(|(_, what)| what.to_owned())
            .collect();
        assert_eq!(
            deleted,
            [
                "pods --all-namespaces --field-selector=spec.nodeName=c2 --force --grace-period=0 --wait=false",
                "node c2 --ignore-not-found",
                "lease c2 --namespace=kube-node-lease --ignore-not-found",
                "secrets --namespace=kube-system --field-selector=type=bootstrap.kubernetes.io/token",
            ]
        );
        assert_eq!(check(), Check::Done);
    }

    #[test]
    fn tokens_that_were_made_after_it_stay() {
        let bench = Bench::with_programs(api);
        let done = Change::StepDone { step: RestoredObjects.id().to_owned() };
        bench.host().ledger_mut().record(done).unwrap();
        let cluster = Cluster::of_three_and_two();
        let check = bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| RestoredObjects.check(context));
        assert_eq!(check.unwrap(), Check::Done);
        assert_eq!(bench.ran(), Vec::<String>::new());
    }
}
