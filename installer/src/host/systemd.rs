//! Units of systemd: their states, and starting them in such a way that `reset` can stop them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, Command, Host, HostError};

/// A unit that takes longer to start is in a loop of failing starts.
const START_WITHIN: Duration = Duration::from_secs(30);

/// What systemd says about a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitState {
    /// `ActiveState`, such as `active` or `inactive`.
    pub active: String,
    /// `UnitFileState`, such as `enabled`; empty where the unit has no file.
    pub file: String,
    /// Whether its file changed since systemd read it.
    #[serde(default)]
    pub needs_reload: bool,
}

impl UnitState {
    /// Whether it runs or is about to run.
    #[must_use]
    pub fn is_active(&self) -> bool {
        ["active", "activating", "reloading"].contains(&self.active.as_str())
    }

    /// Whether it starts at boot.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.file == "enabled"
    }
}

/// The files that a unit is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFiles {
    /// The unit's own file; empty if it has none.
    pub fragment: String,
    /// Files that override parts of it, wherever systemd found them.
    pub drop_ins: Vec<String>,
}

impl Host {
    /// The files of those of `units` that exist; none on a host without systemd.
    pub fn unit_files(&self, units: &[&str]) -> Result<BTreeMap<String, UnitFiles>, HostError> {
        let show = ["show", "--property=Id,LoadState,FragmentPath,DropInPaths", "--"];
        let command = Command::new("systemctl", show.into_iter().chain(units.iter().copied()));
        let output = self.run_if_installed(&command)?.unwrap_or_default();
        Ok(parse_files(&output.stdout))
    }

    /// The states of those of `units` that exist; none on a host without systemd.
    pub fn unit_states(&self, units: &[&str]) -> Result<BTreeMap<String, UnitState>, HostError> {
        let show = ["show", "--property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload", "--"];
        let command = Command::new("systemctl", show.into_iter().chain(units.iter().copied()));
        let output = self.run_if_installed(&command)?.unwrap_or_default();
        Ok(parse_states(&output.stdout))
    }

    /// The state of one unit; `None` if it does not exist.
    pub fn unit_state(&self, unit: &str) -> Result<Option<UnitState>, HostError> {
        Ok(self.unit_states(&[unit])?.remove(unit))
    }

    /// Whether the unit runs, starts at boot, and matches its present file. Waits for a unit that is just starting, such as after a boot of
    /// the host.
    pub fn unit_is_up(&self, unit: &str) -> Result<bool, HostError> {
        let started = Instant::now();
        loop {
            let Some(state) = self.unit_state(unit)? else { return Ok(false) };
            if state.active != "activating" || started.elapsed() > START_WITHIN {
                return Ok(state.active == "active" && state.is_enabled() && !state.needs_reload);
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Makes systemd read its files again, and enables the unit without starting it.
    pub fn register_unit(&mut self, unit: &str) -> Result<(), HostError> {
        self.record_unit(unit)?;
        self.run(&Command::new("systemctl", ["daemon-reload"]))?;
        self.run(&Command::new("systemctl", ["enable", unit]))?;
        Ok(())
    }

    /// Makes systemd read its files again, enables the unit and starts it. `reset` restores its former state.
    pub fn enable_unit(&mut self, unit: &str) -> Result<(), HostError> {
        self.record_unit(unit)?;
        self.run(&Command::new("systemctl", ["daemon-reload"]))?;
        self.run(&Command::new("systemctl", ["enable", "--now", unit]))?;
        Ok(())
    }

    /// Like [`Host::enable_unit`], for a unit whose files changed: a running unit is restarted.
    pub fn restart_unit(&mut self, unit: &str) -> Result<(), HostError> {
        self.register_unit(unit)?;
        self.run(&Command::new("systemctl", ["restart", unit]))?;
        Ok(())
    }

    /// Stops a unit if it exists; it still starts at boot.
    pub fn stop_unit(&self, unit: &str) -> Result<(), HostError> {
        if self.unit_state(unit)?.is_some_and(|state| state.active != "inactive") {
            self.run(&Command::new("systemctl", ["stop", unit]))?;
        }
        Ok(())
    }

    /// Keeps a unit from starting at boot.
    pub fn disable_unit(&self, unit: &str) -> Result<(), HostError> {
        self.run(&Command::new("systemctl", ["disable", unit])).map(drop)
    }

    /// Records the unit's state before kinstall's first change to it.
    fn record_unit(&mut self, unit: &str) -> Result<(), HostError> {
        let known = |change: &Change| matches!(change, Change::Unit { name, .. } if name == unit);
        if self.ledger().changes().iter().any(known) {
            return Ok(());
        }
        let state = self.unit_state(unit)?;
        let was_enabled = state.as_ref().is_some_and(UnitState::is_enabled);
        let was_active = state.as_ref().is_some_and(UnitState::is_active);
        Ok(self.ledger_mut().record(Change::Unit { name: unit.to_owned(), was_enabled, was_active })?)
    }
}

fn property<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Reads the files that `systemctl show` prints; units that do not exist are left out.
fn parse_files(text: &str) -> BTreeMap<String, UnitFiles> {
    let unit = |block: &str| {
        let drop_ins = property(block, "DropInPaths").unwrap_or_default();
        let files = UnitFiles {
            fragment: property(block, "FragmentPath").unwrap_or_default().to_owned(),
            drop_ins: drop_ins.split_whitespace().map(str::to_owned).collect(),
        };
        (property(block, "LoadState")? != "not-found").then_some((property(block, "Id")?.to_owned(), files))
    };
    text.split("\n\n").filter_map(unit).collect()
}

/// Reads what `systemctl show` prints: blocks of `Key=value` lines; units that do not exist are left out.
fn parse_states(text: &str) -> BTreeMap<String, UnitState> {
    let unit = |block: &str| {
        let state = UnitState {
            active: property(block, "ActiveState")?.to_owned(),
            file: property(block, "UnitFileState").unwrap_or_default().to_owned(),
            needs_reload: property(block, "NeedDaemonReload") == Some("yes"),
        };
        (property(block, "LoadState")? != "not-found").then_some((property(block, "Id")?.to_owned(), state))
    };
    text.split("\n\n").filter_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_do_not_exist_are_left_out() {
        let text = "Id=kubelet.service\nLoadState=loaded\nActiveState=activating\nUnitFileState=enabled\nNeedDaemonReload=no\n\n\
                    Id=docker.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\n";
        let found = parse_states(text);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["kubelet.service"]);
        let kubelet = &found["kubelet.service"];
        assert!(kubelet.is_active() && kubelet.is_enabled() && !kubelet.needs_reload);
    }
}
