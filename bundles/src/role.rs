//! The roles of a host in a cluster.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which hosts need an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the API server and its companions.
    ControlPlane,
    /// Runs an etcd member.
    Etcd,
    /// Runs pods of users.
    Worker,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::ControlPlane, Self::Etcd, Self::Worker];

    /// The name in files and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Etcd => "etcd",
            Self::Worker => "worker",
        }
    }
}

/// The text names no role.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a role; expected control-plane, etcd or worker")]
pub struct RoleError {
    text: String,
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| RoleError { text: text.to_owned() })
    }
}
