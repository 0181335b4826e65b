//! `kinstall images`: looks after the images in containerd.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;

use crate::cli::ImagesCommand;
use crate::failure::Advise;
use crate::host::Host;
use crate::steps::images::{self, Restored};

/// Does what the command line says.
pub fn images(command: ImagesCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImagesCommand::Restore => restore(),
    }
}

fn restore() -> anyhow::Result<ExitCode> {
    super::require_root()?;
    let Restored { put_back, lost } = images::restore(&Host::local()?)?;
    for image in put_back {
        writeln!(io::stdout(), "put back {image}, which had been removed")?;
    }
    if lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(anyhow!("the content of these images is missing too: {}", lost.join(", ")))
        .hint("`kinstall run` loads them from the bundle again")
}
