//! Commands about advisories.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use kbundle_format::key_notes::Day;

use super::{ForceArgs, PassphraseArgs};

/// Make a file of advisories to audit bundles with
#[derive(Debug, Subcommand)]
pub enum AdvisoriesCommand {
    Pack(AdvisoriesPackArgs),
}

/// Put OSV records, VEX documents and Kubernetes' CVEs into one signed file
///
/// Takes the folders and zips that osv.dev and the databases behind it publish. Records of Go, Debian, Ubuntu, Alpine, Wolfi, Chainguard, PyPI, npm and crates.io
/// are kept; withdrawn ones and other ecosystems are left out and counted. The same input gives the same file, byte for byte.
/// `kbundle audit --advisories FILE` compares a bundle with it, without a network.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("signer").required(true).args(["key", "unsigned"]))]
#[command(
    after_long_help = "Examples:\n  kbundle advisories pack --osv Go.zip --osv Debian.zip --vex site.vex.json --key signing.key --out advisories.tar.zst\n  kbundle advisories pack --osv Go.zip --kubernetes-feed index.json --key signing.key"
)]
pub struct AdvisoriesPackArgs {
    /// Take the OSV records of this folder or zip; repeatable
    ///
    /// Every *.json file has to be a record. Of two records with the same ID, the one modified last counts.
    #[arg(long, value_name = "DIR|ZIP", required = true)]
    pub osv: Vec<PathBuf>,
    /// Add this VEX document, OpenVEX or CSAF 2.0; repeatable
    ///
    /// At most 64 documents of 16 MiB each. A CSAF document has to be of the profile VEX and no draft.
    #[arg(long, value_name = "FILE")]
    pub vex: Vec<PathBuf>,
    /// Add Kubernetes' official CVE feed, as JSON
    ///
    /// The file kubernetes.io/docs/reference/issues-security/official-cve-feed/index.json. It gives severities to flaws that records of Go
    /// name, and `kbundle audit` shows the CVEs that no such record names. Its affected versions are prose and not compared.
    #[arg(long, value_name = "FILE")]
    pub kubernetes_feed: Option<PathBuf>,
    /// Date of the data [default: that of the newest change in it]
    ///
    /// `kbundle audit` shows how old the data is, and a policy may set a limit.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<Day>,
    /// Sign with this private key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Write the file without a signature
    ///
    /// `kbundle audit` then accepts it only with `--advisories-unsigned`.
    #[arg(long, conflicts_with = "key")]
    pub unsigned: bool,
    /// Write to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE", default_value = "advisories.tar.zst")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}
