//! What `kinstall --version` says.

use std::sync::LazyLock;

/// The version and the commit. Only `./ci/dist` knows the commit, and hands it over in the environment.
static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("KBUNDLE_COMMIT") {
    Some(commit) => format!("{} (commit {commit})", env!("CARGO_PKG_VERSION")),
    None => format!("{} (development build)", env!("CARGO_PKG_VERSION")),
});

/// The text in the form that clap takes.
#[must_use]
pub fn version() -> &'static str {
    &VERSION
}
