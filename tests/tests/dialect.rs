//! Both programs speak one dialect: an option that both have is spelled, takes and says the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command, CommandFactory};
use kbundle::Arguments;
use kinstall::cli::Cli;

/// Options whose text says what the command at hand does with them. Only how they are written is the same.
const OWN_TEXT: [&str; 4] = ["out", "dry-run", "k8s", "since"];

/// How an option is written, what it takes, and what its help says.
type Form = (Option<char>, Vec<String>, String);

/// The forms of every option, and of every positional argument under its name in capitals.
fn forms<P: CommandFactory>() -> BTreeMap<String, BTreeSet<Form>> {
    let mut program = P::command();
    program.build();
    let mut forms = BTreeMap::new();
    add(&program, &mut forms);
    forms
}

fn add(command: &Command, forms: &mut BTreeMap<String, BTreeSet<Form>>) {
    for argument in command.get_arguments() {
        let name = argument.get_long().map_or_else(|| values(argument).concat(), str::to_owned);
        forms.entry(name).or_default().insert(form(argument));
    }
    command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| add(sub, forms));
}

fn values(argument: &Arg) -> Vec<String> {
    let takes = argument.get_action().takes_values();
    argument.get_value_names().into_iter().flatten().filter(|_| takes).map(ToString::to_string).collect()
}

fn form(argument: &Arg) -> Form {
    let name = argument.get_long().unwrap_or_default();
    let help = argument.get_help().map(ToString::to_string).filter(|_| !OWN_TEXT.contains(&name));
    // Where a file is written, some commands write a folder. What was before is a bundle to one command, and a record to another.
    let values = if ["out", "since"].contains(&name) { Vec::new() } else { values(argument) };
    (argument.get_short(), values, help.unwrap_or_default())
}

#[test]
fn an_option_of_both_programs_is_the_same_option() {
    let (kbundle, kinstall) = (forms::<Arguments>(), forms::<Cli>());
    let shared: Vec<_> = kinstall.keys().filter(|name| kbundle.contains_key(*name)).collect();
    for expected in ["quiet", "verbose", "color", "log-format", "output", "key", "volumes", "signature", "threshold"] {
        assert!(shared.iter().any(|name| *name == expected), "{expected} is not in both: {shared:?}");
    }
    // Options have a long name; arguments are in capitals, and each command says what its own is.
    for name in shared.into_iter().filter(|name| name.chars().any(char::is_lowercase)) {
        for form in &kinstall[name] {
            assert!(kbundle[name].contains(form), "--{name} of kinstall is {form:?}, of kbundle {:?}", kbundle[name]);
        }
    }
}

#[test]
fn what_takes_a_number_or_may_be_repeated_says_so_in_one_way() {
    for (name, forms) in forms::<Arguments>().into_iter().chain(forms::<Cli>()) {
        for (_, values, help) in forms {
            assert!(!values.iter().any(|value| ["COUNT", "NUMBER"].contains(&value.as_str())), "--{name}: {values:?}");
            assert!(!help.contains("may be repeated"), "--{name}: {help}");
        }
    }
}

#[test]
fn general_options_are_those_of_every_command() {
    let general = |command: &Command| -> BTreeSet<String> {
        let global = command.get_arguments().filter(|argument| argument.is_global_set());
        global.filter_map(Arg::get_long).map(str::to_owned).collect()
    };
    let (kbundle, kinstall) = (general(&Arguments::command()), general(&Cli::command()));
    assert_eq!(kbundle, kinstall);
    assert_eq!(kbundle.len(), 5, "{kbundle:?}");
}
