//! `kbundle seal`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use kbundle_commands::arguments::ForceArgs;
use kbundle_commands::sealing::Recipient;

/// Encrypt a bundle for its journey
///
/// The sealed file is in the format of the program age. Commands that read a bundle open it with `--identity` or `--passphrase-file` and
/// decrypt it while they read; no plain copy is written. A seal hides the content. It does not prove who made it; the signatures inside do.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("readers").required(true).args(["recipients", "passphrase_file"]),
    after_long_help = "Examples:\n  kbundle seal bundle.tar.zst --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n  kbundle verify bundle.tar.zst.age --identity identity.txt --key signing.pub"
)]
pub struct SealArgs {
    /// The bundle: a file, one of its volumes, or a folder with its volumes
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Encrypt to this age recipient, `age1…`; repeatable
    ///
    /// Each of them can open the bundle alone, with its identity. `age-keygen` makes both.
    #[arg(long = "recipient", alias = "to", value_name = "RECIPIENT", conflicts_with = "passphrase_file")]
    pub recipients: Vec<Recipient>,
    /// Encrypt to the passphrase in the first line of this file, of at least 12 characters
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Write to this file, or - for standard output [default: BUNDLE.age]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub force: ForceArgs,
}
