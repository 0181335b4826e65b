//! `kbundle config`

use kbundle::spec::{EXAMPLE, schema};

use crate::cli::ConfigCommand;
use crate::output::{self, Format};

pub fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Init => output::result(Format::Text, EXAMPLE, &())?,
        ConfigCommand::Schema => output::result(Format::Json, "", &schema())?,
    }
    Ok(())
}
