//! What a program is: its command line, and what help and manual pages say beside it.

use clap::{Command, Parser};

use crate::arguments::CommonArguments;
use crate::examples::with_examples;
use crate::schema::Documents;

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

/// What completion offers for an argument: its id, and its values.
pub type Offer = (&'static str, fn() -> Vec<String>);

/// A program with its commands.
pub trait Program: Parser {
    /// What help and manual pages say about it.
    const GUIDE: Guide;
    /// What completion offers for values that are not fixed by their type.
    const OFFERS: &'static [Offer];
    /// The flags that every command takes.
    fn common(&self) -> &CommonArguments;
    /// What each command prints with `--output json`.
    fn documents() -> Vec<Documents>;
}

/// The program's definition as manual pages and completion scripts show it, with every flag in its place.
#[must_use]
pub fn definition<P: Program>() -> Command {
    let mut command = with_examples(P::command(), P::GUIDE.groups);
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
    if below.is_empty() || !words.is_empty() && !command.is_subcommand_required_set() {
        found.push(words.trim_start().to_owned());
    }
    for sub in below {
        add_commands(sub, &format!("{words} {}", sub.get_name()), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_at_every_depth() {
        let config = Command::new("config").subcommands([Command::new("init"), Command::new("print").hide(true)]);
        let backup = Command::new("backup").subcommands([Command::new("schedule")]);
        let mut program =
            Command::new("p").subcommands([Command::new("run"), config.subcommand_required(true), backup]);
        program.build();
        let mut found = Vec::new();
        add_commands(&program, "", &mut found);
        assert_eq!(found, ["run", "config init", "config print", "backup", "backup schedule"]);
    }
}
