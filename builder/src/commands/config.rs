//! `kbundle config`

use kbundle::spec::{EXAMPLE, schema};
use kbundle_cli::{OutputFormat, output};

use crate::cli::ConfigCommand;

pub fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Init => output::result(OutputFormat::Text, EXAMPLE, &())?,
        ConfigCommand::Schema => output::result(OutputFormat::Json, "", &schema())?,
    }
    Ok(())
}
