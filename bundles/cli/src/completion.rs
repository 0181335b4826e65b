//! Completion: the script for a shell, and the words that the program offers while a command line is typed.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::env::Shells;
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate, Shell};
use kbundle_format::{BundleSource, IndexedBundle, SignatureCheck};

use crate::definition::{Offer, Program};
use crate::output::{self, OutputFormat};

/// The environment variable by which a script asks the program for words; its value is the shell's name.
const VARIABLE: &str = "COMPLETE";

/// Print a completion script for a shell
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionArguments {
    /// The shell
    pub shell: Shell,
}

/// Prints the completion script. It asks the program of this name in the search path for each word.
///
/// # Errors
/// When standard output cannot be written.
pub fn completion<P: Program>(arguments: CompletionArguments, format: OutputFormat) -> anyhow::Result<()> {
    let name = P::GUIDE.name;
    let shell = arguments.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells.completer(&shell).with_context(|| format!("there is no completion for {shell}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, name, name, name, &mut script)?;
    Ok(output::text(format, &String::from_utf8(script).context("the script is not text")?)?)
}

/// Offers words if a script asks for them; `true` if one did, and the program has nothing else to do.
///
/// # Errors
/// For an unknown shell.
pub fn answer<P: Program>(arguments: &[OsString]) -> clap::error::Result<bool> {
    let current = env::current_dir().ok();
    CompleteEnv::with_factory(offered::<P>).var(VARIABLE).try_complete(arguments, current.as_deref())
}

/// The definition of the command line with the offers.
fn offered<P: Program>() -> Command {
    P::OFFERS.iter().fold(P::command(), |command, offer| offer_in(command, *offer))
}

fn offer_in(command: Command, (id, values): Offer) -> Command {
    let command = if command.get_arguments().any(|argument| argument.get_id() == id) {
        let candidates = move || values().into_iter().map(CompletionCandidate::new).collect::<Vec<_>>();
        command.mut_arg(id, |argument| argument.add(ArgValueCandidates::new(candidates)))
    } else {
        command
    };
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| offer_in(sub, (id, values))))
}

/// Offers whose argument no command has.
#[must_use]
pub fn idle_offers<P: Program>() -> Vec<&'static str> {
    fn has(command: &Command, id: &str) -> bool {
        command.get_arguments().any(|argument| argument.get_id() == id)
            || command.get_subcommands().any(|sub| has(sub, id))
    }
    let command = P::command();
    P::OFFERS.iter().map(|(id, _)| *id).filter(|id| !has(&command, id)).collect()
}

/// The entries of the bundle that the command line names.
#[must_use]
pub fn entries() -> Vec<String> {
    let words = env::args_os().skip_while(|word| word != "--").skip(1);
    let entries_of = |word: OsString| {
        let path = Path::new(&word);
        let source = BundleSource::open_all(&[path.to_owned()]).ok().filter(|_| path.exists())?;
        // The signatures are not verified: the names are only shown.
        let bundle = IndexedBundle::open_source(source, SignatureCheck::Skipped).ok()?;
        Some(bundle.list().entries.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>())
    };
    words.skip(1).find_map(entries_of).unwrap_or_default()
}
