//! Exit codes and hints on the command line for the errors of this library.

use kbundle_cli::failure::{Explain, Kind};
use kbundle_format::ComponentName;
use kbundle_format::write::WriteError;

use crate::audit::PolicyError;
use crate::catalog::CatalogError;
use crate::catalog::draft::DraftError;
use crate::chart::{ChartError, ChartSettingsError};
use crate::fetch::{FetchError, KeepImageError, LocalFileError};
use crate::image_file::ImageFileError;
use crate::lock::LockError;
use crate::os_packages::{OsPackageError, OsPackageSettingsError};
use crate::pack::PackError;
use crate::push::PushError;
use crate::registry::CredentialError;
use crate::reproduce::ReproduceError;
use crate::resolve::{Loose, ResolveError};
use crate::settings_file::SettingsFileError;
use crate::site::SiteError;
use crate::spec::SpecError;

impl Explain for FetchError {
    fn kind(&self) -> Kind {
        match self {
            Self::Credentials { source } => source.kind(),
            Self::Chart { source, .. } => source.kind(),
            Self::ChartImages { source, .. } => source.kind(),
            Self::OsPackages { source, .. } => source.kind(),
            _ if self.is_refusal() => Kind::Refused,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Chart { source, .. } => source.hint(),
            Self::ChartImages { source, .. } => source.hint(),
            Self::OsPackages { source, .. } => source.hint(),
            _ => self.hint(),
        }
    }
}

impl Explain for ChartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Run { .. } => Kind::Failed,
            Self::OtherDigest { .. } | Self::Archive { .. } | Self::NoChartArtifact { .. } => Kind::Refused,
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Render { .. } | Self::Objects { .. } => {
                Some("correct the chart, or its values in bundle.yaml".to_owned())
            }
            _ => None,
        }
    }
}

impl Explain for OsPackageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoPackage { .. } | Self::NoIndex { .. } | Self::Unsatisfied { .. } | Self::Conflict { .. } => {
                Kind::Usage
            }
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Signature { .. } => {
                "nothing of it was used; name the archive's keys with `keyring` in bundle.yaml, or ask the operator of the mirror"
            }
            Self::Expired { .. } => {
                "nothing of it was used; check the clock of this machine, or take another mirror with `mirror` in bundle.yaml"
            }
            Self::Suite { .. } => {
                "name the suite as the archive does with `suites` in bundle.yaml, or take another mirror"
            }
            Self::NoPackage { .. } | Self::NoIndex { .. } => {
                "correct `packages`, or add to `suites` and `components`, in bundle.yaml"
            }
            Self::Unsatisfied { .. } => {
                "add to `suites` and `components` in bundle.yaml, or name what hosts have with `installed`"
            }
            Self::Conflict { .. } => "leave one of them out of `packages` in bundle.yaml",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl Explain for OsPackageSettingsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            Self::Keyring { .. } | Self::Settings { .. } => Kind::Usage,
        }
    }
}

impl Explain for ChartSettingsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            Self::Settings { .. } => Kind::Usage,
        }
    }
}

impl Explain for CredentialError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            Self::Syntax { .. } | Self::Entry { .. } => Kind::Usage,
            Self::Helper { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Helper { helper, registry, .. } => Some(format!("`echo {registry} | {helper} get` shows why")),
            _ => Some("`skopeo login REGISTRY` writes such a file; `--registry-config FILE` names another".to_owned()),
        }
    }
}

impl Explain for PushError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Collision { .. } | Self::NoImages | Self::Image { .. } => Kind::Refused,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        self.hint()
    }
}

impl Explain for SettingsFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            _ => Kind::Usage,
        }
    }
}

impl Explain for PolicyError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::ReadRego { source, .. } => Kind::of_file(source),
            Self::Value { .. } | Self::Rego(_) => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("correct the file; `baseline` and `strict` are built in".to_owned())
    }
}

impl Explain for SpecError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::Site(error) => error.kind(),
            Self::Chart(error) => error.kind(),
            Self::OsPackages(error) => error.kind(),
            Self::Image(error) => error.kind(),
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoVersion => {
                Some("name one with `--k8s 1.25.2`, or in bundle.yaml with `kubernetes: 1.25.2`".to_owned())
            }
            Self::Image(error) => Explain::hint(error),
            _ => None,
        }
    }
}

impl Explain for SiteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            _ => Kind::Usage,
        }
    }
}

impl Explain for LocalFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            Self::Changed { .. } => Kind::Refused,
            Self::Cache(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => {
                Some("a lock and its files stay together: keep kbundle.lock beside bundle.yaml".to_owned())
            }
            Self::Changed { .. } => Some("make the lock again with `kbundle lock`, or put the file back".to_owned()),
            Self::Cache(error) => Explain::hint(error),
        }
    }
}

