//! Text as a shell takes it, for commands that a message tells people to run.

use std::path::Path;

/// `path` as one word: as it is where that is plain, else in quotes.
///
/// ```
/// # use std::path::Path;
/// assert_eq!(kbundle_format::shell::word(Path::new("signing.key")), "signing.key");
/// assert_eq!(kbundle_format::shell::word(Path::new("my keys/it's")), r#""my keys/it's""#);
/// ```
#[must_use]
pub fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Only a NUL cannot be quoted, which no path has.
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), Into::into)
}

/// `path` with `ending` behind it, as one word.
#[must_use]
pub fn word_with(path: &Path, ending: &str) -> String {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    word(Path::new(&name))
}
