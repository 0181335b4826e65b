//! What a push changed.

use kbundle_format::Digest;
use schemars::JsonSchema;
use serde::Serialize;

/// What became of an image's name in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was not there.
    Created,
    /// It stood for something else.
    Updated,
    /// It stood for the same.
    Unchanged,
}

/// What became of an image's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IndexKept {
    /// There is none.
    None,
    /// It is in the registry as it was published.
    Whole,
    /// The registry takes it only with all platforms: the name stands for those that the bundle carries.
    Reduced,
    /// Only a push can tell.
    Unknown,
}

/// What became of one image.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageOutcome {
    /// The upstream reference.
    pub reference: String,
    /// The name in the registry.
    pub name: String,
    /// What the name stands for.
    pub digest: Digest,
    /// What it stood for before, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What was done.
    pub state: State,
    /// What became of its index.
    pub index: IndexKept,
}

/// All of it; what `--output json` prints.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Pushed")]
pub struct Outcome {
    /// Version of the document.
    pub schema: u32,
    /// The registry and prefix.
    pub registry: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Bytes of blobs that were sent.
    pub uploaded_bytes: u64,
    /// Blobs that were sent.
    pub uploaded_blobs: usize,
    /// Blobs that the registry took from another of its repositories.
    pub mounted_blobs: usize,
    /// The images, in the order of the bundle.
    pub images: Vec<ImageOutcome>,
}

impl Outcome {
    pub(super) fn add(&mut self, uploaded_bytes: u64, uploaded_blobs: usize, mounted_blobs: usize) {
        self.uploaded_bytes += uploaded_bytes;
        self.uploaded_blobs += uploaded_blobs;
        self.mounted_blobs += mounted_blobs;
    }

    /// The number of images in `state`.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.images.iter().filter(|image| image.state == state).count()
    }
}
