//! `kinstall agent`: what runs on a host when another kinstall leads.

use std::io;
use std::process::ExitCode;

use super::require_root;
use crate::agent::serve;

/// Serves the one request that comes on standard input.
pub fn agent() -> anyhow::Result<ExitCode> {
    require_root()?;
    serve(io::stdin())?;
    Ok(ExitCode::SUCCESS)
}
