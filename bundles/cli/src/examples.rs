//! Examples in help: where they are, and which ones commands get that only have subcommands.

use clap::Command;

/// The heading of examples in a command's long help.
const EXAMPLES: &str = "Examples:";

/// The examples in a command's long help, one on each line; a line that ends with a backslash continues on the next.
#[must_use]
pub fn examples(command: &Command) -> Vec<String> {
    let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().skip_while(|line| *line != EXAMPLES).skip(1).take_while(|line| line.starts_with("  "));
    let mut found: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines.map(str::trim) {
        let end = line.strip_suffix('\\');
        let words = end.unwrap_or(line).trim_end();
        match found.last_mut() {
            Some(last) if goes_on => {
                last.push(' ');
                last.push_str(words);
            }
            _ => found.push(words.to_owned()),
        }
        goes_on = end.is_some();
    }
    found
}

/// Gives the program and its commands that only have subcommands an example of each. `groups` are the program's headings with their
/// commands: the program gets one example for each heading.
#[must_use]
pub fn with_examples(command: Command, groups: &[(&str, &[&str])]) -> Command {
    let first: Vec<_> = groups.iter().filter_map(|(_, names)| names.first()).map(|name| (*name).to_owned()).collect();
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| command.mut_subcommand(name, with_examples_of_all));
    example_of_each(command, &first)
}

fn with_examples_of_all(command: Command) -> Command {
    if !command.is_subcommand_required_set() {
        return command;
    }
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().to_owned());
    let names: Vec<_> = visible.collect();
    example_of_each(command, &names)
}

/// Inserts the first example of each of these subcommands before the end of the long help.
fn example_of_each(command: Command, names: &[String]) -> Command {
    let subcommands = names.iter().filter_map(|name| command.find_subcommand(name));
    let found: Vec<_> = subcommands.filter_map(|sub| examples(sub).into_iter().next()).collect();
    if found.is_empty() {
        return command;
    }
    let rest = command.get_after_long_help().map(|rest| format!("\n\n{rest}")).unwrap_or_default();
    command.after_long_help(format!("{EXAMPLES}\n  {}{rest}", found.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_lines_that_may_go_on() {
        let command = Command::new("p").after_long_help("Note.\n\nExamples:\n  p a\n  p b | \\\n      p c\n\nMore.");
        assert_eq!(examples(&command), ["p a", "p b | p c"]);
        assert!(examples(&Command::new("p")).is_empty());
    }

    #[test]
    fn commands_that_lead_to_others_show_an_example_of_each() {
        let leaf =
            |name: &'static str| Command::new(name).after_long_help(format!("Examples:\n  p {name} 1\n  p {name} 2"));
        let config =
            Command::new("config").subcommand_required(true).subcommands([leaf("init"), leaf("check").hide(true)]);
        let program =
            Command::new("p").after_long_help("Exit codes").subcommands([leaf("run"), leaf("status"), config]);
        let program = with_examples(program, &[("Install", &["run", "status"]), ("Write", &["config"])]);
        assert_eq!(
            program.get_after_long_help().unwrap().to_string(),
            "Examples:\n  p run 1\n  p init 1\n\nExit codes"
        );
        let of = |name: &str| examples(program.find_subcommand(name).unwrap());
        assert_eq!(of("config"), ["p init 1"]);
        assert_eq!(of("status"), ["p status 1", "p status 2"]);
    }
}
