//! Commands that read a bundle.

use std::path::PathBuf;

use clap::Args;
use kbundle_commands::arguments::{BaseArgs, BundleArgs, TrustArgs};
use kbundle_format::EntryPath;

/// Print one entry of a bundle
///
/// The entry is kept in a temporary file and its digest compared before the first byte is printed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle cat bundle.tar.zst bundle.json --key signing.pub")]
pub struct CatArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub base: BaseArgs,
    /// The entry; also bundle.json, a signature or an attestation
    #[arg(value_name = "PATH")]
    pub path: EntryPath,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Write the images of a bundle as an OCI image layout
///
/// skopeo, ctr and other tools read it; the digests are the upstream ones. The folder gets its name only when it is complete. From a
/// bundle for a role it writes the images that the bundle carries.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle export bundle.tar.zst --oci images --key signing.pub")]
pub struct ExportArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub base: BaseArgs,
    /// Write an OCI image layout to this folder, which must not exist yet
    #[arg(long, value_name = "DIR")]
    pub oci: PathBuf,
    #[command(flatten)]
    pub trust: TrustArgs,
}
