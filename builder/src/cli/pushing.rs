//! The command that writes to a registry.

use clap::Args;
use kbundle::push::PushTarget;
use kbundle_commands::arguments::{BundleArgs, TrustArgs};

use super::connection::ConnectionArgs;

/// Copy the images of a bundle into a registry
///
/// Images keep their path and tag: registry.k8s.io/coredns/coredns:v1.12 becomes REGISTRY/PREFIX/coredns/coredns:v1.12, by the same digest.
/// Content that the registry has is not sent again: an interrupted run resumes, and a second run changes nothing. Blobs in another
/// repository of the registry are mounted.
///
/// Many registries accept an index only with the manifests of all its platforms. There the tag points to the platforms that the bundle
/// carries, and the output says so.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle push k8s-1.25.2-amd64.tar.zst registry.example.com/k8s --key signing.pub\n  kbundle push k8s-1.25.2-amd64.tar.zst http://127.0.0.1:5000 --key signing.pub --dry-run"
)]
pub struct PushArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// The registry, with a prefix for all names; `http://REGISTRY` for one without TLS
    #[arg(value_name = "REGISTRY[/PREFIX]")]
    pub target: PushTarget,
    /// Put the upstream registry into each name: PREFIX/registry.k8s.io/pause
    ///
    /// Needed where images of two registries have the same path. A colon becomes a hyphen.
    #[arg(long)]
    pub scoped: bool,
    /// Ask the registry what it has, show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
