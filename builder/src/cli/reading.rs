//! Commands that read a bundle.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
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

/// List the packages inside of a bundle's images and programs
///
/// A bundle carries this list as CycloneDX and SPDX, made when it was built and signed with the rest. If an older bundle has none, it is
/// made from the content, with a warning.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle sbom bundle.tar.zst --key signing.pub\n  kbundle sbom bundle.tar.zst --format cyclonedx --key signing.pub > bundle.cdx.json\n  kbundle sbom bundle.tar.zst --verify --key signing.pub"
)]
pub struct SbomArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub base: BaseArgs,
    /// Only this image or file: an image's reference, or a file's name or path, as `kbundle inspect` shows them
    #[arg(value_name = "ENTRY", conflicts_with = "verify")]
    pub entry: Option<String>,
    /// Print this form
    #[arg(long, value_name = "FORMAT", default_value = "table", conflicts_with = "verify")]
    pub format: SbomFormat,
    /// Make the documents again from the content, and compare them with those that the bundle carries
    ///
    /// Reads all content, so an auditor does not have to trust the list of the builder.
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// The form of a list of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    /// For people; with `--output json` a short document for scripts
    Table,
    /// CycloneDX 1.6, JSON
    Cyclonedx,
    /// SPDX 2.3, JSON
    Spdx,
}

/// List the licences of everything in a bundle
///
/// Lists files and packages by licence, with the source of each statement: the bundle's list, or a file of an image. SPDX expressions come
/// first, then other names, then what states no licence. The licences are those that the packages state.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle licences bundle.tar.zst --key signing.pub\n  kbundle licences bundle.tar.zst --texts licences --key signing.pub"
)]
pub struct LicencesArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub base: BaseArgs,
    /// Write the licence texts that images and archives carry to this folder, which must not exist yet
    ///
    /// The file NOTICE in it lists each licence, what has it, and where its text was found. Reads all images and archives. The folder gets
    /// its name only when it is complete.
    #[arg(long, value_name = "DIR")]
    pub texts: Option<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
}
