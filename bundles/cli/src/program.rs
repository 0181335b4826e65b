//! The way of a program from its command line to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Parser, ValueEnum};

use crate::arguments::{Color, CommonArguments};
use crate::failure::{self, Advise as _};
use crate::output::OutputFormat;
use crate::schema::Documents;
use crate::{help, logging};

/// What help and manual pages say about a program beside its commands.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// The program.
    pub name: &'static str,
    /// The variable with the log's filter.
    pub log_variable: &'static str,
    /// Commands under the headings that the help shows.
    pub groups: &'static [(&'static str, &'static [&'static str])],
    /// Environment variables, and what each is for.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files, and what each is for.
    pub files: &'static [(&'static str, &'static str)],
    /// Manual pages of other programs.
    pub see_also: &'static [&'static str],
}

/// A program with its commands.
pub trait Program: Parser {
    /// What help and manual pages say about it.
    const GUIDE: Guide;
    /// The flags that every command takes.
    fn common(&self) -> &CommonArguments;
    /// What each command prints with `--output json`.
    fn documents() -> Vec<Documents>;
    /// Does what the command line says.
    fn execute(self) -> anyhow::Result<ExitCode>;
}

/// The guide of the program that runs.
static RUNNING: OnceLock<Guide> = OnceLock::new();

/// How a user types `command` of the program that runs, as in `kbundle repair`, for hints. `None` where that program has no such command: it
/// may be the only one of the two on this machine.
#[must_use]
pub fn typed(command: &str) -> Option<String> {
    let Guide { name, groups, .. } = RUNNING.get()?;
    groups.iter().any(|(_, commands)| commands.contains(&command)).then(|| format!("{name} {command}"))
}

/// Runs the program on the command line that it was started with.
#[must_use]
pub fn main<P: Program>() -> ExitCode {
    // It runs once in a process.
    RUNNING.get_or_init(|| P::GUIDE);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let format = early(&arguments, "--output").unwrap_or_default();
    let color: Color = early(&arguments, "--color").unwrap_or_default();
    let command = help::with_groups(P::command(), &P::GUIDE).color(color.choice());
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| P::from_arg_matches(&matches));
    let result = match parsed {
        Ok(program) => start(program),
        Err(error) if format == OutputFormat::Json && error.use_stderr() => Err(of_clap(&error)),
        Err(error) => {
            // Where the stream is closed, the exit code is all that is left to say.
            drop(error.print());
            return if error.use_stderr() { failure::Kind::Usage.exit_code().into() } else { ExitCode::SUCCESS };
        }
    };
    result.unwrap_or_else(|error| failure::report(&error, format))
}

fn start<P: Program>(program: P) -> anyhow::Result<ExitCode> {
    program.common().apply();
    logging::start(program.common(), P::GUIDE.log_variable)?;
    program.execute()
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

/// An error of clap about the command line, as an error with kind and hint.
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

/// The program's definition as manual pages and completion scripts show it, with every flag in its place.
#[must_use]
pub fn definition<P: Program>() -> Command {
    let mut command = P::command();
    command.build();
    command
}

/// The words that lead to each command that does something by itself, hidden ones too, such as `config init`.
#[must_use]
pub fn commands<P: Program>() -> Vec<String> {
    let mut found = Vec::new();
    add_commands(&definition::<P>(), "", &mut found);
    found
}

fn add_commands(command: &Command, words: &str, found: &mut Vec<String>) {
    let below: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    if below.is_empty() {
        found.push(words.trim_start().to_owned());
    }
    for sub in below {
        add_commands(sub, &format!("{words} {}", sub.get_name()), found);
    }
}

#[cfg(test)]
mod tests {
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
    fn commands_are_found_at_every_depth() {
        let config = Command::new("config").subcommands([Command::new("init"), Command::new("print").hide(true)]);
        let mut program = Command::new("p").subcommands([Command::new("run"), config]);
        program.build();
        let mut found = Vec::new();
        add_commands(&program, "", &mut found);
        assert_eq!(found, ["run", "config init", "config print"]);
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
