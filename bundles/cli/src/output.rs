//! Output of commands: results on standard output, notes and warnings on standard error.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

/// Version of the form of every JSON document and event. It grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The form of a command's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one document, or one event a line; the field `schema` is the version of its form
    Json,
}

/// Whether notes and progress are left out, for the whole program.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves out notes and progress from here on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes and progress are left out.
#[must_use]
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether standard output carries content, for the whole program.
static CONTENT: AtomicBool = AtomicBool::new(false);

/// Reserves standard output for content, such as a bundle or a file from one: from now on, results and failures go to standard error, so
/// that no reader gets both in one stream.
pub fn begin_content() {
    CONTENT.store(true, Ordering::Relaxed);
}

/// Prints a result: `text` for people, `value` for programs. A reader such as `head` that has closed the pipe is not an error.
pub fn result(format: OutputFormat, text: &str, value: &impl Serialize) -> io::Result<()> {
    match format {
        OutputFormat::Text => line(text.trim_end()),
        OutputFormat::Json => line(&serde_json::to_string_pretty(value)?),
    }
}

/// Says that something was done: `text` for people as a note, `value` for programs as a result.
pub fn done(format: OutputFormat, text: &str, value: &impl Serialize) -> io::Result<()> {
    match format {
        OutputFormat::Text => note(text.trim_end()),
        OutputFormat::Json => result(format, text, value),
    }
}

/// Prints the document of a failure.
pub fn failure(document: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(document)?)
}

fn line(text: &str) -> io::Result<()> {
    if CONTENT.load(Ordering::Relaxed) { warning(text) } else { quiet_when_closed(print_text(&format!("{text}\n"))) }
}

/// What a command prints that prints text, such as a script or a page.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TextDocument<'a> {
    schema: u32,
    /// As people get it.
    text: &'a str,
}

/// Prints text that is the result itself: as it is, or as a [`TextDocument`]. A closed pipe is not an error.
pub fn text(format: OutputFormat, text: &str) -> io::Result<()> {
    match format {
        OutputFormat::Text => quiet_when_closed(print_text(text)),
        OutputFormat::Json => result(format, text, &TextDocument { schema: SCHEMA, text }),
    }
}

/// Prints content as it is. A closed pipe is not an error.
pub fn content(content: &mut dyn io::Read) -> io::Result<()> {
    begin_content();
    let mut stdout = io::stdout().lock();
    quiet_when_closed(io::copy(content, &mut stdout).and_then(|_| stdout.flush()))
}

/// Writes text to standard output. A closed pipe is an error.
pub fn print_text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a value as one line of JSON to standard output. A closed pipe is an error.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    print_text(&line)
}

/// Prints a line that is not a result to standard error; nothing with `--quiet`.
pub fn note(text: &str) -> io::Result<()> {
    if is_quiet() { Ok(()) } else { warning(text) }
}

/// Prints a line to standard error that people have to see, with `--quiet` too.
pub fn warning(text: &str) -> io::Result<()> {
    quiet_when_closed(writeln!(io::stderr().lock(), "{text}"))
}

/// A reader that has closed the pipe, such as `head`, is not a failure.
fn quiet_when_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
