//! Runs a program, from its command line to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::anyhow;
use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::Color;
use crate::definition::{Guide, Program};
use crate::failure::{self, Advise as _};
use crate::output::OutputFormat;
use crate::{completion, help, logging};

/// The guide of the running program.
static RUNNING: OnceLock<Guide> = OnceLock::new();

/// How a user types `command` of the running program, as in `kbundle repair`, for hints. `None` if this program has no such command: the
/// other program may not be on this machine.
#[must_use]
pub fn typed(command: &str) -> Option<String> {
    let Guide { name, groups, .. } = RUNNING.get()?;
    groups.iter().any(|(_, commands)| commands.contains(&command)).then(|| format!("{name} {command}"))
}

/// Runs the program on the command line that it was started with: `execute` does the command's work.
#[must_use]
pub fn main<P: Program>(execute: impl FnOnce(P) -> anyhow::Result<ExitCode>) -> ExitCode {
    // A process runs this only once.
    RUNNING.get_or_init(|| P::GUIDE);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match completion::answer::<P>(&arguments) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return failure::report(&of_clap(&error), OutputFormat::Text),
    }
    let format = early(&arguments, "--output").unwrap_or_default();
    let color: Color = early(&arguments, "--color").unwrap_or_default();
    let command = help::with_groups(P::command(), &P::GUIDE).color(color.choice());
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| P::from_arg_matches(&matches));
    let result = match parsed {
        Ok(program) => start(&program).and_then(|()| execute(program)),
        Err(error) if format == OutputFormat::Json && error.use_stderr() => Err(of_clap(&error)),
        Err(error) => {
            // If the stream is closed, the exit code is the only report.
            drop(error.print());
            return if error.use_stderr() { failure::Kind::Usage.exit_code().into() } else { ExitCode::SUCCESS };
        }
    };
    result.unwrap_or_else(|error| failure::report(&error, format))
}

fn start<P: Program>(program: &P) -> anyhow::Result<()> {
    program.common().apply();
    logging::start(program.common(), P::GUIDE.log_variable)
}

/// The value of a flag before the command line is parsed as a whole, for help and errors about the command line itself.
fn early<V: ValueEnum>(arguments: &[OsString], flag: &str) -> Option<V> {
    let words = arguments.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--");
    let mut found = None;
    let mut before = "";
    for word in words {
        let value = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='));
        let value = value.or_else(|| (before == flag).then_some(word));
        found = value.and_then(|value| V::from_str(value, false).ok()).or(found);
        before = word;
    }
    found
}

/// Turns clap's error about the command line into an error with kind and hint.
fn of_clap(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim_end();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was given",
        _ => said,
    };
    let wrong: anyhow::Result<()> = Err(anyhow!(message.to_owned())).usage();
    wrong.hint(tip(error)).expect_err("made from an error")
}

/// What clap suggests instead, or where to look.
fn tip(error: &clap::Error) -> String {
    let similar = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    match similar.into_iter().find_map(|kind| error.get(kind)) {
        Some(ContextValue::String(word)) => format!("did you mean `{word}`?"),
        Some(ContextValue::Strings(words)) if !words.is_empty() => format!("did you mean `{}`?", words.join("` or `")),
        _ => "see `--help`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_flag_is_found_before_the_command_line_is_parsed() {
        let format = |line: &str| early::<OutputFormat>(&words(line), "--output");
        assert_eq!(format("p verify --output json --wrong"), Some(OutputFormat::Json));
        assert_eq!(format("p verify --output=json"), Some(OutputFormat::Json));
        assert_eq!(format("p verify --output yaml"), None);
        assert_eq!(format("p verify -- --output json"), None);
        assert_eq!(format("p verify --output"), None);
    }

    #[test]
    fn an_error_about_the_command_line_keeps_what_clap_suggests() {
        let command = Command::new("p").subcommand(Command::new("verify").arg(clap::arg!(--threshold <N>)));
        let error = command.try_get_matches_from(["p", "verify", "--treshold", "2"]).unwrap_err();
        insta::assert_snapshot!(failure::message(&of_clap(&error)), @"
        error: unexpected argument '--treshold' found
        hint: did you mean `--threshold`?
        ");
    }
}
