//! Waits for what other programs do: checks repeatedly, for a bounded time, and only while somebody still wants the answer.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::step_progress::StepProgress;

const PAUSE: Duration = Duration::from_millis(500);

/// The result of a look.
pub enum Look<T> {
    /// The awaited result.
    Ready(T),
    /// Not yet; the state it is in, for people.
    NotYet(String),
}

/// Nobody listens any more.
#[derive(Debug, thiserror::Error)]
#[error("the leading kinstall ended while this host waited for {what}")]
pub struct Unheard {
    what: String,
}

/// Looks until something is there, for at most `limit`.
///
/// # Errors
/// When time is up, with what was waited for and the last state seen; when `progress` says that whoever led this host is gone;
/// or what `look` returns.
pub fn until<T>(
    progress: &dyn StepProgress,
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Look<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match look()? {
            Look::Ready(value) => return Ok(value),
            Look::NotYet(state) if started.elapsed() >= limit => {
                bail!("waited {} s for {what}; last seen: {state}", limit.as_secs());
            }
            // To wait longer would only delay the next run, which waits for the same.
            Look::NotYet(_) if !progress.is_heard() => return Err(Unheard { what: what.to_owned() }.into()),
            Look::NotYet(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports to nobody; the number is how many more looks somebody listens for.
    struct Audience(std::cell::Cell<usize>);

    impl StepProgress for Audience {
        fn detail(&self, _text: &str) {}

        fn is_heard(&self) -> bool {
            self.0.replace(self.0.get().saturating_sub(1)) > 0
        }
    }

    fn audience(looks: usize) -> Audience {
        Audience(std::cell::Cell::new(looks))
    }

    #[test]
    fn nobody_is_waited_for_when_the_leader_is_gone() {
        let mut looks = 0;
        let error = until::<()>(&audience(2), "the moon", Duration::from_mins(1), || {
            looks += 1;
            Ok(Look::NotYet("half".into()))
        });
        assert_eq!(error.unwrap_err().to_string(), "the leading kinstall ended while this host waited for the moon");
        assert_eq!(looks, 3);
    }

    #[test]
    fn looks_again_until_it_is_there() {
        let mut looks = 0;
        let found = until(&audience(9), "three", Duration::from_mins(1), || {
            looks += 1;
            Ok(if looks == 3 { Look::Ready(looks) } else { Look::NotYet(looks.to_string()) })
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn says_what_it_waited_for_and_how_that_was() {
        let error =
            until::<()>(&audience(9), "the moon", Duration::ZERO, || Ok(Look::NotYet("half".into()))).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for the moon; last seen: half");
    }
}
