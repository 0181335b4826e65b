//! How a step that takes long says what it is doing.

/// Tells people or programs how far a step is.
pub trait StepProgress {
    /// A short line about what is happening now, such as `image 3 of 7: registry.k8s.io/pause:3.8`.
    fn detail(&self, text: &str);

    /// Whether whoever asked for the work still follows it. One who started it here need not: the work goes on.
    fn is_heard(&self) -> bool {
        true
    }
}
