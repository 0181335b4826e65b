//! Retries: a longer pause after each failure that may be temporary.

use std::future::Future;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::FetchError;

/// How often to retry, and how long to wait before each retry.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before the first retry; each later one is twice as long, up to [`RetryPolicy::LONGEST`].
    pub first_pause: Duration,
}

/// What to do about a server that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insistence {
    /// Retry it: no other place has the content.
    TriesAgain,
    /// Give up on it at once: another place has the same content.
    LeavesTheUnreachable,
}

/// How long the server asks to wait, given in seconds or as a date (`Retry-After`; RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

impl RetryPolicy {
    /// The longest pause, unless the server asks for a longer one.
    pub const LONGEST: Duration = Duration::from_secs(30);
    /// A server that asks to wait longer (`Retry-After`) is not retried.
    pub const LONGEST_ASKED_FOR: Duration = Duration::from_mins(5);

    /// The pause before retry `number`, counted from 0: a random time between half of the doubled pause and the whole of it, so that many
    /// downloads that failed together do not retry together.
    fn pause(&self, number: u32) -> Duration {
        let whole = self.first_pause.saturating_mul(1 << number.min(16)).min(Self::LONGEST);
        // Without random numbers, the pauses are just not spread.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }

    /// Calls `attempt` until it succeeds, fails permanently, or has failed too often.
    ///
    /// # Errors
    /// The error that no retry can change, or [`FetchError::GaveUp`].
    pub(crate) async fn run<T, F>(
        &self,
        url: &str,
        insistence: Insistence,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        for number in 0.. {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => error,
            };
            if number == self.retries || (error.is_unreachable() && insistence == Insistence::LeavesTheUnreachable) {
                return Err(FetchError::GaveUp { url: url.to_owned(), attempts: number + 1, source: Box::new(error) });
            }
            // The server's own `Retry-After` counts if it is longer.
            let pause = error.retry_after().unwrap_or_default().max(self.pause(number));
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
            .run("http://x", Insistence::TriesAgain, || {
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
            .run("http://x", Insistence::TriesAgain, || {
                attempts += 1;
                async { Err(FetchError::NoChecksum { url: "http://x".to_owned() }) }
            })
            .await;
        assert!(matches!(result, Err(FetchError::NoChecksum { .. })));
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_left_for_another() {
        let refused = || FetchError::Transport {
            url: "http://x".to_owned(),
            redirected: None,
            proxy: None,
            source: crate::fetch::Breakdown::Refused,
        };
        let mut attempts = 0;
        let result: Result<(), _> = QUICK
            .run("http://x", Insistence::LeavesTheUnreachable, || {
                attempts += 1;
                async { Err(refused()) }
            })
            .await;
        assert!(matches!(result, Err(FetchError::GaveUp { attempts: 1, .. })));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_server_says_how_long_to_wait() {
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 10:00:00 GMT").unwrap();
        let asked = |value: &'static str| {
            retry_after(&[(RETRY_AFTER, value.parse().unwrap())].into_iter().collect(), now).map(|wait| wait.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Fri, 27 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(asked("Fri, 27 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(asked("soon"), None);
        let too_many = |seconds| FetchError::Status {
            url: "http://x".to_owned(),
            status: reqwest::StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        assert!(too_many(300).may_pass() && !too_many(301).may_pass());
        insta::assert_snapshot!(too_many(3600), @"http://x answered 429 Too Many Requests and asks to wait 3600 s");
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
