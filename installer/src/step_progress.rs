//! How a step that takes long says what it is doing.

/// Is told what a step does now.
pub trait StepProgress {
    /// A short line about what is happening now, such as `image 3 of 7: registry.k8s.io/pause:3.8`.
    fn detail(&self, text: &str);

    /// A line that stays to be read when the step is over, such as what it left where it was.
    fn remark(&self, text: &str) {
        self.detail(text);
    }

    /// Whether the leader still listens. Work that was started on this host continues without a listener.
    fn is_heard(&self) -> bool {
        true
    }
}