impl Explain for ImageFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            Self::Choice { .. } => Kind::Usage,
            Self::Refused { .. } | Self::Changed { .. } => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { .. } => Some(
                "copy the image again: `skopeo copy docker://IMAGE oci:FOLDER:TAG`, or `docker save IMAGE -o FILE`"
                    .to_owned(),
            ),
            Self::Changed { .. } => {
                Some("make the lock again with `kbundle lock`, correct the digest, or put the file back".to_owned())
            }
            Self::Read { .. } | Self::Choice { .. } => None,
        }
    }
}

impl Explain for KeepImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::Cache(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Cache(error) => Explain::hint(error),
        }
    }
}

impl Explain for CatalogError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            _ => Kind::Usage,
        }
    }
}

impl Explain for DraftError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Known { version } => Some(format!("build it with `kbundle build --k8s {version}`")),
            Self::NothingNear { .. } => Some("`kbundle catalog list` shows what there is; a catalog of your own needs a release of this minor, or of the one before".to_owned()),
            Self::NoVersion { .. } => None,
        }
    }
}

impl Explain for LockError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } => Kind::of_file(source),
            _ => Kind::Usage,
        }
    }
}

impl Explain for PackError {
    fn kind(&self) -> Kind {
        match self {
            Self::Write(error) => error.kind(),
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Cache { .. } | Self::Write(WriteError::Content { .. } | WriteError::Read { .. }))
            .then(|| "the cache changed while the bundle was written; run the same command again".to_owned())
    }
}

impl Explain for ReproduceError {
    fn kind(&self) -> Kind {
        Kind::Failed
    }
}

impl Explain for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unpinned { .. } | Self::TwoDigests { .. } => Kind::Refused,
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Addon { name, .. } if name == ComponentName::Calico.as_str() => {
                Some("choose another pod network with `--cni`; `--cni bridge` needs no add-on, for hosts on one flat network".to_owned())
            }
            Self::Release { .. } => Some("`kbundle catalog list` shows all; `--trust-on-first-use` takes a release that the catalog lacks from upstream as it comes, `kbundle catalog add` pins it for review, and `--catalog PATH` names a catalog that has it".to_owned()),
            Self::SiteImage { .. } => Some(
                "name it with its registry and tag in the manifest, or leave it out of the bundle with `left-out-images` in bundle.yaml".to_owned(),
            ),
            Self::Needed { name, is_in_catalog: true, .. } => Some(format!("add it with `--addon {name}`, or `addons: [{name}]` in bundle.yaml")),
            Self::Needed { .. } | Self::UnknownInAfter { .. } => Some(
                "correct the name under `after`, or add what it stands for; the pod network runs before all add-ons".to_owned(),
            ),
            Self::Circle { .. } => Some("remove one of them from `after` in bundle.yaml or in the catalog".to_owned()),
            Self::Unpinned { loose, pinned_networks } => Some(unpinned_hint(loose, pinned_networks)),
            _ => None,
        }
    }
}

fn unpinned_hint(loose: &[Loose], pinned_networks: &[String]) -> String {
    let mut ways = vec![
        "`--trust-on-first-use` takes it as it comes, and the bundle's list then holds its digest (with `kbundle lock`, a lock for later builds)".to_owned(),
        "or give its digest, in the catalog or by `--add-image`".to_owned(),
    ];
    if !pinned_networks.is_empty() {
        ways.push(format!("or choose another pod network: `--cni {}`", pinned_networks.join("` or `--cni ")));
    }
    if loose.iter().any(|loose| loose.of.as_ref().is_some_and(|of| of.is(ComponentName::Haproxy))) {
        ways.push("`--load-balancer none` leaves HAProxy out, for a single control plane".to_owned());
    }
    ways.join("; ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;
    use kbundle_cli::failure::{Explained as _, kind, message};
    use kbundle_format::Digest;

    use super::*;

    #[test]
    fn names_what_happened_to_what_and_what_to_do() {
        let error = FetchError::DigestMismatch {
            url: "https://dl.k8s.io/kubelet".to_owned(),
            expected: Digest::of(b"genuine"),
            actual: Digest::of(b"other"),
        };
        let error = Err::<(), _>(error).explained().context("while fetching").unwrap_err();
        assert_eq!(kind(&error), Kind::Refused);
        insta::assert_snapshot!(message(&error));
    }

    #[test]
    fn a_file_that_is_not_there_is_usage_and_a_bad_disk_failed() {
        let read = |kind: io::ErrorKind| SettingsFileError::Read { path: "bundle.yaml".into(), source: kind.into() };
        assert_eq!(read(io::ErrorKind::NotFound).kind(), Kind::Usage);
        assert_eq!(read(io::ErrorKind::Other).kind(), Kind::Failed);
        assert_eq!(SpecError::NoVersion.kind(), Kind::Usage);
    }
}
