//! `repair`

use std::path::PathBuf;

use clap::Args;
use kbundle_cli::{Explained as _, output};
use kbundle_format::volume::{Repair, bundle_path, repair};

use crate::composed::name_files;
use crate::destination::Written;

/// Rebuild lost and damaged volumes from the others and parity
///
/// Writes lost and damaged volumes anew, parity as well, or nothing where parity does not suffice. The rebuilt bundle is compared with
/// the digest that every volume bears. Damaged files in other folders are named and left alone; commands that read volumes take those of
/// the folder that is named first.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Folders with volumes, or single volumes
    #[arg(value_name = "PLACE", required = true)]
    pub places: Vec<PathBuf>,
    /// Write rebuilt volumes under this bundle's name [default: beside the first volume found]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Does what the command line says.
pub fn run(arguments: &RepairArgs) -> anyhow::Result<()> {
    let bundle = match &arguments.out {
        Some(out) => out.clone(),
        None => bundle_path(&arguments.places).explained()?,
    };
    let Repair { rebuilt, damaged } = repair(&arguments.places, &bundle).explained()?;
    if rebuilt.is_empty() {
        output::note("there is a whole volume of each number; nothing was done")?;
    } else {
        name_files(&Written { files: rebuilt, ..Written::default() })?;
    }
    for path in damaged {
        output::note(&format!("{} is damaged and was left alone; use the whole one, and remove this", path.display()))?;
    }
    Ok(())
}
