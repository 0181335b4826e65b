//! Commands about keys and signatures.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use kbundle_commands::arguments::{BundleArgs, PassphraseArgs};
use kbundle_format::key::Algorithm;
use kbundle_format::key_notes::Day;

/// Create a pair of keys for signing
///
/// Writes the private key with mode 0600 and the public key beside it as FILE with the ending .pub. Existing files are never
/// replaced. Keep the private key off the build host where you can; kinstall needs only the public one.
///
/// Comment and days are written above the public key, where OpenSSL and cosign ignore them. `kbundle verify` shows them, and warns of a key
/// that is not valid today; with `--strict` it refuses. Nothing protects them: whoever keeps the file can edit them.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle keygen --comment 'releases of site A' --valid-until 2027-12-31")]
pub struct KeygenArgs {
    /// Kind of key
    #[arg(long, value_enum, default_value = "ecdsa-p256")]
    pub algorithm: KeyAlgorithm,
    /// Write the private key to this file
    #[arg(short = 'o', long, value_name = "FILE", default_value = "signing.key")]
    pub out: PathBuf,
    /// Encrypt the private key with a passphrase
    #[arg(long)]
    pub encrypt: bool,
    /// Write this comment above the public key, such as whose key it is
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// First day on which the key is valid
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub valid_from: Option<Day>,
    /// Last day on which the key is valid
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub valid_until: Option<Day>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeyAlgorithm {
    EcdsaP256,
    Ed25519,
}

impl From<KeyAlgorithm> for Algorithm {
    fn from(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::EcdsaP256 => Self::EcdsaP256,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }
}

/// Sign a bundle
///
/// Checks every digest of the bundle first, then adds the signature to it; other signatures stay. With --detached the bundle is
/// left as it is and the signature is written beside it, as BUNDLE.KEYID.sig.
///
/// For a key on a smart card or HSM: `kbundle cat BUNDLE bundle.json --unsigned` prints the bytes to sign, --print-digest prints their
/// SHA-256, and --attach adds the signature.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("signer").required(true).args(["key", "print_digest", "attach"]))]
#[command(
    after_long_help = "Examples:\n  kbundle sign k8s-1.25.2-amd64.tar.zst --key second.key --detached\n  kbundle sign k8s-1.25.2-amd64.tar.zst --attach hsm.sig --public-key hsm.pub"
)]
pub struct SignArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Private key to sign with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Print the SHA-256 of bundle.json, which is what is signed, and change nothing
    ///
    /// 64 hex digits. An ECDSA signer that takes digests signs this one; Ed25519 needs bundle.json itself.
    #[arg(long)]
    pub print_digest: bool,
    /// Add this signature, made by another program
    ///
    /// Base64 or raw; ECDSA in ASN.1 DER, Ed25519 its 64 bytes.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub attach: Option<PathBuf>,
    /// Public key of the signer of the attached signature
    #[arg(long, value_name = "FILE", requires = "attach")]
    pub public_key: Option<PathBuf>,
    /// Write the signature to a file of its own
    #[arg(long, conflicts_with = "print_digest")]
    pub detached: bool,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}
