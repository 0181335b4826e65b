//! The conversation between the kinstall that leads and the one on a host.
//!
//! Each process answers one question. The leader sends a line [`GREETING`], then a line of JSON with the
//! [`Request`](super::questions::Request), and after [`ReceiveBundle`](super::questions::ReceiveBundle) the bundle's bytes to the end of
//! input. The host skips anything before the greeting, such as a password that `sudo` did not ask for. It answers with the greeting as
//! well, after anything that the login shell printed, and then with one [`Message`] a line.
//!
//! Both ends are the same program, so that questions and answers need no compatible form. The greeting shows when they are not.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};

use crate::failure::FailureReport;
use crate::report::Event;

/// Begins the conversation in either direction. Its number grows when the protocol changes.
pub const GREETING: &str = "kinstall-agent 2";
const GREETING_OF_ANY_VERSION: &str = "kinstall-agent ";
/// The most that may come before the greeting.
const MAX_NOISE_BYTES: u64 = 1 << 20;
/// The longest line. A cluster's keys and description are far below it.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// A line from a host: any number of events, then one answer or failure. `A` is the type of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message<A> {
    /// Progress or a finding, to be reported while the work goes on.
    Event(Event),
    /// The answer.
    Answer(A),
    /// The reason why there is no answer.
    Failed(FailureReport),
}

/// Why a conversation does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// The input ended, or was too long, without a greeting.
    #[error("the other side did not send `{GREETING}`")]
    Missing,
    /// The other end speaks another version of the protocol.
    #[error("the other kinstall is another version: it says `{found}`, this one says `{GREETING}`")]
    OtherVersion {
        /// The greeting that it sent.
        found: String,
    },
    /// Reading failed.
    #[error("cannot read the greeting")]
    Read(#[from] io::Error),
}

/// Skips what comes before the greeting.
///
/// # Errors
/// When the input ends or goes on for too long without a greeting, or when the greeting is of another version.
pub fn skip_to_greeting(input: &mut impl BufRead) -> Result<(), GreetingError> {
    let mut noise = input.take(MAX_NOISE_BYTES);
    let mut line = Vec::new();
    loop {
        line.clear();
        if noise.read_until(b'\n', &mut line)? == 0 {
            return Err(GreetingError::Missing);
        }
        let Ok(text) = std::str::from_utf8(line.trim_ascii_end()) else { continue };
        if text == GREETING {
            return Ok(());
        }
        if let Some(version) = text.strip_prefix(GREETING_OF_ANY_VERSION)
            && version.parse::<u32>().is_ok()
        {
            return Err(GreetingError::OtherVersion { found: text.to_owned() });
        }
    }
}

/// The next line; `None` at the end.
pub fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line was cut off")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::agent::questions::Request;
    use crate::join_material::Pair;
    use crate::stage::Phase;

    #[test]
    fn a_password_that_nobody_read_is_skipped() {
        let mut input = Cursor::new("secret\nkinstall-agent 2\n{\"request\":\"remove-kinstall\"}\nrest".as_bytes());
        skip_to_greeting(&mut input).unwrap();
        let line = next_line(&mut input).unwrap().unwrap();
        assert!(matches!(serde_json::from_slice(&line).unwrap(), Request::RemoveKinstall(_)));
        assert_eq!(next_line(&mut input).unwrap_err().to_string(), "a line was cut off");
        assert_eq!(next_line(&mut Cursor::new(b"")).unwrap(), None);
    }

    #[test]
    fn input_without_a_greeting_is_refused() {
        for input in ["", "kinstall-agent x\n{}\n", "kinstall-agent 2 \u{0}"] {
            let error = skip_to_greeting(&mut Cursor::new(input.as_bytes())).unwrap_err();
            assert_eq!(error.to_string(), "the other side did not send `kinstall-agent 2`", "{input}");
        }
        let endless = io::repeat(b'x');
        assert!(skip_to_greeting(&mut io::BufReader::new(endless)).is_err());
    }

    #[test]
    fn another_version_is_named() {
        let error = skip_to_greeting(&mut Cursor::new(b"welcome\nkinstall-agent 1\n{}\n")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the other kinstall is another version: it says `kinstall-agent 1`, this one says `kinstall-agent 2`"
        );
    }

    proptest! {
        /// Whatever comes before the greeting, the request arrives.
        #[test]
        fn noise_changes_nothing(noise in "([^k\n]{0,40}\n){0,5}", phase in 0..Phase::ALL.len()) {
            let sent = serde_json::to_string(&Phase::ALL[phase]).unwrap();
            let mut input = Cursor::new(format!("{noise}{GREETING}\n{sent}\n").into_bytes());
            skip_to_greeting(&mut input).unwrap();
            prop_assert_eq!(next_line(&mut input).unwrap().unwrap(), sent.into_bytes());
        }
    }

    #[test]
    fn a_secret_answer_arrives_and_is_not_shown_when_it_is_printed() {
        let pair = Pair { certificate: "visible".into(), key: "secret".into() };
        let message = Message::Answer(pair);
        assert!(!format!("{message:?}").contains("secret"));
        let text = serde_json::to_string(&message).unwrap();
        let Message::Answer(pair) = serde_json::from_str::<Message<Pair>>(&text).unwrap() else { panic!("{text}") };
        assert_eq!(pair.key, "secret");
    }
}
