//! What a program consists of: its command line, and further texts for help and manual pages.

use clap::{Command, Parser};

use crate::arguments::CommonArguments;
use crate::examples::with_examples;
use crate::schema::Documents;

/// Texts about a program in help and manual pages, besides its commands.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// The name of the program.
    pub name: &'static str,
    /// The environment variable for the log's filter.
    pub log_variable: &'static str,
    /// Commands, grouped under the headings in the help.
    pub groups: &'static [(&'static str, &'static [&'static str])],
    /// Environment variables, and the purpose of each.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files, and the purpose of each.
    pub files: &'static [(&'static str, &'static str)],
    /// Manual pages of other programs.
    pub see_also: &'static [&'static str],
}

/// The offers of completion for an argument: its id, and its values.
pub type Offer = (&'static str, fn() -> Vec<String>);

/// A program with its commands.
pub trait Program: Parser {
    /// Texts for help and manual pages.
    const GUIDE: Guide;
    /// Offers of completion for values that their type does not define.
    const OFFERS: &'static [Offer];
    /// The flags that all commands share.
    fn common(&self) -> &CommonArguments;
    /// The documents of each command for `--output json`.
    fn documents() -> Vec<Documents>;
}

/// The program's definition as manual pages and completion scripts show it, with every flag in its place.
#[must_use]
pub fn definition<P: Program>() -> Command {
    let mut command = with_examples(P::command(), P::GUIDE.groups);
    command.build();
    command
}

/// The words that lead to each command that does something itself, including hidden ones, such as `config init`.
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
