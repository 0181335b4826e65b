//! Ctrl-C and SIGTERM: the work ends at its next step and leaves nothing incomplete.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kbundle_cli::Explained as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Knows whether the program was asked to end. Clones share this.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// Why the program was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    const ALL: [(Self, i32); 2] = [(Self::Interrupt, SIGINT), (Self::Terminate, SIGTERM)];
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT (Ctrl-C)",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The program was asked to end before the work was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {signal}; {kept}")]
pub struct Interrupted {
    /// The signal.
    pub signal: Signal,
    /// What was kept of the work, for people.
    pub kept: String,
}

impl Interrupt {
    /// Handles both signals: the first is recorded, a second one ends the program at once.
    ///
    /// # Errors
    /// When the system does not allow handlers.
    pub fn watch() -> io::Result<Self> {
        let (caught, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for (_, signal) in Signal::ALL {
            // Handlers run in this order, so that the first signal does not see its own record. Shells report 128 plus the signal's number.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&caught), usize::try_from(signal).unwrap_or_default())?;
        }
        Ok(Self(caught))
    }

    /// The signal that came, if one did.
    #[must_use]
    pub fn caught_signal(&self) -> Option<Signal> {
        let caught = self.0.load(Ordering::SeqCst);
        Signal::ALL.into_iter().find(|(_, signal)| usize::try_from(*signal) == Ok(caught)).map(|(signal, _)| signal)
    }

    /// Writers call this before each write.
    ///
    /// # Errors
    /// When a signal came.
    pub fn check(&self) -> io::Result<()> {
        if self.caught_signal().is_some() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }
}

/// If work failed after a signal came, reports that it was interrupted, and what was `kept`.
///
/// # Errors
/// The work's own error, or [`Interrupted`] in its place.
pub fn interrupted<T>(
    interrupt: &Interrupt,
    result: anyhow::Result<T>,
    kept: impl FnOnce() -> String,
) -> anyhow::Result<T> {
    match interrupt.caught_signal() {
        Some(signal) if result.is_err() => Err(Interrupted { signal, kept: kept() }).explained(),
        _ => result,
    }
}

/// What is kept by an interrupted command that writes to temporary files and downloads nothing.
#[must_use]
pub fn nothing_written() -> String {
    "nothing was written".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_came_fails_the_next_write() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check().is_ok() && interrupt.caught_signal().is_none());
        interrupt.0.store(usize::try_from(SIGTERM).unwrap(), Ordering::SeqCst);
        assert!(interrupt.check().is_err());
        assert_eq!(interrupt.caught_signal(), Some(Signal::Terminate));
    }
}
