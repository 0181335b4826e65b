//! Ctrl-C and SIGTERM: the work ends at its next step and leaves nothing half made.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How often waiting work looks whether a signal came.
const PERIOD: Duration = Duration::from_millis(50);

/// Knows whether the program was asked to end. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// The program was asked to end before the work was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}; {kept}", signal_name(*signal))]
pub struct Interrupted {
    /// SIGINT or SIGTERM.
    signal: i32,
    /// What was kept of the work, in words.
    kept: String,
}

impl Interrupted {
    /// 130 after SIGINT, 143 after SIGTERM, as shells report them.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        exit_code(self.signal)
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "run the same command again"
    }
}

fn exit_code(signal: i32) -> u8 {
    128 + u8::try_from(signal).unwrap_or_default()
}

fn signal_name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT (Ctrl-C)" } else { "SIGTERM" }
}

impl Interrupt {
    /// Takes over both signals: the first is noted, a second one ends the program at once.
    ///
    /// # Errors
    /// The system does not let the program take them over.
    pub fn watch() -> io::Result<Self> {
        let (caught, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in this order, so the first signal does not find its own note.
            flag::register_conditional_shutdown(signal, exit_code(signal).into(), Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&caught), usize::try_from(signal).unwrap_or_default())?;
        }
        Ok(Self(caught))
    }

    fn signal(&self) -> Option<i32> {
        i32::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|signal| *signal > 0)
    }

    /// For writers, which call this before each write.
    ///
    /// # Errors
    /// A signal came.
    pub fn check(&self) -> io::Result<()> {
        if self.signal().is_some() { Err(io::Error::other("interrupted")) } else { Ok(()) }
    }

    /// Waits for a signal.
    pub async fn caught(&self) {
        while self.signal().is_none() {
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Says of work that failed after a signal came that it was interrupted, and what was `kept`.
    ///
    /// # Errors
    /// [`Interrupted`], or the error as it was.
    pub fn explain<T, E>(&self, result: Result<T, E>, kept: impl FnOnce() -> String) -> Result<T, E>
    where
        E: From<Interrupted>,
    {
        match self.signal() {
            Some(signal) if result.is_err() => Err(Interrupted { signal, kept: kept() }.into()),
            _ => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failed_work_was_interrupted() {
        let interrupt = Interrupt::default();
        assert!(interrupt.check().is_ok());
        interrupt.0.store(2, Ordering::SeqCst);
        assert!(interrupt.check().is_err());
        let kept = || "nothing was written".to_owned();
        assert_eq!(interrupt.explain::<_, Interrupted>(Ok(1), kept), Ok(1));
        let failed = Err(Interrupted { signal: 0, kept: String::new() });
        let error = interrupt.explain::<(), _>(failed, kept).unwrap_err();
        assert_eq!(error.to_string(), "interrupted by SIGINT (Ctrl-C); nothing was written");
        assert_eq!(error.exit_code(), 130);
    }
}
