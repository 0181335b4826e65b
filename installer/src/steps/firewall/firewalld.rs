//! firewalld: two policies of kinstall's own, in files of its own. firewalld.policy(5), for firewalld 0.9 and later.
//!
//! firewalld applies a policy before the zones. So the zone of an interface does not matter, and no zone is changed.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow};

use super::Openings;
use crate::config::Cidr;
use crate::failure::Advise;
use crate::host::{Command, Host};
use crate::ports::{Carrier, Port};
use crate::steps::{Check, needed};

const INPUT: &str = "kinstall-input";
const FORWARD: &str = "kinstall-forward";
const UNIT: &str = "firewalld.service";

pub fn check(host: &Host, openings: &Openings) -> anyhow::Result<Check> {
    for (name, content) in files(openings) {
        if !host.has_file(&path(name), content.as_bytes(), 0o644)? {
            return needed(format!("firewalld has no policy {name} that says so"));
        }
        if !policies(host)?.iter().any(|found| found == name) {
            return needed(format!("firewalld has not read its policy {name} yet"));
        }
    }
    Ok(Check::Done)
}

pub fn apply(host: &mut Host, openings: &Openings) -> anyhow::Result<()> {
    policies(host)?;
    for (name, content) in files(openings) {
        host.write_file(&path(name), content.as_bytes(), 0o644)?;
    }
    reload(host)
}

pub fn undo(host: &mut Host) -> anyhow::Result<()> {
    let mut was_there = false;
    for name in [INPUT, FORWARD] {
        was_there |= host.remove_file(&path(name))?;
        // firewalld keeps the former content when somebody changes a file through it.
        host.remove_file(&format!("{}.old", path(name)))?;
    }
    if was_there && host.unit_state(UNIT)?.is_some_and(|state| state.is_active()) { reload(host) } else { Ok(()) }
}

fn path(policy: &str) -> String {
    format!("/etc/firewalld/policies/{policy}.xml")
}

fn policies(host: &Host) -> anyhow::Result<Vec<String>> {
    let said = host.try_run(&Command::new("firewall-cmd", ["--get-policies"]))?;
    if said.code != Some(0) {
        return Err(anyhow!(
            "firewalld did not list its policies, which need version 0.9 or later: {}",
            said.stderr.trim()
        ))
        .hint("open the ports by hand, as `kinstall preflight` says, and run without `--prepare`");
    }
    Ok(said.stdout.split_whitespace().map(str::to_owned).collect())
}

fn reload(host: &Host) -> anyhow::Result<()> {
    host.run(&Command::new("firewall-cmd", ["--reload"])).context("while firewalld read its policies again")?;
    Ok(())
}

/// The policies, each with the content of its file.
fn files(openings: &Openings) -> Vec<(&'static str, String)> {
    let mut input = String::new();
    for (port, source) in &openings.ports {
        input += &rule(source.as_ref(), None, Some(port));
    }
    let mut found = vec![(INPUT, policy("Kubernetes: to this host", "HOST", &input))];
    if openings.is_node {
        let mut forward: String = openings.pods.iter().map(|pods| rule(Some(&pods), None, None)).collect();
        for (peer, pods) in openings.peers_to_pods() {
            forward += &rule(Some(&peer), Some(&pods), None);
        }
        found.push((FORWARD, policy("Kubernetes: from and to pods", "ANY", &forward)));
    }
    found
}

fn policy(title: &str, egress: &str, rules: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<policy target=\"CONTINUE\" priority=\"-100\">\n  <short>{title}</short>\n  \
         <description>By kinstall; `kinstall reset` removes it.</description>\n  <ingress-zone name=\"ANY\"/>\n  \
         <egress-zone name=\"{egress}\"/>\n{rules}</policy>\n"
    )
}

