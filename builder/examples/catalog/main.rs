//! Makes the built-in catalog from collected facts, and checks it against them.
//!
//! ```text
//! cargo run -p kbundle --example catalog -- import FACTS_DIR manifests/catalog
//! cargo run -p kbundle --example catalog -- check  FACTS_DIR manifests/catalog
//! ```
//!
//! Nothing in the catalog is typed by hand: every version, address and digest is copied from `kubernetes.yaml`, `runtime.yaml`,
//! `addons.yaml` and `compatibility.yaml` of the facts. The top of each file lists what is left out, and what has no digest until a build
//! pins it.

mod addons;
mod check;
mod facts;
mod image;
mod import;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use facts::Facts;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the catalog files again
    Import {
        /// Where the facts are
        facts: PathBuf,
        /// Where the catalog is
        catalog: PathBuf,
    },
    /// Compare every pin of the catalog with the facts
    Check {
        /// Where the facts are
        facts: PathBuf,
        /// Where the catalog is
        catalog: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match Arguments::parse().command {
        Command::Import { facts, catalog } => {
            let facts = Facts::read(&facts)?;
            for (name, text) in import::files(&facts)? {
                let path = catalog.join(name);
                kbundle_format::atomic_file::write_atomically(&path, text.as_bytes(), 0o644)
                    .with_context(|| format!("while writing {}", path.display()))?;
                writeln!(stdout, "{}: {} lines", path.display(), text.lines().count())?;
            }
        }
        Command::Check { facts, catalog } => {
            let compared = check::check(&facts, &catalog)?;
            writeln!(stdout, "{compared} pins of {} are those of the facts", catalog.display())?;
        }
    }
    Ok(())
}
