//! Exit codes and hints on a command line for the errors of `kbundle-format`.
//!
//! A hint names a command only if the running program has it ([`typed`]): the other program may not be on this machine.

use kbundle_format::attestation::AttestationError;
use kbundle_format::audit_record::AuditRecordError;
use kbundle_format::bases::Bases;
use kbundle_format::compose::ComposeError;
use kbundle_format::diagnosis::Diagnosed;
use kbundle_format::key::KeyError;
use kbundle_format::list::ListError;
use kbundle_format::revocations::RevocationsError;
use kbundle_format::sealed::OpenError;
use kbundle_format::signature::TrustError;
use kbundle_format::source::SourceError;
use kbundle_format::timestamp::TimestampError;
use kbundle_format::volume::VolumeError;
use kbundle_format::write::WriteError;
use kbundle_format::{Diagnosis, ReadError};

use crate::failure::{Explain, Kind};
use crate::program::typed;

impl Explain for SourceError {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { source } => Kind::of_file(source),
            Self::Volume(error) => error.kind(),
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Volume(error) => error.hint(),
            _ => None,
        }
    }
}

impl Explain for TimestampError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Shape { .. } => "give what the authority answered, in DER",
            Self::Refused { .. } => "ask the authority, or request it from another one",
            Self::OtherList { .. } => "use the time stamp of this bundle, or request one",
            Self::Signature { .. } => "copy the time stamp again",
            Self::Untrusted { .. } => "check the certificates of `--timestamp-authority`; the authority publishes them",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Explain for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::File { source } => Kind::of_file(source),
            Self::NeedsPassphrase | Self::NeedsIdentity => Kind::Usage,
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NeedsPassphrase => "give the file with the passphrase: `--passphrase-file FILE`",
            Self::NeedsIdentity => "give the file with the identity: `--identity FILE`",
            Self::NotSealed => "leave `--identity` and `--passphrase-file` out where it is not sealed",
            Self::Closed { .. } => "give what it was sealed to, or ask whoever sealed it",
            Self::Damaged { .. } => "copy the file again",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Explain for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::File { .. } => Kind::Failed,
            Self::Unusable { .. } => Kind::Usage,
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { .. } => {
                "name every folder or stick with volumes (`--volumes DIR`), or copy what is missing again; a parity volume beside them stands \
                 in for any one"
            }
            Self::Header { .. } | Self::Length { .. } => {
                "copy the volume again, or put a parity volume of the bundle beside it, which stands in for it"
            }
            Self::Mixed { .. } => {
                "name one volume of the bundle that is meant, or keep bundles in folders of their own"
            }
            Self::Recut { .. } => "remove the volumes of the older cut, or name one volume of the cut that is meant",
            Self::None { .. } => "give the bundle file, one of its volumes, or the folder with them",
            Self::BeyondRepair { lost, parity, .. } => {
                let count = lost.saturating_sub(*parity);
                return Some(format!(
                    "plug in or copy again at least {count} of them, and name every folder that has volumes"
                ));
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Explain for ReadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Trust(error) => error.kind(),
            Self::Near { source, .. } => source.kind(),
            Self::Sink { .. } => Kind::Failed,
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Trust(error) => return error.hint(),
            Self::Source(error) => return error.hint(),
            Self::NotABundle { .. } => return Diagnosis::of_stream(self).advice().map(str::to_owned),
            Self::Near { source, .. } => return source.hint(),
            Self::Sink { .. } => return None,
            Self::Missing { .. } => return Some(completion(None)),
            Self::List(ListError::Version { .. }) => "use a program of the release that built the bundle",
            _ => "copy the file again from where it was built, and verify it there as well",
        };
        Some(hint.to_owned())
    }
}

