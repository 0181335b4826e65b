//! Commands about the images of Kubernetes objects.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Find images in Kubernetes manifests
#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    Find(ImagesFindArgs),
}

/// List the images that Kubernetes manifests name
///
/// Images of containers and image volumes are certain; `manifests` of bundle.yaml puts these into a bundle. What only looks like an image, such as an
/// argument or a field of a custom resource, is listed as doubtful, with the place where it is named: add it with `--add-image` if pods need it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  kbundle images find app/\n  helm template prometheus.tgz | kbundle images find -"
)]
pub struct ImagesFindArgs {
    /// Files or folders with manifests, or - for standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}
