//! The data of add-ons that leave the cluster.

use serde::{Deserialize, Serialize};

/// What happens to what an add-on that goes leaves behind: volumes, and what others have put beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddonData {
    /// It stays.
    #[default]
    Kept,
    /// It goes as well (`kinstall run --prune-data`).
    Deleted,
}
