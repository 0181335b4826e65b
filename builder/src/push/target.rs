//! The registry that images are copied to, and their names there.

use std::fmt;
use std::str::FromStr;

use kbundle_format::ImageRef;

use crate::mirror::{MirrorAddress, Repository, Scheme};

/// The prefix of an image's own path in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Only the given prefix: `docker.io/library/nginx` becomes `PREFIX/library/nginx`.
    Path,
    /// The prefix and the upstream registry: `PREFIX/docker.io/library/nginx`.
    WithRegistry,
}

/// `REGISTRY[/PREFIX]`, with a leading `http://` if the registry has no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    address: MirrorAddress,
    naming: Naming,
}

/// The text is not a registry.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is not a registry; expected `REGISTRY[/PREFIX]`, such as `registry.example.com/k8s`, or `http://REGISTRY[/PREFIX]` without TLS"
)]
pub struct PushTargetError {
    text: String,
}

impl FromStr for PushTarget {
    type Err = PushTargetError;

    fn from_str(text: &str) -> Result<Self, PushTargetError> {
        let error = || PushTargetError { text: text.to_owned() };
        let bare = text.strip_prefix("docker://").unwrap_or(text);
        let address = if bare.contains("://") { bare.to_owned() } else { format!("https://{bare}") };
        let address: MirrorAddress = address.parse().map_err(|_| error())?;
        let path = address.repository("x").path;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
        if path.bytes().all(plain) && !path.contains("//") {
            Ok(Self { address, naming: Naming::Path })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repository { scheme, host, path } = self.address.repository("");
        let scheme = if scheme == Scheme::Http { "http://" } else { "" };
        let path = path.trim_matches('/');
        write!(f, "{scheme}{host}{}{path}", if path.is_empty() { "" } else { "/" })
    }
}

impl PushTarget {
    /// The same target with other names for images.
    #[must_use]
    pub fn with_naming(self, naming: Naming) -> Self {
        Self { naming, ..self }
    }

    /// The repository for `image`.
    pub(super) fn repository(&self, image: &ImageRef) -> Repository {
        match self.naming {
            Naming::Path => self.address.repository(image.repository()),
            // A port's colon ends a name.
            Naming::WithRegistry => {
                let registry = image.registry().to_lowercase().replace(':', "-");
                self.address.repository(&format!("{registry}/{}", image.repository()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_keep_their_path_below_the_prefix() {
        let there = |target: &str, naming, image: &str| {
            let target = PushTarget { naming, ..target.parse().unwrap() };
            let Repository { scheme, host, path } = target.repository(&image.parse().unwrap());
            format!("{}://{host}/{path}", scheme.as_str())
        };
        assert_eq!(
            there("harbor.example/k8s", Naming::Path, "registry.k8s.io/coredns/coredns:v1"),
            "https://harbor.example/k8s/coredns/coredns"
        );
        assert_eq!(there("http://127.0.0.1:5000", Naming::Path, "quay.io/a:1"), "http://127.0.0.1:5000/a");
        assert_eq!(
            there("r.example:5000/a/b/", Naming::WithRegistry, "127.0.0.1:5001/c:1"),
            "https://r.example:5000/a/b/127.0.0.1-5001/c"
        );
    }

    #[test]
    fn a_target_reads_as_it_was_written() {
        for text in ["registry.example", "registry.example:5000/k8s", "http://127.0.0.1:5000/a/b"] {
            assert_eq!(text.parse::<PushTarget>().unwrap().to_string(), text);
        }
        assert_eq!("docker://r.example/k8s/".parse::<PushTarget>().unwrap().to_string(), "r.example/k8s");
        for wrong in ["", "r.example/K8s", "r.example/a//b", "ftp://r.example", "user:secret@r.example", "r.example?x"]
        {
            assert!(wrong.parse::<PushTarget>().is_err(), "{wrong}");
        }
    }
}
