//! `kbundle diff`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kbundle_commands::arguments::TrustArgs;

use crate::diff::Topic;

/// Show what differs between two bundles
///
/// Compares releases, files, images and their configurations, packages, licences, signers and pins. Reads only lists and image
/// configurations. If a bundle carries no list of packages, it is made from the content, which takes longer. Exit code: 0 if nothing
/// differs, 4 if something does.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle diff k8s-1.25.2-amd64.tar.zst k8s-1.25.3-amd64.tar.zst --key signing.pub\n  kbundle diff old.tar.zst new.tar.zst --only images --only packages --unsigned\n  kbundle diff old.tar.zst new.tar.zst --format markdown --key signing.pub > changes.md"
)]
pub struct DiffArgs {
    /// The older bundle: a file, one of its volumes, or a folder with its volumes
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The newer bundle, which may be a differential one
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Compare only this; repeatable
    #[arg(long, value_name = "TOPIC")]
    pub only: Vec<Topic>,
    /// Print this form
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DiffFormat,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// The form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For a terminal; with `--output json` a document for scripts
    Text,
    /// For a review or a ticket
    Markdown,
}
