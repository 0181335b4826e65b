//! Registries of the site that replace those in images' names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name that stands for every registry without an entry of its own.
pub const EVERY_OTHER: &str = "*";

/// Where the images of a registry are pulled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registry {
    /// The registry that images name, with a port where they name one, such as `docker.io`; `*` is every other.
    pub host: String,
    /// Where its images come from instead, tried in this order: `https://` URLs, or `http://` if you trust the network in
    /// between. The registry itself is asked only if it is listed here.
    pub mirrors: Vec<String>,
    /// CA certificates that sign for the mirrors, PEM. Default: those that the host trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}
