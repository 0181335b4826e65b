//! Why a server gave no answer, in plain words. The libraries' own errors go to the log.

use std::error::Error;
use std::io;

use rustls::InvalidMessage;

/// Why a server did not answer, or not completely.
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
    #[error("there is no route to the host")]
    NoRoute,
    /// No answer within the time limit.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended in the middle.
    #[error("the connection was lost")]
    BrokenOff,
    /// The answer is not TLS.
    #[error("it answers without TLS, as a plain HTTP server does")]
    NoTls,
    /// The proxy requires authentication.
    #[error("the proxy asks for a user name and a password")]
    ProxyAuthentication,
    /// The proxy refused to connect.
    #[error("the proxy refused the connection")]
    ProxyRefused,
    /// TLS failed.
    #[error("no trusted TLS connection: {reason}")]
    Tls {
        /// The TLS library's message.
        reason: String,
    },
    /// Too many redirects, one after another.
    #[error("too many redirects")]
    Redirects,
    /// Anything else.
    #[error("{reason}")]
    Other {
        /// The innermost error's message.
        reason: String,
        /// Whether a later attempt may succeed.
        may_pass: bool,
    },
}

impl Breakdown {
    /// Classifies an error of the HTTP client.
    #[must_use]
    pub fn of(error: &reqwest::Error) -> Self {
        let outermost: &(dyn Error + 'static) = error;
        let causes: Vec<_> = std::iter::successors(Some(outermost), |cause| (*cause).source()).collect();
        // The outermost cause contains the address, which may be a signed one from a registry's redirect.
        tracing::debug!(chain = ?causes.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>(), "connection failed");
        if error.is_redirect() {
            return Self::Redirects;
        }
        if causes.iter().any(|cause| cause.to_string() == "dns error") {
            // The resolver library's own error type is hidden by the HTTP client.
            let unknown = causes.iter().any(|cause| cause.to_string().contains("no records found"));
            return if unknown { Self::UnknownName } else { Self::NoNameServer };
        }
        if let Some(tls) = causes.iter().find_map(|cause| tls_error(*cause)) {
            let no_tls = matches!(tls, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType));
            return if no_tls { Self::NoTls } else { Self::Tls { reason: tls.to_string() } };
        }
        // The HTTP library's own error type has no public name.
        let said = |text: &str| causes.iter().any(|cause| cause.to_string().contains(text));
        if said("proxy authorization required") {
            return Self::ProxyAuthentication;
        }
        if said("tunnel error: unsuccessful") {
            return Self::ProxyRefused;
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

    /// Whether it failed before there was a connection.
    #[must_use]
    pub fn is_before_connection(&self) -> bool {
        matches!(
            self,
            Self::UnknownName
                | Self::NoNameServer
                | Self::Refused
                | Self::NoRoute
                | Self::NoTls
                | Self::ProxyAuthentication
                | Self::ProxyRefused
                | Self::Tls { .. }
        )
    }

    /// Whether a later attempt may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Redirects | Self::NoTls | Self::ProxyAuthentication => false,
            Self::Other { may_pass, .. } => *may_pass,
            _ => true,
        }
    }
}

/// The TLS library's error, which is inside of nested I/O errors.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref().or_else(|| tls_error(cause.downcast_ref::<io::Error>()?.get_ref()?))
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

    #[test]
    fn an_error_of_tls_is_found_within_others() {
        let tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls.clone()));
        assert_eq!(tls_error(&wrapped), Some(&tls));
        assert_eq!(tls_error(&io::Error::other("another")), None);
    }
}
