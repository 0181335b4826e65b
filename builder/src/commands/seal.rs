//! `kbundle seal`

use std::io::Write as _;

use anyhow::Context as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, progress};
use kbundle_commands::destination::Destination;
use kbundle_commands::input::Opened;
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_commands::sealing::seal;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::SealArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Sealed")]
pub struct Report {
    schema: u32,
    bundle: String,
    /// The sealed file, or `-` for standard output.
    file: String,
    size_bytes: u64,
    /// How many recipients can open it; absent where a passphrase does.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<usize>,
}

pub fn run(arguments: &SealArgs, output: OutputFormat) -> anyhow::Result<()> {
    let seal = seal(&arguments.recipients, arguments.passphrase_file.as_deref())?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.bundle.with_added_extension("age"));
    let destination = Destination::find(&out, None, arguments.force.existing()).explained()?;
    let opened = Opened::file(&arguments.bundle)?;
    let source = opened.input.source()?.clone();
    destination.check_room(source.size_bytes()).explained()?;
    let interrupt = Interrupt::watch()?;
    let bar = progress::bar("sealing", source.size_bytes());
    let write = || {
        let writing = destination.start(&interrupt).explained()?;
        let reading = || format!("while sealing {}", opened.input.name);
        let mut sealed = seal.wrap(writing).with_context(reading)?;
        std::io::copy(&mut bar.wrap_read(source.reader()), &mut sealed).with_context(reading)?;
        sealed.flush().with_context(reading)?;
        sealed.finish().with_context(reading)?.commit().explained()
    };
    let written = interrupted(&interrupt, write(), nothing_written);
    bar.finish_and_clear();
    let size_bytes = written?.size_bytes;
    let file = out.display().to_string();
    let recipients = arguments.passphrase_file.is_none().then_some(arguments.recipients.len());
    let readers = match recipients {
        Some(1) => "one recipient opens it".to_owned(),
        Some(count) => format!("{count} recipients open it, each alone"),
        None => "the passphrase opens it".to_owned(),
    };
    let text = format!("{file}: {} is sealed; {readers}", opened.input.name);
    let report = Report { schema: SCHEMA, bundle: opened.input.name, file, size_bytes, recipients };
    Ok(output::done(output, &text, &report)?)
}
