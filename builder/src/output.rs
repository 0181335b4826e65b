//! What commands say on stdout and stderr, in one place.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

/// The form of a command's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs; the field `schema` tells its version
    Json,
}

/// Prints a result: `text` for people, `value` for programs.
pub fn result(format: Format, text: &str, value: &impl Serialize) -> io::Result<()> {
    let json;
    let text = match format {
        Format::Text => text,
        Format::Json => {
            json = serde_json::to_string_pretty(value)?;
            json.as_str()
        }
    };
    quiet_when_closed(writeln!(io::stdout().lock(), "{}", text.trim_end()))
}

/// Prints a line that is no result.
pub fn note(text: &str) -> io::Result<()> {
    quiet_when_closed(writeln!(io::stderr().lock(), "{text}"))
}

/// A reader such as `head` that has seen enough is no failure.
fn quiet_when_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
