//! The data of add-ons that leave the cluster.

use serde::{Deserialize, Serialize};

/// What happens to what an add-on leaves behind when it goes: volumes, and objects that others have put beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddonData {
    /// It stays.
    #[default]
    Kept,
    /// It goes as well (`kinstall run --prune-data`).
    Deleted,
}
