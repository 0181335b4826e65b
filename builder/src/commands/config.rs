//! `kbundle config`

use kbundle::spec::{EXAMPLE, schema};
use kbundle_cli::documentation;
use kbundle_cli::output::{self, OutputFormat};

use crate::cli::{Arguments, ConfigCommand};

pub fn run(command: &ConfigCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Init => Ok(output::text(output, EXAMPLE)?),
        ConfigCommand::Schema(arguments) => documentation::schema::<Arguments>(arguments, schema),
    }
}
