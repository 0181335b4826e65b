//! What commands print: results on standard output, notes and warnings on standard error.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde::Serialize;

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

/// Prints a result: `text` for people, `value` for programs. A reader such as `head` that has closed the pipe is no error.
pub fn result(format: OutputFormat, text: &str, value: &impl Serialize) -> io::Result<()> {
    quiet_when_closed(match format {
        OutputFormat::Text => print_text(&format!("{}\n", text.trim_end())),
        OutputFormat::Json => print_text(&format!("{}\n", serde_json::to_string_pretty(value)?)),
    })
}

/// Prints a result on standard error, where standard output carries what the command makes.
pub fn result_beside(format: OutputFormat, text: &str, value: &impl Serialize) -> io::Result<()> {
    match format {
        OutputFormat::Text => warning(text.trim_end()),
        OutputFormat::Json => warning(&serde_json::to_string_pretty(value)?),
    }
}

/// Prints content as it is. A closed pipe is no error.
pub fn bytes(content: &mut dyn io::Read) -> io::Result<()> {
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

/// Prints a line that is no result to standard error; nothing with `--quiet`.
pub fn note(text: &str) -> io::Result<()> {
    if is_quiet() { Ok(()) } else { warning(text) }
}

/// Prints a line to standard error that people have to see, with `--quiet` too.
pub fn warning(text: &str) -> io::Result<()> {
    quiet_when_closed(writeln!(io::stderr().lock(), "{text}"))
}

/// A reader such as `head` that has seen enough is no failure.
fn quiet_when_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
