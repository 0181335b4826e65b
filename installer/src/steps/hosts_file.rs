//! The host's own name and the API's name in `/etc/hosts`, so that no name server is needed for them.

use super::{Check, Context, Inputs, Step};
use crate::facts::network::address_in_hosts;
use crate::host::{Host, HostError, marked};

const FILE: &str = "/etc/hosts";

/// See the module.
pub struct HostsFile;

impl Step for HostsFile {
    fn id(&self) -> &'static str {
        "hosts-file"
    }

    fn title(&self, inputs: &Inputs<'_>) -> String {
        format!("name this host and {} in {FILE}", inputs.spec.api_name())
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let text = read(&context.host)?;
        if text == wanted(&text, context) {
            return Ok(Check::Done);
        }
        Ok(Check::Needed(format!("{FILE} does not name {} as it should", context.spec.api_name())))
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let text = read(&context.host)?;
        let wanted = wanted(&text, context);
        Ok(context.host.edit_file(FILE, &wanted)?)
    }
}

fn read(host: &Host) -> Result<String, HostError> {
    Ok(host.read_text(FILE)?.unwrap_or_default())
}

fn wanted(text: &str, inputs: &Inputs<'_>) -> String {
    let address = inputs.address();
    let mut lines = vec![format!("{address} {}", inputs.spec.api_name())];
    let node = inputs.node_name();
    if address_in_hosts(&marked::without_block(text), &node).is_none() {
        lines.push(format!("{address} {node}"));
    }
    marked::with_block(text, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::execute;
    use crate::fixture::bench::Bench;

    #[test]
    fn names_are_added_where_they_are_missing_and_taken_away_again() {
        for (hosts, own_name) in [("127.0.0.1 localhost\n", true), ("127.0.1.1 Node-1\n", false)] {
            let bench = Bench::new();
            bench.file("etc/hosts", hosts);
            let run = || bench.work(&[&HostsFile], |plan, context, notes| execute(plan, context, notes).unwrap()).1;
            assert_eq!(run(), 1);
            let text = bench.read("etc/hosts");
            assert!(text.contains("\n10.0.0.5 api.kubernetes.internal\n") && text.ends_with(hosts), "{text}");
            assert_eq!(text.contains("10.0.0.5 node-1"), own_name, "{text}");
            assert_eq!(run(), 0);
            bench.undo();
            assert_eq!(bench.read("etc/hosts"), hosts);
        }
    }

    #[test]
    fn a_host_without_the_file_has_none_again_afterwards() {
        let bench = Bench::new();
        bench.work(&[&HostsFile], |plan, context, notes| execute(plan, context, notes).unwrap());
        assert!(bench.read("etc/hosts").contains("10.0.0.5 node-1"));
        bench.undo();
        assert!(!bench.path("etc").exists());
    }
}
