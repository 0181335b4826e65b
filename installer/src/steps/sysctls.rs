//! Kernel settings, now and at boot. Values that suit are left alone; those that cannot be changed here (a host inside of
//! another) are passed over unless no cluster works without them.

use anyhow::bail;

use super::{Check, Context, Step};
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
        for (setting, state) in setting_states(host)? {
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
        let host = &mut context.host;
        for (setting, state) in setting_states(host)? {
            if state == SettingState::Change {
                host.set_sysctl(setting.name, &setting.value().to_string())?;
            }
        }
        let content = content(host);
        Ok(host.write_file(FILE, content.as_bytes(), 0o644)?)
    }
}

/// Whether a setting of a host has to be changed, and can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingState {
    Suits,
    /// Does not suit and can be changed.
    Change,
    /// Does not suit, or is not there, and cannot be changed.
    Stuck,
}

fn setting_states(host: &Host) -> Result<Vec<(&'static Setting, SettingState)>, HostError> {
    let state_of = |setting: &'static Setting| {
        let path = setting.path();
        let state = match host.read_text(&path)? {
            Some(value) if setting.suits(&value) => SettingState::Suits,
            _ if host.is_writable(&path) => SettingState::Change,
            _ => SettingState::Stuck,
        };
        Ok((setting, state))
    };
    SETTINGS.iter().map(state_of).collect()
}

/// The file for boot: the settings that kinstall changed. Those that suited before belong to others.
fn content(host: &Host) -> String {
    let ours = |setting: &&Setting| {
        let setting_key = setting.name.replace('.', "/");
        host.ledger().changes().iter().any(|change| matches!(change, Change::Sysctl { key, .. } if *key == setting_key))
    };
    let line = |setting: &Setting| format!("# {}\n{} = {}\n", setting.reason, setting.name, setting.value());
    SETTINGS.iter().filter(ours).map(line).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::execute;
    use crate::fixture::bench::Bench;

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
}
