//! `kinstall manual`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use fs_err as fs;
use kbundle_cli::output;
use kbundle_format::atomic_file::{IncompleteFolder, parent};
use kbundle_manual::{File, files, page, pages};

use crate::cli::ManualArguments;
use crate::failure::Advise;
use crate::report::print_text;

/// Lists the pages, prints one, or writes all.
pub fn manual(arguments: &ManualArguments) -> anyhow::Result<ExitCode> {
    if let Some(directory) = &arguments.out {
        unpack(directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = match &arguments.topic {
        None => contents(),
        Some(topic) => page(topic).usage().hint("`kinstall manual` lists the pages")?.text.to_owned(),
    };
    // A pager that was closed has shown enough.
    output::bytes(&mut text.as_bytes()).context("cannot print the manual")?;
    Ok(ExitCode::SUCCESS)
}

fn contents() -> String {
    let width = pages().map(|page| page.topic.len()).max().unwrap_or(0);
    let lines = pages().map(|page| format!("{:width$}  {}\n", page.topic, page.title));
    format!("{}\nPrint a page with `kinstall manual TOPIC`.\n", lines.collect::<String>())
}

/// Writes every file of the manual. The directory has its name only once all of it is there.
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
    print_text(&format!("{}: the manual; begin with introduction.md\n", directory.display()))?;
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
