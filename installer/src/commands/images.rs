//! `kinstall images`: looks after the images in containerd.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::ImagesCommand;
use crate::host::Host;
use crate::steps::images;

/// Does what the command line says.
pub fn images(command: ImagesCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImagesCommand::Restore => restore(),
    }
}

fn restore() -> anyhow::Result<ExitCode> {
    super::require_root()?;
    for image in images::restore(&Host::local()?)? {
        writeln!(io::stdout(), "put back {image}, which had been removed")?;
    }
    Ok(ExitCode::SUCCESS)
}
