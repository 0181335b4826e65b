//! ufw: rules with a comment, by which kinstall finds them again. ufw(8).

use std::collections::BTreeSet;

use anyhow::anyhow;

use super::Openings;
use crate::failure::Advise;
use crate::host::{Command, Host};
use crate::ports::Carrier;
use crate::steps::{Check, needed};

const COMMENT: &str = " comment 'kinstall'";

pub fn check(host: &Host, openings: &Openings) -> anyhow::Result<Check> {
    match missing(host, openings)?.first() {
        None => Ok(Check::Done),
        Some(rule) => needed(format!("ufw has no rule `{rule}`")),
    }
}

pub fn apply(host: &Host, openings: &Openings) -> anyhow::Result<()> {
    for rule in missing(host, openings)? {
        let words = rule.split(' ').chain(["comment", "kinstall"]);
        host.run(&Command::new("ufw", words))?;
    }
    Ok(())
}

pub fn undo(host: &mut Host) -> anyhow::Result<()> {
    for line in added(host)? {
        let Some(rule) = line.strip_suffix(COMMENT) else { continue };
        let words: Vec<_> = match rule.strip_prefix("route ") {
            Some(rule) => ["route", "delete"].into_iter().chain(rule.split(' ')).collect(),
            None => std::iter::once("delete").chain(rule.split(' ')).collect(),
        };
        host.run(&Command::new("ufw", words))?;
    }
    Ok(())
}

/// The wanted rules that were not added yet, in the form of `ufw show added`.
fn missing(host: &Host, openings: &Openings) -> anyhow::Result<Vec<String>> {
    let added: BTreeSet<_> =
        added(host)?.into_iter().map(|line| line.split(" comment ").next().unwrap_or_default().to_owned()).collect();
    Ok(rules(openings)?.into_iter().filter(|rule| !added.contains(rule)).collect())
}

/// The rules of ufw, without the program's name.
fn added(host: &Host) -> anyhow::Result<Vec<String>> {
    let Some(shown) = host.run_if_installed(&Command::new("ufw", ["show", "added"]))? else { return Ok(Vec::new()) };
    Ok(shown.stdout.lines().filter_map(|line| line.strip_prefix("ufw ")).map(|line| line.trim().to_owned()).collect())
}

/// The wanted rules in ufw's own form (`UFWCommandRule.get_command` in parser.py): a rule for any address has a short form.
fn rules(openings: &Openings) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (port, source) in &openings.ports {
        let number = port.number;
        let protocol = match port.carrier {
            Carrier::Tcp => "tcp",
            Carrier::Udp => "udp",
            Carrier::Ip => {
                return Err(anyhow!("ufw has no rules for IP protocol {number}, which Calico's mode ipip needs")).hint(
                    "set `mode: vxlan` under `network.calico` in cluster.yaml, or open it in /etc/ufw/before.rules",
                );
            }
        };
        found.push(match source {
            Some(source) => {
                let source = source.to_string();
                let source = source.strip_suffix("/32").or_else(|| source.strip_suffix("/128")).unwrap_or(&source);
                format!("allow from {source} to any port {number} proto {protocol}")
            }
            None => format!("allow {number}/{protocol}"),
        });
    }
    if openings.is_node {
        for pods in openings.pods.iter() {
            found.extend(["from", "to"].map(|side| format!("route allow {side} {pods}")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cni;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;

    #[test]
    fn rules_of_the_site_are_used_and_stay() {
        let bench = Bench::with_programs(|_, command| {
            (command.to_string() == "ufw show added").then(|| {
                "Added user rules (see 'ufw status' for running firewall):\nufw allow 22/tcp\nufw allow 6443/tcp comment 'site'\n\
                 ufw allow from 192.0.2.2 to any port 2379 proto tcp comment 'kinstall'\nufw route allow from 10.244.0.0/16 comment 'kinstall'\n"
                    .to_owned()
            })
        });
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(Cni::Flannel);
        let topology = cluster.seen_from("c1");
        let openings = Openings::of(&cluster.inputs(&topology));
        apply(&bench.host(), &openings).unwrap();
        insta::assert_snapshot!(bench.ran().join("\n"), @"
        ufw show added
        ufw allow from 192.0.2.3 to any port 2379 proto tcp comment kinstall
        ufw allow from 192.0.2.2 to any port 2380 proto tcp comment kinstall
        ufw allow from 192.0.2.3 to any port 2380 proto tcp comment kinstall
        ufw allow from 192.0.2.2 to any port 10250 proto tcp comment kinstall
        ufw allow from 192.0.2.3 to any port 10250 proto tcp comment kinstall
        ufw allow from 10.244.0.0/16 to any port 10250 proto tcp comment kinstall
        ufw allow from 192.0.2.2 to any port 8472 proto udp comment kinstall
        ufw allow from 192.0.2.3 to any port 8472 proto udp comment kinstall
        ufw allow from 192.0.2.11 to any port 8472 proto udp comment kinstall
        ufw allow from 192.0.2.12 to any port 8472 proto udp comment kinstall
        ufw route allow to 10.244.0.0/16 comment kinstall
        ");
        undo(&mut bench.host()).unwrap();
        insta::assert_snapshot!(bench.ran().join("\n"), @"
        ufw show added
        ufw delete allow from 192.0.2.2 to any port 2379 proto tcp
        ufw route delete allow from 10.244.0.0/16
        ");
    }
}
