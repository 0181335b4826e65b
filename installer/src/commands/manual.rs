//! `kinstall manual`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_format::atomic_file::{IncompleteFolder, parent};
use kbundle_manual::{File, files, page, pages};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::ManualArguments;
use crate::failure::Advise;

/// The list of pages for programs.
#[derive(Serialize, JsonSchema)]
pub struct Contents {
    schema: u32,
    pages: Vec<Heading>,
}

/// A page in that list.
#[derive(Serialize, JsonSchema)]
struct Heading {
    topic: &'static str,
    title: &'static str,
}

/// A page for programs.
#[derive(Serialize, JsonSchema)]
pub struct Page {
    schema: u32,
    #[serde(flatten)]
    heading: Heading,
    /// In Markdown.
    text: &'static str,
}

/// What was written, for programs.
#[derive(Serialize, JsonSchema)]
pub struct Unpacked {
    schema: u32,
    directory: String,
    /// How many files were written.
    files: usize,
}

/// Lists the pages, prints one, or writes all.
pub fn manual(arguments: &ManualArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    // An error of a closed pager is ignored: its reader has seen enough.
    match (&arguments.out, &arguments.topic) {
        (Some(directory), _) => {
            unpack(directory)?;
            let directory = directory.display().to_string();
            let text = format!("{directory}: the manual; begin with introduction.md");
            output::result(output, &text, &Unpacked { schema: SCHEMA, directory, files: files().count() })?;
        }
        (None, Some(topic)) => {
            let page = page(topic).usage().hint("`kinstall manual` lists the pages")?;
            let heading = Heading { topic: page.topic, title: page.title };
            output::result(output, page.text, &Page { schema: SCHEMA, heading, text: page.text })?;
        }
        (None, None) => {
            let pages = pages().map(|page| Heading { topic: page.topic, title: page.title }).collect();
            let contents = Contents { schema: SCHEMA, pages };
            output::result(output, &contents.text(), &contents)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Contents {
    fn text(&self) -> String {
        let width = self.pages.iter().map(|page| page.topic.len()).max().unwrap_or(0);
        let lines = self.pages.iter().map(|page| format!("{:width$}  {}\n", page.topic, page.title));
        format!("{}\nPrint a page with `kinstall manual TOPIC`.\n", lines.collect::<String>())
    }
}

/// Writes every file of the manual. The directory gets its name only when all files are there.
fn unpack(directory: &Path) -> anyhow::Result<()> {
    if directory.symlink_metadata().is_ok() {
        return Err(anyhow!("{} exists and is not replaced; nothing was written", directory.display()))
            .refused()
            .hint("name a directory that does not exist");
    }
    let cannot = || format!("cannot write the manual to {}", directory.display());
    let aside = IncompleteFolder::create(directory).with_context(cannot)?;
    files().try_for_each(|file| write(aside.path(), file)).with_context(cannot)?;
    fs::rename(aside.path(), directory).with_context(cannot)?;
    aside.keep();
    fs::File::open(parent(directory)).and_then(|folder| folder.sync_all()).with_context(cannot)?;
    Ok(())
}

fn write(directory: &Path, file: File) -> io::Result<()> {
    let path = directory.join(file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = fs::File::create(path)?;
    out.write_all(file.content)?;
    out.sync_all()
}
