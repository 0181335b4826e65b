//! Moves the pods of a node to other nodes, and allows pods on it again.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::DnsName;
use crate::host::Host;
use crate::kubectl::Kubectl;

/// Marks a node that kinstall cordoned. A node that somebody else cordoned does not have it, and stays cordoned.
const CLOSED: &str = "kinstall/closed-for-upgrade";

/// What follows the drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The node is removed. Pods without a controller are lost with it.
    Removal,
    /// The node changes, and then takes pods again. A pod without a controller would be lost, so it is an error.
    Upgrade,
}

/// Moves a node's pods away by evictions, and allows no new ones. A node that is gone already is not an error.
///
/// # Errors
/// When pods are still there after `within`, for example because of a PodDisruptionBudget.
pub fn drain(host: &Host, name: &DnsName, purpose: Purpose, within: Duration) -> anyhow::Result<()> {
    let (api, name) = (Kubectl::on(host), name.as_str());
    let Some(node) = api.get(&["node", name])? else { return Ok(()) };
    if purpose == Purpose::Upgrade && node["spec"]["unschedulable"] != true {
        api.run(&["annotate", "--overwrite", "node", name, &format!("{CLOSED}=true")])?;
    }
    // What pods have written to emptyDir is lost with the pod in any case.
    let limit = format!("--timeout={}s", within.as_secs());
    let mut arguments = vec!["drain", name, "--ignore-daemonsets", "--delete-emptydir-data", &limit];
    if purpose == Purpose::Removal {
        arguments.push("--force");
    }
    api.run(&arguments).with_context(|| format!("the pods of {name} could not be moved to other nodes"))?;
    Ok(())
}

/// Lets pods start again on a node that [`drain`] cordoned for an upgrade. Any other node is left as it is.
pub fn reopen(host: &Host, name: &DnsName) -> anyhow::Result<()> {
    let (api, name) = (Kubectl::on(host), name.as_str());
    let node = api.get(&["node", name])?.unwrap_or(Value::Null);
    if node["metadata"]["annotations"][CLOSED].is_null() {
        return Ok(());
    }
    api.run(&["uncordon", name])?;
    // Last: without the annotation, a node that is still cordoned would stay so.
    api.run(&["annotate", "node", name, &format!("{CLOSED}-")]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;
    use crate::host::Command;

    /// A fake API whose node is in the root's file `node`.
    fn node(root: &std::path::Path, command: &Command) -> Option<String> {
        let is_get = command.arguments.iter().any(|argument| argument == "get");
        is_get.then(|| fs_err::read_to_string(root.join("node")).unwrap_or_default())
    }

    /// What the API is asked to do about the node, besides reading it.
    fn told(node_is: &str, act: impl Fn(&Host, &DnsName)) -> Vec<String> {
        let bench = Bench::with_programs(node);
        bench.file("node", node_is);
        act(&bench.host(), &"w1".parse().unwrap());
        let words = |line: &String| line.split_once("--request-timeout=20s ").unwrap().1.to_owned();
        bench.ran().iter().map(words).filter(|words| !words.starts_with("get")).collect()
    }

    #[test]
    fn a_node_takes_pods_again_unless_somebody_else_closed_it() {
        let upgrade =
            |host: &Host, name: &DnsName| drain(host, name, Purpose::Upgrade, Duration::from_mins(5)).unwrap();
        let drained = "drain w1 --ignore-daemonsets --delete-emptydir-data --timeout=300s";
        let noted = "annotate --overwrite node w1 kinstall/closed-for-upgrade=true";
        assert_eq!(told(r#"{"spec": {}}"#, upgrade), [noted, drained]);
        assert_eq!(told(r#"{"spec": {"unschedulable": true}}"#, upgrade), [drained]);
        let again = |host: &Host, name: &DnsName| reopen(host, name).unwrap();
        let closed = r#"{"metadata": {"annotations": {"kinstall/closed-for-upgrade": "true"}}, "spec": {"unschedulable": true}}"#;
        assert_eq!(told(closed, again), ["uncordon w1", "annotate node w1 kinstall/closed-for-upgrade-"]);
        assert_eq!(told(r#"{"spec": {"unschedulable": true}}"#, again), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_goes_takes_pods_without_a_controller_along() {
        let removal =
            |host: &Host, name: &DnsName| drain(host, name, Purpose::Removal, Duration::from_mins(3)).unwrap();
        let drained = "drain w1 --ignore-daemonsets --delete-emptydir-data --timeout=180s --force";
        assert_eq!(told(r#"{"spec": {}}"#, removal), [drained]);
        assert_eq!(told("", removal), Vec::<String>::new(), "it is gone already");
    }
}
