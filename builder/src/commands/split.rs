//! `kbundle split`

use std::io;

use anyhow::Context as _;
use kbundle_cli::{Explained as _, OutputFormat, progress};
use kbundle_commands::composed::report;
use kbundle_commands::destination::Destination;
use kbundle_commands::input::{Bundle, Input};
use kbundle_commands::interrupt::{Interrupt, interrupted, nothing_written};
use kbundle_commands::verify::read_all;
use kbundle_format::SignatureCheck;
use kbundle_format::stream::Carriage;
use kbundle_format::volume::Split;

use crate::cli::SplitCommandArgs;

pub fn run(arguments: &SplitCommandArgs, output: OutputFormat) -> anyhow::Result<()> {
    let input = Input::find(&arguments.bundle)?;
    let source = input.source()?.clone();
    let bundle = input.open_indexed(SignatureCheck::Skipped)?;
    let signed = !bundle.head().signatures.is_empty();
    let out = arguments.out.as_ref().unwrap_or(&arguments.bundle.bundle);
    let split = Split { file_bytes: arguments.size, parity: arguments.parity };
    let destination = Destination::for_bundle(out, Some(split), arguments.force.existing(), signed).explained()?;
    read_all(&input, Bundle::Indexed(bundle), Carriage::Partial)?;
    let interrupt = Interrupt::watch()?;
    let bar = progress::bar("splitting", source.size_bytes());
    let cut = || {
        let mut volumes = destination.start(&interrupt).explained()?;
        io::copy(&mut bar.wrap_read(source.reader()), &mut volumes)
            .with_context(|| format!("while splitting {}", input.name))?;
        volumes.commit().explained()
    };
    let written = interrupted(&interrupt, cut(), nothing_written)?;
    bar.finish_and_clear();
    report(&written, output)?;
    Ok(())
}
