//! Waiting for something that others do: looking again and again, for a bounded time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

const PAUSE: Duration = Duration::from_millis(500);

/// What a look found.
pub enum Look<T> {
    /// What was waited for.
    Ready(T),
    /// Not yet; the state it is in, for people.
    NotYet(String),
}

/// Looks until something is there, for at most `limit`.
///
/// # Errors
/// When time is up, with what was waited for and the last state seen; or what `look` returns.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> anyhow::Result<Look<T>>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match look()? {
            Look::Ready(value) => return Ok(value),
            Look::NotYet(state) if started.elapsed() >= limit => {
                bail!("waited {} s for {what}; last seen: {state}", limit.as_secs());
            }
            Look::NotYet(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_again_until_it_is_there() {
        let mut looks = 0;
        let found = until("three", Duration::from_mins(1), || {
            looks += 1;
            Ok(if looks == 3 { Look::Ready(looks) } else { Look::NotYet(looks.to_string()) })
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn says_what_it_waited_for_and_how_that_was() {
        let error = until::<()>("the moon", Duration::ZERO, || Ok(Look::NotYet("half".into()))).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for the moon; last seen: half");
    }
}
