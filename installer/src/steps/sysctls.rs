//! Kernel settings, now and at boot. Suitable values are left alone. Settings that cannot be changed here (a host inside of another) are
//! skipped, unless no cluster works without them.

use std::collections::BTreeSet;

use anyhow::bail;

use super::{Check, Context, Step};
use crate::config::IpFamily;
use crate::host::{Change, Host, HostError};
use crate::inputs::Inputs;
use crate::kernel_settings::{FILE, Need, SETTINGS, Setting};

/// Sets kernel settings, now and at boot.
pub struct Sysctls;

impl Step for Sysctls {
    fn id(&self) -> &'static str {
        "sysctls"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "set kernel settings".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let host = &context.host;
        if let Some(name) = advertised(context)?.first() {
            return Ok(Check::Needed(format!("{name} should be {ALSO_AS_ROUTER}")));
        }
        for (setting, state) in setting_states(context)? {
            match state {
                SettingState::Change => {
                    return Ok(Check::Needed(format!("{} should be {}", setting.name, setting.value())));
                }
                SettingState::Stuck if setting.need == Need::Essential => {
                    bail!(
                        "{} is not {} and cannot be changed on this host: {}",
                        setting.name,
                        setting.value(),
                        setting.reason
                    )
                }
                SettingState::Suits | SettingState::Stuck => {}
            }
        }
        let content = content(host);
        if !content.is_empty() && !host.has_file(FILE, content.as_bytes(), 0o644)? {
            return Ok(Check::Needed(format!("{FILE} does not set them at boot")));
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        // First of all: the kernel forgets routes from advertisements once it forwards.
        for name in advertised(context)? {
            context.host.set_sysctl(&name, ALSO_AS_ROUTER)?;
        }
        for (setting, state) in setting_states(context)? {
            if state == SettingState::Change {
                context.host.set_sysctl(setting.name, &setting.value().to_string())?;
            }
        }
        let content = content(&context.host);
        Ok(context.host.write_file(FILE, content.as_bytes(), 0o644)?)
    }
}

/// The value of `accept_ra` with which an interface accepts router advertisements although the host forwards; with 1, it does not
/// (Documentation/networking/ip-sysctl.rst).
const ALSO_AS_ROUTER: &str = "2";
const INTERFACES: &str = "net/ipv6/conf/";
const ACCEPT_ADVERTISEMENTS: &str = "/accept_ra";

