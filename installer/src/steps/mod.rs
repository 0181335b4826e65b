//! The steps of an installation: look, decide, act.
//!
//! A step can say whether it is already done, do itself, and undo what the [`Ledger`](crate::host::Ledger) does not know of
//! (stop what runs). Files, settings and units are undone from the ledger, by `reset`, for all steps alike.

use kbundle_format::IndexedBundle;

use crate::config::ClusterSpec;
use crate::facts::HostFacts;
use crate::host::Host;

/// What a look at the host found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `apply` would change nothing.
    Done,
    /// There is something to do; the reason, for people.
    Needed(String),
}

/// What steps work with.
pub struct Context<'a> {
    /// The host to change.
    pub host: Host,
    /// The verified bundle.
    pub bundle: &'a IndexedBundle,
    /// What the user wants.
    pub spec: &'a ClusterSpec,
    /// What the host was found to be, before any change.
    pub facts: &'a HostFacts,
    /// Where a long step tells how far it is.
    pub progress: &'a dyn Progress,
}

/// Tells people or programs how far a step is.
pub trait Progress {
    /// A short line about what is happening now, such as `image 3 of 7: registry.k8s.io/pause:3.8`.
    fn detail(&self, text: &str);
}

/// One change to a host. Cut off anywhere, a repeat finishes it.
pub trait Step {
    /// A short stable name, such as `containerd`.
    fn id(&self) -> &'static str;

    /// What it does, in the imperative, such as `set up containerd 1.6.20`.
    fn title(&self) -> String;

    /// Looks only.
    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check>;

    /// Changes the host.
    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()>;

    /// Stops what `apply` started and removes what the ledger cannot know of; nothing to do for most.
    fn undo(&self, _host: &mut Host) -> anyhow::Result<()> {
        Ok(())
    }
}
