//! Flags of a program, as each version of kubeadm's configuration has them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ConfigApi;
use crate::config::Flags;

/// Flags of a program: a map until v1beta3, a list from v1beta4.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Arguments {
    Map(BTreeMap<String, String>),
    List(Vec<Argument>),
}

#[derive(Serialize)]
pub(super) struct Argument {
    name: String,
    value: String,
}

impl Arguments {
    /// A flag with several values needs a list. For v1beta3, a plan with such a flag is refused earlier.
    pub(super) fn new(api: ConfigApi, flags: Flags) -> Self {
        match api {
            ConfigApi::V1Beta3 => {
                Self::Map(flags.into_iter().map(|(name, value)| (name, value.all().join(","))).collect())
            }
            ConfigApi::V1Beta4 => {
                let arguments = flags.iter().flat_map(|(name, value)| {
                    value.all().iter().map(|value| Argument { name: name.clone(), value: value.clone() })
                });
                Self::List(arguments.collect())
            }
        }
    }
}