/// In a cluster with IPv6, the settings by which this host's interfaces would stop accepting advertisements.
fn advertised(context: &Context<'_>) -> Result<Vec<String>, HostError> {
    if !context.spec.network.has(IpFamily::Ipv6) {
        return Ok(Vec::new());
    }
    let (facts, own) = (context.facts, context.topology.this());
    let of_addresses = facts.addresses.iter().filter(|found| own.addresses().any(|address| address == found.address));
    let of_route = facts.default_route_ipv6.iter().map(|route| &route.interface);
    let interfaces: BTreeSet<_> = of_addresses.map(|found| &found.interface).chain(of_route).collect();
    let mut found = Vec::new();
    for interface in interfaces {
        let name = format!("{INTERFACES}{interface}{ACCEPT_ADVERTISEMENTS}");
        let path = format!("/proc/sys/{name}");
        if context.host.read_text(&path)?.is_some_and(|value| value.trim() == "1") && context.host.is_writable(&path) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Whether a setting of a host has to be changed, and can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingState {
    Suits,
    /// Does not suit and can be changed.
    Change,
    /// It does not suit, or does not exist, and cannot be changed.
    Stuck,
}

fn setting_states(context: &Context<'_>) -> Result<Vec<(&'static Setting, SettingState)>, HostError> {
    let host = &context.host;
    let state_of = |setting: &'static Setting| {
        let path = setting.path();
        let state = match host.read_text(&path)? {
            Some(value) if setting.suits(&value) => SettingState::Suits,
            _ if host.is_writable(&path) => SettingState::Change,
            _ => SettingState::Stuck,
        };
        Ok((setting, state))
    };
    SETTINGS.iter().filter(|setting| setting.is_for(&context.spec.network)).map(state_of).collect()
}

/// The file for boot, with the settings that kinstall changed. Settings that were suitable before belong to others.
fn content(host: &Host) -> String {
    let changed: BTreeSet<&str> = host
        .ledger()
        .changes()
        .iter()
        .filter_map(|change| match change {
            Change::Sysctl { key, .. } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let line = |setting: &Setting| format!("# {}\n{} = {}\n", setting.reason, setting.name, setting.value());
    let of_table =
        SETTINGS.iter().filter(|setting| changed.contains(setting.name.replace('.', "/").as_str())).map(line);
    let of_interfaces = changed
        .iter()
        .filter(|key| key.starts_with(INTERFACES) && key.ends_with(ACCEPT_ADVERTISEMENTS))
        .map(|key| format!("# a host that forwards IPv6 takes routes from advertisements only with this\n{key} = {ALSO_AS_ROUTER}\n"));
    of_table.chain(of_interfaces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cidr;
    use crate::executor::execute;
    use crate::facts::InterfaceAddress;
    use crate::fixture::Cluster;
    use crate::fixture::bench::Bench;
    use crate::join_material::JoinMaterial;

    #[test]
    fn only_what_does_not_suit_is_changed_and_comes_back() {
        let bench = Bench::new();
        for setting in SETTINGS {
            let value = match setting.name {
                "net.ipv4.ip_forward" => 0,
                "fs.inotify.max_user_instances" => 8192,
                _ => setting.value(),
            };
            bench.file(setting.path().trim_start_matches('/'), &format!("{value}\n"));
        }
        let run = || bench.work(&[&Sysctls], |plan, context, notes| execute(plan, context, notes).unwrap().len()).1;
        assert_eq!(run(), 1);
        assert_eq!(bench.read("proc/sys/net/ipv4/ip_forward"), "1");
        assert_eq!(bench.read("proc/sys/fs/inotify/max_user_instances"), "8192\n");
        insta::assert_snapshot!(bench.read("etc/sysctl.d/99-kinstall.conf"), @"
        # pods are routed (kubeadm's preflight)
        net.ipv4.ip_forward = 1
        ");
        assert_eq!(run(), 0);

        bench.undo();
        assert_eq!(bench.read("proc/sys/net/ipv4/ip_forward"), "0");
        assert!(!bench.path("etc/sysctl.d").exists());
    }

    #[test]
    fn a_host_that_learns_its_routes_from_advertisements_goes_on_doing_so() {
        let mut cluster = Cluster::of_both_families();
        for address in ["192.0.2.11", "2001:db8::11"] {
            let (interface, address) = ("eth0.7".to_owned(), address.parse().unwrap());
            let network = Cidr::around(address, 24);
            cluster.facts.addresses.push(InterfaceAddress { interface, address, network });
        }
        let bench = Bench::new();
        for setting in SETTINGS {
            let value = if setting.name.ends_with("forwarding") { 0 } else { setting.value() };
            bench.file(setting.path().trim_start_matches('/'), &value.to_string());
        }
        bench.file("proc/sys/net/ipv6/conf/eth0.7/accept_ra", "1\n");
        bench.file("proc/sys/net/ipv6/conf/eth1/accept_ra", "1\n");
        let material = JoinMaterial::default();
        bench.act_as(&cluster, "w1", &material, |context| Sysctls.apply(context)).unwrap();
        assert_eq!(bench.look_as(&cluster, "w1", &material, |context| Sysctls.check(context).unwrap()), Check::Done);
        assert_eq!(bench.read("proc/sys/net/ipv6/conf/eth0.7/accept_ra"), "2");
        assert_eq!(bench.read("proc/sys/net/ipv6/conf/eth1/accept_ra"), "1\n");
        insta::assert_snapshot!(bench.read("etc/sysctl.d/99-kinstall.conf"), @"
        # pods with IPv6 are routed
        net.ipv6.conf.all.forwarding = 1
        # pods with IPv6 are routed (kubeadm's preflight)
        net.ipv6.conf.default.forwarding = 1
        # a host that forwards IPv6 takes routes from advertisements only with this
        net/ipv6/conf/eth0.7/accept_ra = 2
        ");
        bench.undo();
        assert_eq!(bench.read("proc/sys/net/ipv6/conf/eth0.7/accept_ra"), "1");
    }

    #[test]
    fn a_cluster_of_ipv4_leaves_ipv6_alone() {
        let bench = Bench::new();
        for setting in SETTINGS {
            let value = if setting.name.starts_with("net.ipv6") { 7 } else { setting.value() };
            bench.file(setting.path().trim_start_matches('/'), &value.to_string());
        }
        let run = || bench.work(&[&Sysctls], |plan, context, notes| execute(plan, context, notes).unwrap().len()).1;
        assert_eq!(run(), 0);
    }
}
