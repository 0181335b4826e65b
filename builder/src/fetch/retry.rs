//! Trying again what may pass, each time after a longer pause.

use std::future::Future;
use std::time::Duration;

use super::FetchError;

/// How often and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before the first retry; each later one is twice as long, up to [`RetryPolicy::LONGEST`].
    pub first_pause: Duration,
}

impl RetryPolicy {
    /// No pause is longer, but for the jitter.
    pub const LONGEST: Duration = Duration::from_secs(30);

    /// The pause before retry `number`, counted from 0: at random between half and the whole of the doubled pause, so that many
    /// downloads that failed together do not come back together.
    fn pause(&self, number: u32) -> Duration {
        let whole = self.first_pause.saturating_mul(1 << number.min(16)).min(Self::LONGEST);
        // Without random numbers the pause is merely not spread.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// Calls `attempt` until it succeeds, fails for good, or failed too often.
    ///
    /// # Errors
    /// The error of an attempt that cannot pass, or [`FetchError::GaveUp`].
    pub async fn run<T, F>(&self, url: &str, mut attempt: impl FnMut() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        for number in 0.. {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => error,
            };
            if number == self.retries {
                return Err(FetchError::GaveUp { url: url.to_owned(), attempts: number + 1, source: Box::new(error) });
            }
            let pause = self.pause(number);
            tracing::info!(url, %error, pause_ms = pause.as_millis(), "trying again");
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop ends by return")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: RetryPolicy = RetryPolicy { retries: 3, first_pause: Duration::from_millis(1) };

    fn short_body() -> FetchError {
        FetchError::ShortBody { url: "http://x".to_owned(), actual: 1, expected: 2 }
    }

    #[tokio::test]
    async fn tries_again_what_may_pass_and_then_gives_up() {
        let mut attempts = 0;
        let result: Result<(), _> = QUICK
            .run("http://x", || {
                attempts += 1;
                async { Err(short_body()) }
            })
            .await;
        assert!(matches!(result, Err(FetchError::GaveUp { attempts: 4, .. })));
        assert_eq!(attempts, 4);
    }

    #[tokio::test]
    async fn does_not_repeat_what_cannot_pass() {
        let mut attempts = 0;
        let result: Result<(), _> = QUICK
            .run("http://x", || {
                attempts += 1;
                async { Err(FetchError::NoChecksum { url: "http://x".to_owned() }) }
            })
            .await;
        assert!(matches!(result, Err(FetchError::NoChecksum { .. })));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn pauses_double_within_their_bounds() {
        let policy = RetryPolicy { retries: 5, first_pause: Duration::from_secs(1) };
        for (number, whole) in [(0, 1), (1, 2), (2, 4), (5, 30), (60, 30)] {
            let pause = policy.pause(number);
            assert!(
                pause <= Duration::from_secs(whole) && pause >= Duration::from_secs(whole) / 2,
                "{number}: {pause:?}"
            );
        }
    }
}
