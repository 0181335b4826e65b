//! What `kbundle --version` says.

use std::sync::LazyLock;

/// The version, the commit, and the day of the built-in catalog. Only `./ci/dist` knows the last two, and passes them in the environment.
static VERSION: LazyLock<String> =
    LazyLock::new(|| match (option_env!("KBUNDLE_COMMIT"), option_env!("KBUNDLE_CATALOG_DATE")) {
        (Some(commit), Some(day)) => format!("{} (commit {commit}, catalog of {day})", env!("CARGO_PKG_VERSION")),
        _ => format!("{} (development build)", env!("CARGO_PKG_VERSION")),
    });

/// The text in the form that clap takes.
pub fn version() -> &'static str {
    &VERSION
}
