//! From an error to what a person sees and what a script gets: the chain, a hint, an exit code.

use std::fmt::Write as _;
use std::process::ExitCode;

use kbundle::catalog::CatalogError;
use kbundle::destination::DestinationError;
use kbundle::fetch::FetchError;
use kbundle::interrupt::Interrupted;
use kbundle::lock::LockError;
use kbundle::pack::PackError;
use kbundle::resolve::{Loose, ResolveError};
use kbundle::spec::SpecError;
use kbundle_format::ReadError;
use kbundle_format::attestation::AttestationError;
use kbundle_format::compose::ComposeError;
use kbundle_format::signature::TrustError;
use kbundle_format::source::SourceError;
use kbundle_format::volume::VolumeError;
use kbundle_format::write::WriteError;

/// How a command ended that did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Something broke.
    Failed = 1,
    /// What was asked makes no sense.
    Usage = 2,
    /// What was found was not accepted; nothing was changed.
    Refused = 3,
}

/// An outcome and advice that a command gives along with its own message.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was asked makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// Nothing was changed, on purpose.
    #[error("{what}")]
    Refused {
        /// What was refused and why.
        what: String,
        /// What to do instead.
        hint: String,
    },
}

/// The text for stderr.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut before = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Transparent errors say the same as what they hold.
        if cause != before {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  caused by: {cause}");
        }
        before = cause;
    }
    if let Some(hint) = error.chain().find_map(hint) {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

/// The exit code: 1 failed, 2 usage, 3 refused, 130 and 143 interrupted.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(interrupted.exit_code());
    }
    ExitCode::from(error.chain().find_map(outcome).unwrap_or(Outcome::Failed) as u8)
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn outcome(cause: Cause<'_>) -> Option<Outcome> {
    if let Some(error) = cause.downcast_ref::<CommandError>() {
        return Some(match error {
            CommandError::Usage { .. } => Outcome::Usage,
            CommandError::Refused { .. } => Outcome::Refused,
        });
    }
    if let Some(error) = cause.downcast_ref::<DestinationError>() {
        let outcome = if error.is_refusal() { Outcome::Refused } else { Outcome::Usage };
        return (error.is_refusal() || error.is_usage()).then_some(outcome);
    }
    if let Some(error) = cause.downcast_ref::<FetchError>() {
        return Some(if error.is_refusal() { Outcome::Refused } else { Outcome::Failed });
    }
    if let Some(error) = read_error(cause) {
        return Some(if could_not_read(error) { Outcome::Failed } else { Outcome::Refused });
    }
    if let Some(error) = volume_error(cause) {
        return Some(match error {
            VolumeError::File { .. } => Outcome::Failed,
            VolumeError::Unusable { .. } => Outcome::Usage,
            _ => Outcome::Refused,
        });
    }
    if let Some(error) = cause.downcast_ref::<ResolveError>() {
        let refused = matches!(error, ResolveError::Unpinned { .. } | ResolveError::TwoDigests { .. });
        return Some(if refused { Outcome::Refused } else { Outcome::Usage });
    }
    if let Some(PackError::Write(WriteError::Content { .. })) = cause.downcast_ref() {
        return Some(Outcome::Refused);
    }
    let broke = |failed: bool| if failed { Outcome::Failed } else { Outcome::Usage };
    cause
        .downcast_ref::<SpecError>()
        .map(|error| broke(matches!(error, SpecError::Read { .. })))
        .or_else(|| cause.downcast_ref().map(|error| broke(matches!(error, CatalogError::Read { .. }))))
        .or_else(|| cause.downcast_ref().map(|error| broke(matches!(error, LockError::Read { .. }))))
        .or_else(|| cause.is::<TrustError>().then_some(Outcome::Refused))
        .or_else(|| cause.is::<AttestationError>().then_some(Outcome::Refused))
        .or_else(|| matches!(cause.downcast_ref(), Some(ComposeError::NotCarried { .. })).then_some(Outcome::Refused))
}

/// The error of a reader; transparent errors hide it from the chain.
fn read_error(cause: Cause<'_>) -> Option<&ReadError> {
    match cause.downcast_ref() {
        Some(ComposeError::Read(error)) => Some(error),
        _ => cause.downcast_ref(),
    }
}

/// The error about volumes; transparent errors hide it from the chain.
fn volume_error(cause: Cause<'_>) -> Option<&VolumeError> {
    match cause.downcast_ref() {
        Some(SourceError::Volume(error)) => Some(error),
        _ => match cause.downcast_ref() {
            Some(ReadError::Source(SourceError::Volume(error))) => Some(error),
            _ => cause.downcast_ref(),
        },
    }
}

/// Whether the disk is to blame rather than what is on it.
fn could_not_read(error: &ReadError) -> bool {
    matches!(error, ReadError::Source(SourceError::Open { .. }) | ReadError::Sink { .. })
}