fn rule(source: Option<&Cidr>, destination: Option<&Cidr>, port: Option<&Port>) -> String {
    let family = match source {
        Some(source) if source.address().is_ipv4() => " family=\"ipv4\"",
        Some(_) => " family=\"ipv6\"",
        None => "",
    };
    let mut text = format!("  <rule{family}>");
    for (element, network) in [("source", source), ("destination", destination)] {
        if let Some(network) = network {
            write!(text, "<{element} address=\"{network}\"/>").expect("a string takes all");
        }
    }
    if let Some(Port { number, carrier, .. }) = port {
        let port = match carrier {
            Carrier::Tcp => format!("<port port=\"{number}\" protocol=\"tcp\"/>"),
            Carrier::Udp => format!("<port port=\"{number}\" protocol=\"udp\"/>"),
            Carrier::Ip => format!("<protocol value=\"{number}\"/>"),
        };
        text.push_str(&port);
    }
    text + "<accept/></rule>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cni;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;

    fn openings(name: &str, cni: Cni) -> Openings {
        let mut cluster = Cluster::of_three_and_two();
        cluster.spec.network.cni = Some(cni);
        let topology = cluster.seen_from(name);
        Openings::of(&cluster.inputs(&topology))
    }

    #[test]
    fn policies_open_what_the_roles_need_and_no_more() {
        insta::assert_snapshot!(files(&openings("w1", Cni::Calico)).into_iter().map(|(_, text)| text).collect::<String>(), @r#"
        <?xml version="1.0" encoding="utf-8"?>
        <policy target="CONTINUE" priority="-100">
          <short>Kubernetes: to this host</short>
          <description>By kinstall; `kinstall reset` removes it.</description>
          <ingress-zone name="ANY"/>
          <egress-zone name="HOST"/>
          <rule family="ipv4"><source address="192.0.2.1/32"/><port port="10250" protocol="tcp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.2/32"/><port port="10250" protocol="tcp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.3/32"/><port port="10250" protocol="tcp"/><accept/></rule>
          <rule family="ipv4"><source address="10.244.0.0/16"/><port port="10250" protocol="tcp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.1/32"/><port port="4789" protocol="udp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.2/32"/><port port="4789" protocol="udp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.3/32"/><port port="4789" protocol="udp"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.12/32"/><port port="4789" protocol="udp"/><accept/></rule>
        </policy>
        <?xml version="1.0" encoding="utf-8"?>
        <policy target="CONTINUE" priority="-100">
          <short>Kubernetes: from and to pods</short>
          <description>By kinstall; `kinstall reset` removes it.</description>
          <ingress-zone name="ANY"/>
          <egress-zone name="ANY"/>
          <rule family="ipv4"><source address="10.244.0.0/16"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.1/32"/><destination address="10.244.0.0/16"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.2/32"/><destination address="10.244.0.0/16"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.3/32"/><destination address="10.244.0.0/16"/><accept/></rule>
          <rule family="ipv4"><source address="192.0.2.12/32"/><destination address="10.244.0.0/16"/><accept/></rule>
        </policy>
        "#);
    }

    #[test]
    fn policies_come_and_go_with_their_files() {
        let bench = Bench::with_programs(|_, command| match command.to_string().as_str() {
            "firewall-cmd --get-policies" => Some("allow-host-ipv6 kinstall-forward kinstall-input\n".to_owned()),
            shown if shown.starts_with("systemctl show") => {
                Some("Id=firewalld.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n".to_owned())
            }
            _ => None,
        });
        let openings = openings("c1", Cni::Bridge);
        let mut host = bench.host();
        assert!(matches!(check(&host, &openings).unwrap(), Check::Needed(_)));
        apply(&mut host, &openings).unwrap();
        assert_eq!(check(&host, &openings).unwrap(), Check::Done);
        assert!(bench.ran().contains(&"firewall-cmd --reload".to_owned()));
        undo(&mut host).unwrap();
        assert!(bench.ran().contains(&"firewall-cmd --reload".to_owned()));
        bench.undo();
        assert!(!bench.path("etc/firewalld").exists());
        undo(&mut bench.host()).unwrap();
        assert!(bench.ran().is_empty(), "a host without them is left alone");
    }
}
