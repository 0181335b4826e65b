//! `kbundle repair`

use kbundle_format::volume::{bundle_path, repair};

use super::composed::name_files;
use crate::cli::RepairArgs;
use crate::output;

pub fn run(arguments: &RepairArgs) -> anyhow::Result<()> {
    let bundle = match &arguments.out {
        Some(out) => out.clone(),
        None => bundle_path(&arguments.places)?,
    };
    let rebuilt = repair(&arguments.places, &bundle)?.rebuilt;
    if rebuilt.is_empty() {
        output::note("every volume is whole; nothing was done")?;
    } else {
        name_files(&rebuilt)?;
    }
    Ok(())
}
