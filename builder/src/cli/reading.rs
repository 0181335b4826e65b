//! Commands that read a bundle.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use kbundle_cli::arguments::{SignatureArguments, VolumeArguments};
use kbundle_format::{EntryPath, Role};

use super::ForceArgs;

/// Which bundle.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The bundle: a file, one of its volumes, a folder with its volumes, or - for standard input
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    #[command(flatten)]
    pub volumes: VolumeArguments,
}

/// Whom to trust, or nobody.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("trust").required(true).args(["key", "unsigned"]))]
pub struct TrustArgs {
    /// Trust this public key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Do not check signatures
    ///
    /// Digests are still compared with the bundle's own list, which finds damage but not forgery.
    #[arg(long)]
    pub unsigned: bool,
    #[command(flatten)]
    pub signatures: SignatureArguments,
}

/// Check the signatures and every digest of a bundle
///
/// Reads the whole file once with bounded memory, on all cores. Exits with 0 only when enough trusted keys signed the list and every entry is
/// there and is what the list says. Damage is named by volume and entry.
///
/// A differential bundle is checked against its base with --base, a bundle for one role with --role.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle verify /media/stick1 --volumes /media/stick2 --key signing.pub")]
pub struct VerifyArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Trust this public key; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    #[command(flatten)]
    pub signatures: SignatureArguments,
    /// Take what the bundle leaves out from this older bundle; repeatable
    ///
    /// Everything left out has to be in it, by digest, and is read and compared there.
    #[arg(long, value_name = "BUNDLE")]
    pub base: Vec<PathBuf>,
    /// Demand only what hosts of this role need, control-plane, etcd or worker; repeatable
    #[arg(long, value_name = "ROLE", conflicts_with = "base")]
    pub role: Vec<Role>,
}

/// Show what a bundle holds
///
/// Reads only the list at its start. With --key it verifies the signatures; without a key it verifies nothing, and the output says so.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle inspect k8s-1.25.2-amd64.tar.zst --key signing.pub")]
pub struct InspectArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Check the signatures with this public key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    #[command(flatten)]
    pub signatures: SignatureArguments,
}

/// Unpack entries of a bundle into a folder
///
/// Each file gets its name only after its digest was compared. Symbolic links in the folder are neither followed nor replaced: nothing
/// is written outside it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle extract bundle.tar.zst artifacts/linux-amd64 -C /tmp/programs --key signing.pub"
)]
pub struct ExtractArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Entries to unpack, or folders of entries [default: everything]
    ///
    /// Also bundle.json, signatures and attestations.
    #[arg(value_name = "PATH")]
    pub paths: Vec<EntryPath>,
    /// Unpack into this folder, which is created if it does not exist
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Print one entry of a bundle
///
/// The entry is kept in a temporary file and its digest compared before the first byte is printed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle cat bundle.tar.zst bundle.json --key signing.pub")]
pub struct CatArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
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
    /// Write an OCI image layout to this folder, which must not exist yet
    #[arg(long, value_name = "DIR")]
    pub oci: PathBuf,
    #[command(flatten)]
    pub trust: TrustArgs,
}
