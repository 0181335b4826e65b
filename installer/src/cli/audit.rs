//! `audit`.

use std::path::PathBuf;

use clap::Args;
use kbundle_cli::arguments::VolumeArguments;
use kbundle_commands::arguments::BaseArgs;
use kbundle_commands::sealing::OpeningArgs;

use super::TrustArguments;

pub(super) const EXAMPLES: &str = "\
Examples:
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub
  kinstall audit k8s-1.25.2-amd64.tar.zst --key signing.pub --all --output json
  kinstall audit --key signing.pub";

/// Compare this host with the bundle that it was set up from
///
/// Verifies the bundle and then compares what lies on this host and what runs: binaries, configuration, units and their drop-ins, processes,
/// static pods, images, containers, kernel settings, and who may do everything in the cluster. Each finding is as approved, drifted (with what
/// was expected and what was found) or unknown (with the reason). Changes nothing. Needs root.
///
/// Exits with 0 when every finding is as approved, with 4 when any has drifted, and with 1 when none has drifted and any is unknown.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The bundle that the host was set up from: a file, one of its volumes, or a folder with its volumes
    ///
    /// Without it, the host's own part of it, which hosts keep that were set up over SSH.
    #[arg(value_name = "BUNDLE")]
    pub place: Option<PathBuf>,
    /// Where further volumes lie.
    #[command(flatten)]
    pub volumes: VolumeArguments,
    /// What opens it where it is sealed.
    #[command(flatten)]
    pub opening: OpeningArgs,
    /// Bundles that complete it.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// Also list what is as approved; with --output json it always is
    #[arg(long)]
    pub all: bool,
}
