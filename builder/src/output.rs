//! What commands say on stdout and stderr, in one place.

use std::io::{self, Write as _};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
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
    quiet_when_closed(writeln!(io::stdout().lock(), "{}", formatted(format, text, value)?))
}

/// Prints a result on stderr, where stdout carries the output itself.
pub fn result_beside(format: Format, text: &str, value: &impl Serialize) -> io::Result<()> {
    note(&formatted(format, text, value)?)
}

fn formatted(format: Format, text: &str, value: &impl Serialize) -> io::Result<String> {
    Ok(match format {
        Format::Text => text.trim_end().to_owned(),
        Format::Json => serde_json::to_string_pretty(value)?,
    })
}

/// Prints content as it is.
pub fn bytes(content: &mut dyn io::Read) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    quiet_when_closed(io::copy(content, &mut stdout).and_then(|_| stdout.flush()))
}

/// Prints a line that is no result.
pub fn note(text: &str) -> io::Result<()> {
    quiet_when_closed(writeln!(io::stderr().lock(), "{text}"))
}

/// A bar over `bytes` with speed and time left. Drawn on a terminal only.
pub fn bar(what: &'static str, bytes: u64) -> ProgressBar {
    let template = "{msg} {bytes:>10} of {total_bytes}  {bytes_per_sec:>12}  {eta:>4} left  {wide_bar}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed").progress_chars("=> ");
    ProgressBar::new(bytes).with_style(style).with_message(what)
}

/// A reader such as `head` that has seen enough is no failure.
fn quiet_when_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
