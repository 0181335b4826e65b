//! Commands about revocations.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use kbundle_format::revocations::Reason;

use super::PassphraseArgs;

/// Revoke keys and bundles, or show what is revoked
#[derive(Debug, Subcommand)]
pub enum RevocationsCommand {
    Add(RevocationsAddArgs),
    Show(RevocationsShowArgs),
}

/// Add a key or bundles to a signed list of revocations
///
/// Makes the list if there is none. Every command that verifies a bundle takes the list with `--revocations`: it refuses the bundles in it, and
/// does not count signatures of the keys in it. Carry the list to all sites the same way as public keys.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("revoked").required(true).args(["revoke_key", "revoke_bundle"]))]
#[command(
    after_long_help = "Examples:\n  kbundle revocations add revocations.json --revoke-key stolen.pub --reason 'laptop stolen' --key signing.key\n  kbundle revocations add revocations.json --revoke-bundle old.tar.zst --superseded-by new.tar.zst --reason CVE-2025-0001 --key signing.key"
)]
pub struct RevocationsAddArgs {
    /// The list, which is written again with one more entry
    #[arg(value_name = "LIST")]
    pub list: PathBuf,
    /// Revoke this public key, a file or the key's 64 hex digits
    #[arg(long, value_name = "FILE|ID", conflicts_with_all = ["revoke_bundle", "superseded_by"])]
    pub revoke_key: Option<String>,
    /// Revoke this bundle, a file or the digest of its list; repeatable
    #[arg(long, value_name = "BUNDLE|DIGEST")]
    pub revoke_bundle: Vec<String>,
    /// Name the bundle to use instead, a file or the digest of its list
    #[arg(long, value_name = "BUNDLE|DIGEST")]
    pub superseded_by: Option<String>,
    /// Say why, in one line of at most 200 characters
    #[arg(long, value_name = "TEXT")]
    pub reason: Reason,
    /// Sign with this private key; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// Trust a list that this public key signed, besides those of --key; repeatable
    ///
    /// For a list that somebody else signed last.
    #[arg(long, value_name = "FILE")]
    pub signed_by: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Verify a list of revocations, and print what it revokes
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle revocations show revocations.json --key signing.pub")]
pub struct RevocationsShowArgs {
    /// The list
    #[arg(value_name = "LIST")]
    pub list: PathBuf,
    /// Trust this public key; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
}
