//! `kinstall support`.

use std::path::PathBuf;

use clap::Args;

use super::ClusterArguments;

/// Arguments of `support`.
#[derive(Debug, Args)]
pub struct SupportArguments {
    /// Where to write the file; default: support-CLUSTER-TIME.tar.zst in the current folder
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Collect the logs of this many hours
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=24 * 30))]
    pub hours: u32,
    /// The hosts.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}
