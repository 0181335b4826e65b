//! Commands that make bundles from bundles.

use std::path::PathBuf;

use clap::Args;
use kbundle_commands::arguments::{BundleArgs, ForceArgs, SplitArgs, size};
use kbundle_format::Role;

/// Cut a bundle down to what hosts of a role need
///
/// The list and its signatures are unchanged, so the smaller bundle verifies like the whole one.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  kbundle subset k8s-1.25.2-amd64.tar.zst --role worker --out worker.tar.zst")]
pub struct SubsetArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Keep what this role needs, control-plane, etcd or worker; repeatable
    #[arg(long, value_name = "ROLE", required = true)]
    pub role: Vec<Role>,
    /// Write the smaller bundle to this file, or - for standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub split: SplitArgs,
}

/// Cut a bundle into volumes
///
/// For file systems without large files, such as FAT32. The bundle is checked first and stays as it is. With --force, volumes that
/// an earlier run wrote under the same name are replaced, and those without a successor are removed.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle split k8s-1.25.2-amd64.tar.zst --size 3900MiB --parity 1 --out /media/stick/k8s.tar.zst"
)]
pub struct SplitCommandArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Largest size of a volume, such as 3900MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size: u64,
    /// Add this many parity volumes; each replaces any one lost or damaged volume
    #[arg(long, value_name = "N", default_value = "0")]
    pub parity: u32,
    /// Name the volumes after this file [default: the bundle]
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub force: ForceArgs,
}
