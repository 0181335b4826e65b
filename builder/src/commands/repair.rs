//! `kbundle repair`

use kbundle::destination::Written;
use kbundle_cli::{Explained as _, output};
use kbundle_format::volume::{Repair, bundle_path, repair};

use super::composed::name_files;
use crate::cli::RepairArgs;

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