fn hint(cause: Cause<'_>) -> Option<String> {
    if let Some(CommandError::Usage { hint, .. } | CommandError::Refused { hint, .. }) = cause.downcast_ref() {
        return Some(hint.clone());
    }
    if let Some(error) = cause.downcast_ref::<DestinationError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(interrupted) = cause.downcast_ref::<Interrupted>() {
        return Some(interrupted.hint().to_owned());
    }
    if let Some(error) = cause.downcast_ref::<FetchError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ResolveError>() {
        return match error {
            ResolveError::Addon { name, .. } if name == "calico" => {
                Some("choose another pod network with `--cni`; `--cni bridge` needs no add-on, for hosts on one flat network".to_owned())
            }
            ResolveError::Release { .. } => Some("give a catalog that has it with `--catalog PATH`".to_owned()),
            ResolveError::Unpinned { loose, pinned_networks } => Some(unpinned_hint(loose, pinned_networks)),
            _ => None,
        };
    }
    if let Some(SpecError::NoVersion) = cause.downcast_ref() {
        return Some("say which with `--k8s 1.25.2`, or in bundle.yaml as `kubernetes: 1.25.2`".to_owned());
    }
    if let Some(PackError::Cache { .. } | PackError::Write(WriteError::Content { .. } | WriteError::Read { .. })) =
        cause.downcast_ref()
    {
        return Some("the cache changed while the bundle was written; run the same command again".to_owned());
    }
    if let Some(ReadError::Trust(error)) = cause.downcast_ref() {
        return trust_hint(error);
    }
    if let Some(ComposeError::NotCarried { .. } | ComposeError::Read(ReadError::Missing { .. })) = cause.downcast_ref()
    {
        return Some("give the older bundles that hold it as well".to_owned());
    }
    if let Some(error) = volume_error(cause) {
        return volume_hint(error).map(str::to_owned);
    }
    if let Some(ReadError::Missing { .. }) = cause.downcast_ref() {
        return Some(
            "copy the file again; a differential bundle needs its base (`--base`, or `kbundle join`), one for a role `--role`"
                .to_owned(),
        );
    }
    if let Some(AttestationError::Subject { .. } | AttestationError::Shape { .. }) = cause.downcast_ref() {
        return Some("the provenance was exchanged; get the bundle again from where it was built".to_owned());
    }
    if let Some(error) = read_error(cause) {
        return (!could_not_read(error))
            .then(|| "copy the file again from where it was built, and verify it there as well".to_owned());
    }
    cause.downcast_ref::<TrustError>().and_then(trust_hint)
}

fn volume_hint(error: &VolumeError) -> Option<&'static str> {
    Some(match error {
        VolumeError::Missing { .. } => {
            "name every folder or stick with volumes (`--volumes DIR`), or rebuild what is lost with `kbundle repair`"
        }
        VolumeError::Header { .. } | VolumeError::Length { .. } => {
            "copy the volume again, or move it away and rebuild it with `kbundle repair`"
        }
        VolumeError::Mixed { .. } => {
            "name one volume of the bundle that is meant, or keep bundles in folders of their own"
        }
        VolumeError::BeyondRepair { .. } => "copy at least one of them again from where the bundle was built",
        _ => return None,
    })
}

fn unpinned_hint(loose: &[Loose], pinned_networks: &[String]) -> String {
    let mut ways = vec![
        "`--trust-on-first-use` takes it as it comes, and the bundle's list then holds its digest (with `kbundle lock`, a lock for later builds)".to_owned(),
        "or give its digest, in the catalog or by `--add-image`".to_owned(),
    ];
    if !pinned_networks.is_empty() {
        ways.push(format!("or choose another pod network: `--cni {}`", pinned_networks.join("` or `--cni ")));
    }
    if loose.iter().any(|loose| loose.of.as_ref().is_some_and(|of| of.name == "haproxy")) {
        ways.push("`--load-balancer none` leaves HAProxy out, for a single control plane".to_owned());
    }
    ways.join("; ")
}

fn trust_hint(error: &TrustError) -> Option<String> {
    match error {
        TrustError::Unsigned | TrustError::NotEnough { .. } => Some(
            "sign it with `kbundle sign`, give a detached signature with `--signature`, or check that `--key` is the signer's"
                .to_owned(),
        ),
        TrustError::Threshold { .. } => Some("give as many different `--key` files as `--threshold` asks for".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use kbundle_format::Digest;

    #[test]
    fn names_what_happened_to_what_and_what_to_do() {
        let error = FetchError::DigestMismatch {
            url: "https://dl.k8s.io/kubelet".to_owned(),
            expected: Digest::of(b"genuine"),
            actual: Digest::of(b"other"),
        };
        let error = Err::<(), _>(error).context("while fetching").unwrap_err();
        assert_eq!(exit_code(&error), ExitCode::from(3));
        insta::assert_snapshot!(render(&error));
    }

    #[test]
    fn a_missing_file_failed_and_a_wrong_one_is_usage() {
        let missing = SpecError::Read { path: "bundle.yaml".into(), source: std::io::ErrorKind::NotFound.into() };
        assert_eq!(exit_code(&missing.into()), ExitCode::from(1));
        assert_eq!(exit_code(&SpecError::NoVersion.into()), ExitCode::from(2));
        assert_eq!(exit_code(&TrustError::Unsigned.into()), ExitCode::from(3));
        assert_eq!(exit_code(&anyhow::anyhow!("other")), ExitCode::from(1));
    }
}
