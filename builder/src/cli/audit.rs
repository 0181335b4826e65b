//! `kbundle audit`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kbundle_commands::arguments::{BaseArgs, BundleArgs, TrustArgs};
use kbundle_commands::recording::RecordArgs;

use super::ForceArgs;

/// Check a bundle against a policy
///
/// Reads all content and compares every digest, as `kbundle verify` does. Then it applies each rule of the policy: signers, pins, origins,
/// a complete list of packages, images, manifests, licences, versions of packages, and advisories. Each verdict names what was looked at
/// with its digest, what the policy expects, and what was found. Needs no network. Exit code: 0 if the policy accepts the bundle, 3 if it
/// refuses it.
///
/// `kinstall --require-audit` looks for the record of --record beside the bundle, as BUNDLE.audit.json.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle audit bundle.tar.zst --policy strict --advisories advisories.tar.zst --key signing.pub\n  kbundle audit bundle.tar.zst --policy policy.yaml --key signing.pub --format junit > audit.xml\n  kbundle audit bundle.tar.zst --policy policy.yaml --key signing.pub --print-input > input.json\n  kbundle audit bundle.tar.zst --policy strict --key signing.pub --record bundle.tar.zst.audit.json --sign-key auditor.key"
)]
pub struct AuditArgs {
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Print this form
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: AuditFormat,
    /// Print what rules in Rego get as `input`, and judge nothing
    ///
    /// One JSON document, whatever --output says. The bundle is verified, and the policy says whether images are looked into, as for an audit.
    #[arg(long, conflicts_with_all = ["format", "record"])]
    pub print_input: bool,
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Write the audit of a bundle as one HTML page
///
/// Judges as `kbundle audit` does, and writes verdicts with their evidence, advisories, images, files and packages with licences, pins and origins as tables
/// that sort and search, and a picture of where each byte came from. With `--since`, also what differs from an older bundle. The page asks for nothing from
/// elsewhere and opens from a stick. It is written, with exit code 0, also where the policy refuses the bundle, and says so at its top.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle report bundle.tar.zst --policy strict --advisories advisories.tar.zst --key signing.pub --out report.html\n  kbundle report k8s-1.25.3-amd64.tar.zst --since k8s-1.25.2-amd64.tar.zst --key signing.pub"
)]
pub struct ReportArgs {
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Also show what differs from this older bundle, as `kbundle diff` does
    ///
    /// A file, one of its volumes, or a folder with its volumes. It has to be signed like the bundle.
    #[arg(long, value_name = "OLD")]
    pub since: Option<PathBuf>,
    /// Write to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
}

/// What is judged, and by what.
#[derive(Debug, Args)]
pub struct JudgingArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    #[command(flatten)]
    pub base: BaseArgs,
    /// The policy: baseline, strict, or a file such as policy.yaml
    #[arg(long, value_name = "POLICY", default_value = "baseline")]
    pub policy: PathBuf,
    /// Compare the packages with this file of advisories, as `kbundle advisories pack` writes it
    #[arg(long, value_name = "FILE")]
    pub advisories: Option<PathBuf>,
    /// Trust this public key for the advisories; repeatable [default: the keys of --key]
    #[arg(long, value_name = "FILE", requires = "advisories")]
    pub advisories_key: Vec<PathBuf>,
    /// Do not ask who signed the advisories
    #[arg(long, requires = "advisories", conflicts_with = "advisories_key")]
    pub advisories_unsigned: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// The form of the verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// For people; with `--output json` a document for scripts
    Text,
    /// SARIF 2.1.0, for tools of code review
    Sarif,
    /// JUnit XML, for build servers
    Junit,
}
