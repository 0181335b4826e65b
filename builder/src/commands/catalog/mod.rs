//! `kbundle catalog`

mod add;
mod check;
mod export;
mod list;
mod show;

use crate::cli::CatalogCommand;

pub fn run(command: &CatalogCommand) -> anyhow::Result<()> {
    match command {
        CatalogCommand::List(arguments) => list::run(arguments),
        CatalogCommand::Show(arguments) => show::run(arguments),
        CatalogCommand::Export(arguments) => export::run(arguments),
        CatalogCommand::Add(arguments) => add::run(arguments),
        CatalogCommand::Check(arguments) => check::run(arguments),
    }
}
