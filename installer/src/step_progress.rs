//! How a long step reports what it is doing.

/// Receives reports of what a step is doing.
pub trait StepProgress {
    /// A short line about the present work, such as `image 3 of 7: registry.k8s.io/pause:3.8`.
    fn detail(&self, text: &str);

    /// A line that remains visible after the step, such as what the step left in place.
    fn remark(&self, text: &str) {
        self.detail(text);
    }

    /// Whether the leader still listens. Work that was started on this host continues without a listener.
    fn is_heard(&self) -> bool {
        true
    }
}
