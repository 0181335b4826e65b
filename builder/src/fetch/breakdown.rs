//! Why a server gave no answer, in plain words. The libraries' own errors go to the log.

use std::error::Error;
use std::io;

/// Why there was no answer, or only half of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breakdown {
    /// The name server has no address for the name.
    #[error("the name server does not know this name")]
    UnknownName,
    /// No name server could be asked, or none answered.
    #[error("no name server answered")]
    NoNameServer,
    /// Nothing listens at the address.
    #[error("the connection was refused, nothing listens there")]
    Refused,
    /// The machine has no way to the address.
    #[error("there is no route to it")]
    NoRoute,
    /// Silence for too long.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended in the middle.
    #[error("the connection broke off")]
    BrokenOff,
    /// TLS failed.
    #[error("no trusted TLS connection: {reason}")]
    Tls {
        /// The TLS library's words.
        reason: String,
    },
    /// One redirect led to the next, too often.
    #[error("too many redirects")]
    Redirects,
    /// Anything else.
    #[error("{reason}")]
    Other {
        /// The innermost error's words.
        reason: String,
        /// Whether a later attempt may succeed.
        may_pass: bool,
    },
}

impl Breakdown {
    /// Finds the plain words for an error of the HTTP client.
    #[must_use]
    pub fn of(error: &reqwest::Error) -> Self {
        let outermost: &(dyn Error + 'static) = error;
        let causes: Vec<_> = std::iter::successors(Some(outermost), |cause| (*cause).source()).collect();
        tracing::debug!(chain = ?causes.iter().map(ToString::to_string).collect::<Vec<_>>(), "no answer");
        if error.is_redirect() {
            return Self::Redirects;
        }
        if causes.iter().any(|cause| cause.to_string() == "dns error") {
            // Its own type is the resolver library's, which the HTTP client hides.
            let unknown = causes.iter().any(|cause| cause.to_string().contains("no records found"));
            return if unknown { Self::UnknownName } else { Self::NoNameServer };
        }
        if let Some(reason) = causes.iter().find_map(|cause| tls_reason(*cause)) {
            return Self::Tls { reason };
        }
        if let Some(known) = causes.iter().find_map(|cause| Self::of_io(cause.downcast_ref()?)) {
            return known;
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let reason = causes.last().map(ToString::to_string).unwrap_or_default();
        Self::Other { reason, may_pass: !error.is_builder() }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        Some(match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
                Self::NoRoute
            }
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::BrokenOff,
            _ => return None,
        })
    }

    /// Whether a later attempt may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Redirects => false,
            Self::Other { may_pass, .. } => *may_pass,
            _ => true,
        }
    }
}

/// What the TLS library says, which I/O errors carry inside.
fn tls_reason(cause: &(dyn Error + 'static)) -> Option<String> {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.or_else(|| cause.downcast_ref()).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_have_plain_words() {
        let of = |kind: io::ErrorKind| Breakdown::of_io(&kind.into());
        assert_eq!(of(io::ErrorKind::ConnectionRefused), Some(Breakdown::Refused));
        assert_eq!(of(io::ErrorKind::NetworkUnreachable), Some(Breakdown::NoRoute));
        assert_eq!(of(io::ErrorKind::UnexpectedEof), Some(Breakdown::BrokenOff));
        assert_eq!(of(io::ErrorKind::InvalidData), None);
    }
}
