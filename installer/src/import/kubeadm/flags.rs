//! `extraArgs`: a map until v1beta3, a list from v1beta4.

use serde_json::Value;

use super::{Import, Section};
use crate::config::{ExtraVolume, FlagValue, Flags, owned};
use crate::kube_types::{Program, unknown_flag};

/// Removes `extraArgs` from a section and returns it.
pub(super) fn take(section: &mut Section, field: &str) -> Flags {
    let mut flags = Flags::new();
    match section.take(field) {
        Some(Value::Object(map)) => {
            flags.extend(map.into_iter().filter_map(|(name, value)| Some((name, FlagValue::try_from(value).ok()?))));
        }
        Some(Value::Array(list)) => {
            for entry in list {
                let text = |key: &str| entry.get(key).and_then(|value| FlagValue::try_from(value.clone()).ok());
                let (Some(name), Some(value)) = (entry["name"].as_str(), text("value")) else { continue };
                let before = flags.remove(name).into_iter().flat_map(|value| value.all().to_vec());
                flags.insert(name.to_owned(), before.chain(value.all().to_vec()).collect());
            }
        }
        _ => {}
    }
    flags
}

/// Removes a flag and returns its only value.
pub(super) fn take_one(flags: &mut Flags, name: &str) -> Option<String> {
    flags.remove(name).map(|value| value.all().join(","))
}

/// Removes a flag and returns the parts of its list, which commas separate.
pub(super) fn take_list(flags: &mut Flags, name: &str) -> Vec<String> {
    let text = take_one(flags, name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Removes `feature-gates` and returns them.
pub(super) fn take_gates(flags: &mut Flags) -> std::collections::BTreeMap<String, bool> {
    let parts = take_list(flags, "feature-gates");
    let gate = |part: &String| {
        let (name, is_on) = part.split_once('=')?;
        Some((name.to_owned(), is_on.parse().ok()?))
    };
    parts.iter().filter_map(gate).collect()
}

/// `extraVolumes`.
pub(super) fn take_volumes(section: &mut Section) -> Vec<ExtraVolume> {
    let Some(Value::Array(list)) = section.take("extraVolumes") else { return Vec::new() };
    let volume = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let host_path = text("hostPath")?;
        Some(ExtraVolume {
            name: text("name")?,
            mount_path: text("mountPath").filter(|path| *path != host_path),
            host_path,
            // kubeadm's own default is writable.
            read_only: entry["readOnly"].as_bool().unwrap_or(false),
            path_type: text("pathType"),
        })
    };
    list.iter().filter_map(volume).collect()
}

impl Import<'_> {
    /// The remaining flags that cluster.yaml can give, without those that are equal in `usual`.
    pub(super) fn extra_args(&mut self, place: &str, program: Program, flags: Flags, usual: &Flags) -> Flags {
        let mut kept = Flags::new();
        for (name, value) in flags {
            if usual.get(&name) == Some(&value) {
                continue;
            }
            let place = format!("{place}.{name}");
            if let Some(reason) = owned::flag(program, &name) {
                self.remark(place, format!("left out: {reason}"));
            } else if let Some(message) = unknown_flag(program, &name, None) {
                self.remark(place, format!("left out: {message}"));
            } else {
                kept.insert(name, value);
            }
        }
        kept
    }
}
