//! Text for a POSIX shell: for commands in messages that people should run, and for commands that kinstall runs by SSH.

use std::borrow::Cow;
use std::path::Path;

/// `text` as one word of a command line: unchanged if it is plain, else in quotes.
///
/// ```
/// assert_eq!(kbundle_format::shell::quoted("/etc/hosts"), "/etc/hosts");
/// assert_eq!(kbundle_format::shell::quoted("$HOME"), "'$HOME'");
/// ```
#[must_use]
pub fn quoted(text: &str) -> Cow<'_, str> {
    // Only a NUL cannot be quoted. No path contains one, and no process can be started with one.
    shlex::try_quote(text).unwrap_or(Cow::Borrowed(text))
}

/// `path` as one word: unchanged if it is plain, else in quotes.
///
/// ```
/// # use std::path::Path;
/// assert_eq!(kbundle_format::shell::word(Path::new("signing.key")), "signing.key");
/// assert_eq!(kbundle_format::shell::word(Path::new("my keys/it's")), r#""my keys/it's""#);
/// ```
#[must_use]
pub fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy()).into_owned()
}

/// `path` with `ending` after it, as one word.
#[must_use]
pub fn word_with(path: &Path, ending: &str) -> String {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    word(Path::new(&name))
}
