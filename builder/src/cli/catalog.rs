//! Commands about catalogs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kbundle::mirror::Mirror;
use kbundle::version_request::VersionRequest;
use kbundle_format::KubeVersion;

use super::{CatalogArgs, FetchArgs, ForceArgs};

/// Show what the catalog has, or write it out
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    List(CatalogListArgs),
    Show(CatalogShowArgs),
    Export(CatalogExportArgs),
    Check(CatalogCheckArgs),
    Add(CatalogAddArgs),
}

/// List the Kubernetes versions that can be built
///
/// One line for each, from the oldest to the newest, with the components and add-ons that go with it. A `*` marks an add-on with content
/// that has no pin: a build needs `--trust-on-first-use` for it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle catalog list\n  kbundle catalog list --catalog site.yaml --output json"
)]
pub struct CatalogListArgs {
    #[command(flatten)]
    pub catalogs: CatalogArgs,
}

/// Show what a Kubernetes version is made of, from where, and what pins it
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle catalog show 1.25.2\n  kbundle catalog show 1.36 --output json")]
pub struct CatalogShowArgs {
    /// A version such as 1.25.2, or 1.25 for the newest of that minor
    #[arg(value_name = "VERSION")]
    pub kubernetes: VersionRequest,
    #[command(flatten)]
    pub catalogs: CatalogArgs,
}

/// Write the catalog as one YAML file, to change or to review
///
/// `kbundle build --catalog FILE` reads it again.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle catalog export --k8s 1.36 --out site.yaml")]
pub struct CatalogExportArgs {
    /// Only this version and what goes with it; repeatable
    #[arg(long = "k8s", value_name = "VERSION")]
    pub kubernetes: Vec<VersionRequest>,
    #[command(flatten)]
    pub catalogs: CatalogArgs,
    /// Write the catalog to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Check that every version of the catalog can be built
///
/// Selects every Kubernetes version with each of its add-ons, for each architecture, and lists all errors. No server is asked. Exits with 1
/// if there are errors.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle catalog check --catalog site.yaml")]
pub struct CatalogCheckArgs {
    #[command(flatten)]
    pub catalogs: CatalogArgs,
}

/// Write a catalog of a version that the catalog lacks, with pins from upstream
///
/// Programs are pinned by the checksums that upstream publishes beside them, Kubernetes' images by the digests that the registry names. The
/// rest (containerd, etcd, CoreDNS, add-ons) is what goes with the newest release of the same minor, or of the minor before. Review the
/// file before you use it: whoever controls those servers today decides what it says.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle catalog add kubernetes 1.34.11 --from-upstream --out site.yaml\n  kbundle build --catalog site.yaml --k8s 1.34.11 --key signing.key"
)]
pub struct CatalogAddArgs {
    /// What to add
    #[arg(value_name = "WHAT")]
    pub what: Addable,
    /// The version, such as 1.34.11
    #[arg(value_name = "VERSION")]
    pub version: KubeVersion,
    /// Fetch the pins from upstream
    #[arg(long, required = true)]
    pub from_upstream: bool,
    #[command(flatten)]
    pub catalogs: CatalogArgs,
    /// Fetch what is at FROM from TO; repeatable
    ///
    /// As with `kbundle build`.
    #[arg(long = "mirror", value_name = "FROM=TO")]
    pub mirrors: Vec<Mirror>,
    /// Write the catalog to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// What can be added to a catalog.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Addable {
    /// A Kubernetes release
    Kubernetes,
}
