//! Commands about time stamps.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use kbundle_commands::arguments::{BundleArgs, ForceArgs};

/// Have an authority say when a bundle existed, and keep its word beside the bundle (RFC 3161)
#[derive(Debug, Subcommand)]
pub enum TimestampCommand {
    Request(TimestampRequestArgs),
    Add(TimestampAddArgs),
}

/// Write the request that an authority for time stamps takes
///
/// It holds the SHA-256 of the bundle's list, and nothing else of the bundle. Send it over HTTP as `application/timestamp-query`; the answer
/// is for `kbundle timestamp add`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle timestamp request k8s-1.25.2-amd64.tar.zst --out request.tsq")]
pub struct TimestampRequestArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Write the request to this file, `-` for standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Check the answer of an authority, and keep it beside the bundle
///
/// Writes BUNDLE.tsr, which `verify --timestamp-authority` demands. The bundle is not changed, and its signatures are not looked at.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle timestamp add k8s-1.25.2-amd64.tar.zst --answer answer.tsr --timestamp-authority tsa.pem"
)]
pub struct TimestampAddArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// What the authority answered
    #[arg(long, value_name = "FILE")]
    pub answer: PathBuf,
    /// Certificates in PEM: the authority's, or of whoever issued its certificate
    #[arg(long, value_name = "FILE")]
    pub timestamp_authority: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
}