/// What to do about a bundle that does not carry everything in its list and says that `bases` complete it.
#[must_use]
pub fn completion(bases: Option<&Bases>) -> String {
    let join = typed("join").map(|join| format!(", or complete it with `{join}`")).unwrap_or_default();
    let role = typed("verify")
        .map(|verify| format!("; one for a role is verified with `{verify} --role`"))
        .unwrap_or_default();
    match bases {
        Some(bases) => format!("it is a differential bundle; give its base with `--base`{join}: {bases}"),
        None => format!(
            "if it is a differential bundle, give its base with `--base`{join}{role}; if it is neither, copy it again"
        ),
    }
}

impl Explain for Diagnosed {
    fn kind(&self) -> Kind {
        self.source.kind()
    }

    fn hint(&self) -> Option<String> {
        self.diagnosis.advice().map(str::to_owned).or_else(|| self.source.hint())
    }
}

impl Explain for RevocationsError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Untrusted { .. } => {
                "add the key that signed the list with `--key`, or get the list from its signer again"
            }
            _ => "copy the list from its signer again",
        };
        Some(hint.to_owned())
    }
}

impl Explain for TrustError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoKeys | Self::Threshold { .. } => Kind::Usage,
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match (self, typed("sign")) {
            (Self::Unsigned | Self::NotEnough { .. }, Some(sign)) => format!(
                "sign it with `{sign}`, give a detached signature with `--signature`, or check that `--key` is the signer's"
            ),
            (Self::Unsigned, None) => {
                "have it signed where it was built, or give a signature that lies beside it with `--signature`"
                    .to_owned()
            }
            (Self::NotEnough { .. }, None) => "check the key with whoever signs your bundles".to_owned(),
            (Self::Revoked { .. }, _) => {
                "get a newer bundle, or ask whoever signed the list of revocations; nothing was changed".to_owned()
            }
            (Self::Threshold { .. }, _) => "give as many different `--key` files as `--threshold` asks for".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

impl Explain for KeyError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl Explain for AttestationError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn hint(&self) -> Option<String> {
        let exchanged = matches!(self, Self::Subject { .. } | Self::Shape { .. });
        exchanged.then(|| "the provenance was replaced; get the bundle again from where it was built".to_owned())
    }
}

impl Explain for AuditRecordError {
    fn kind(&self) -> Kind {
        Kind::Refused
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Attestation(AttestationError::Untrusted { .. }) => {
                "check the key of `--require-audit` with whoever audits your bundles"
            }
            Self::Attestation(AttestationError::Altered { .. }) => {
                "get the record again from whoever audited the bundle"
            }
            Self::Attestation(AttestationError::Subject { .. }) => {
                "use the record that was made of this bundle, or have this bundle audited"
            }
            Self::Attestation(_) => "have the bundle audited again, by a program of this release",
            Self::Refused { .. } => {
                "use a bundle that passes, or have whoever answers for it waive the verdict and audit it again"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Explain for ComposeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotCarried { .. } | Self::Read(ReadError::Missing { .. }) => {
                Some("give the older bundles that hold it as well".to_owned())
            }
            Self::Read(error) => error.hint(),
            _ => None,
        }
    }
}

impl Explain for WriteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Content { .. } => Kind::Refused,
            _ => Kind::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_wrong_path_is_the_users_mistake_and_a_bad_disk_is_not() {
        let open = |kind: io::ErrorKind| SourceError::Open { source: kind.into() };
        assert_eq!(open(io::ErrorKind::NotFound).kind(), Kind::Usage);
        assert_eq!(ReadError::from(open(io::ErrorKind::Other)).kind(), Kind::Failed);
    }

    #[test]
    fn a_signature_that_is_missing_is_refused_and_an_impossible_threshold_is_usage() {
        assert_eq!(ReadError::from(TrustError::Unsigned).kind(), Kind::Refused);
        let error = TrustError::Threshold { threshold: 3, keys: 1 };
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.hint().is_some_and(|hint| hint.contains("--threshold")));
    }

    #[test]
    fn what_wraps_another_error_says_what_that_says() {
        let damaged = || ReadError::CutOff { missing: "in the list".to_owned() };
        let composed = ComposeError::from(damaged());
        assert_eq!((composed.kind(), composed.hint()), (damaged().kind(), damaged().hint()));
    }
}
