//! Manual pages, from the definition of the command line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;
use fs_err as fs;
use kbundle_format::atomic_file::AtomicFile;
use roff::{Roff, bold, roman};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::definition::{Guide, Program, commands, definition};
use crate::examples::examples as examples_of;
use crate::failure;
use crate::output::{self, OutputFormat, SCHEMA};
use crate::schema::SchemaDocument;

/// Exit codes, for every manual page.
const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Done, or nothing to do."),
    ("1", "Failed. Part of the work may be done."),
    ("2", "The command line or a file that it names is wrong."),
    ("3", "Refused. Nothing was changed."),
    ("130", "Interrupted by Ctrl-C (SIGINT)."),
    ("143", "Ended by SIGTERM."),
];

/// Write the manual pages
///
/// One page for the program and one for each command.
#[derive(Clone, Debug, Args)]
pub struct ManArguments {
    /// Folder to write them to, which is created if it does not exist
    pub directory: PathBuf,
}

/// Whose schema is printed.
#[derive(Clone, Debug, Args)]
pub struct SchemaArguments {
    /// The command, such as `verify`; without it the schema is that of the program's file
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// What `man` prints with `--output json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ManDocument<'a> {
    schema: u32,
    directory: &'a Path,
    /// Names of the files.
    pages: Vec<String>,
}

/// Writes the manual pages.
pub fn man<P: Program>(arguments: &ManArguments, output: OutputFormat) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)?;
    let mut names = Vec::new();
    for (name, page) in pages::<P>()? {
        write(&directory.join(&name), &page)?;
        names.push(name);
    }
    let text = format!("{}: {} manual pages", directory.display(), names.len());
    Ok(output::done(output, &text, &ManDocument { schema: SCHEMA, directory, pages: names })?)
}

/// Prints the JSON Schema of a command's `--output json`, or without a command the schema of the program's `file`.
///
/// # Errors
/// When no command has this name: usage.
pub fn schema<P: Program>(arguments: &SchemaArguments, file: impl FnOnce() -> Value) -> anyhow::Result<()> {
    if arguments.command.is_empty() {
        return print_schema(file());
    }
    let command = arguments.command.join(" ");
    let Some(documents) = P::documents().into_iter().find(|documents| documents.command() == command) else {
        let name = P::GUIDE.name;
        return Err(failure::usage(
            format!("{name} has no command `{command}`"),
            format!("the commands are {}", commands::<P>().join(", ")),
        ));
    };
    print_schema(documents.schema(P::GUIDE.name))
}

fn print_schema(schema: Value) -> anyhow::Result<()> {
    Ok(output::result(OutputFormat::Json, "", &SchemaDocument(schema))?)
}

fn write(path: &Path, page: &[u8]) -> anyhow::Result<()> {
    let written =
        AtomicFile::create(path, 0o644).and_then(|mut file| file.write_all(page).and_then(|()| file.commit()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Every page: its file's name and its text in roff.
pub fn pages<P: Program>() -> io::Result<Vec<(String, Vec<u8>)>> {
    let definition = definition::<P>();
    let mut pages = Vec::new();
    add(&P::GUIDE, &definition, None, &mut pages)?;
    Ok(pages)
}

fn add(guide: &Guide, command: &Command, above: Option<&str>, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    pages.push((format!("{name}.1"), page(guide, command, above)?));
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    visible.into_iter().try_for_each(|sub| add(guide, sub, Some(&name), pages))
}

fn page(guide: &Guide, command: &Command, above: Option<&str>) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual(guide.name);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    terms(&mut roff, "EXIT STATUS", &EXIT_STATUS);
    terms(&mut roff, "ENVIRONMENT", guide.environment);
    terms(&mut roff, "FILES", guide.files);
    examples(&mut roff, command);
    see_also(&mut roff, guide, above);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A section of terms, each with its meaning; nothing if there are none.
fn terms(roff: &mut Roff, heading: &str, terms: &[(&str, &str)]) {
    if terms.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

fn examples(roff: &mut Roff, command: &Command) {
    let examples = examples_of(command);
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for example in examples {
        roff.control("PP", []);
        roff.control("nf", []);
        roff.text([roman(example)]);
        roff.control("fi", []);
    }
}

fn see_also(roff: &mut Roff, guide: &Guide, above: Option<&str>) {
    let above = above.map(|page| format!("{page}(1)"));
    let pages: Vec<&str> = above.iter().map(String::as_str).chain(guide.see_also.iter().copied()).collect();
    if pages.is_empty() {
        return;
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
}
