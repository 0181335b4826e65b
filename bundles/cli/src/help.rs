//! Help: commands under headings, and examples that work.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Command;

use crate::definition::{Guide, Program, definition};
use crate::examples::{examples, with_examples};

/// Exit codes, for the long help of a program.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  failed; part of the work may be done
  2  the command line or a file that it names is wrong
  3  refused; nothing was changed
  130, 143  ended by Ctrl-C (SIGINT) or by SIGTERM";

/// Shows the commands of `command` under the guide's headings.
///
/// clap has only one list of commands. So the lists are part of the help's template, and clap's own list stays empty.
#[must_use]
pub fn with_groups(command: Command, guide: &Guide) -> Command {
    let mut command = with_examples(command, guide.groups);
    command.build();
    let width = command.get_subcommands().map(|sub| sub.get_name().len()).max().unwrap_or(0);
    let header = *command.get_styles().get_header();
    let mut groups = String::new();
    for (heading, names) in guide.groups {
        // Writing to a string cannot fail.
        let _ = writeln!(groups, "{header}{heading}:{header:#}");
        for sub in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(groups, "  {:width$}  {about}", sub.get_name());
        }
        groups.push('\n');
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{{all-args}}{{after-help}}"
    );
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |sub| sub.hide(true)))
        // clap's own usage leaves out hidden commands.
        .override_usage(format!("{} [OPTIONS] <COMMAND>", guide.name))
        .help_template(template)
}

/// Faults in a program's help, for its tests: commands without a heading, without an example, or with an example that cannot be parsed.
#[must_use]
pub fn findings<P: Program>() -> Vec<String> {
    let definition = definition::<P>();
    let grouped: BTreeSet<&str> = P::GUIDE.groups.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let visible = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let mut findings: Vec<String> = definition
        .get_subcommands()
        .filter(visible)
        .filter(|sub| !grouped.contains(sub.get_name()))
        .map(|sub| format!("{} is under no heading", sub.get_name()))
        .collect();
    let mut rest = vec![&definition];
    while let Some(command) = rest.pop() {
        if command.has_subcommands() {
            rest.extend(command.get_subcommands().filter(visible));
        }
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let examples = examples(command);
        if examples.is_empty() {
            findings.push(format!("{name} has no example"));
        }
        findings.extend(examples.iter().filter_map(|example| unparsed::<P>(example)));
    }
    findings
}

/// Why an example cannot be parsed. Checks each part of a pipe that begins with the program's name.
fn unparsed<P: Program>(example: &str) -> Option<String> {
    let Some(words) = shlex::split(example) else { return Some(format!("`{example}` has a quote that is not closed")) };
    let parts = words.split(|word| matches!(word.as_str(), "|" | ">" | "&&"));
    let commands: Vec<_> =
        parts.filter_map(|part| part.iter().position(|word| word == P::GUIDE.name).map(|at| &part[at..])).collect();
    if commands.is_empty() {
        return Some(format!("`{example}` does not run {}", P::GUIDE.name));
    }
    let error = commands.into_iter().find_map(|words| P::command().try_get_matches_from(words).err())?;
    Some(format!("`{example}` does not parse: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_under_their_headings() {
        let guide = Guide {
            name: "p",
            log_variable: "P_LOG",
            groups: &[("Make", &["build"]), ("Read", &["verify"])],
            environment: &[],
            files: &[],
            see_also: &[],
        };
        let command = Command::new("p")
            .about("Does it")
            .subcommand(Command::new("build").about("Build one"))
            .subcommand(Command::new("verify").about("Check one"));
        let help = with_groups(command, &guide).render_help().to_string();
        insta::assert_snapshot!(help, @"
        Does it

        Usage: p [OPTIONS] <COMMAND>

        Make:
          build   Build one

        Read:
          verify  Check one

        Options:
          -h, --help  Print help
        ");
    }
}
