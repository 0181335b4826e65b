//! Names with a fixed form: entry paths, image references, platforms, Kubernetes versions.
//!
//! Only `FromStr` makes them, also for serde, so that a value of the type is always well formed.

use std::fmt;
use std::str::FromStr;

use crate::limits::MAX_PATH_BYTES;
use crate::text::TextError;
use crate::{Digest, text_type};

/// The path of an entry in the bundle: a relative path of plain ASCII names joined by `/`, at most 100 bytes.
///
/// Names have only letters, digits, `.`, `_`, `-` and `+`, and none starts with a dot. So no file system takes two of them for the same,
/// except by case, which [`crate::BundleList::parse`] refuses.
///
/// ```
/// use kbundle_format::EntryPath;
///
/// let path: EntryPath = "artifacts/linux-amd64/kubelet".parse()?;
/// assert_eq!(path.as_str(), "artifacts/linux-amd64/kubelet");
/// assert!("../etc/passwd".parse::<EntryPath>().is_err());
/// # Ok::<(), kbundle_format::text::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(String);

impl EntryPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a blob in an OCI image layout: `blobs/sha256/HEX`.
    #[must_use]
    pub fn blob(digest: &Digest) -> Self {
        Self(format!("blobs/sha256/{}", digest.hex()))
    }
}

impl FromStr for EntryPath {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        let good = text.len() <= MAX_PATH_BYTES
            && text.split('/').all(|name| !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(text, "an entry path (relative, plain ASCII names, at most 100 bytes)"))
        }
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(EntryPath, r"^[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*$");

/// An operating system and an architecture, named as in OCI and Go: `linux/amd64`.
///
/// ```
/// use kbundle_format::Platform;
///
/// let platform: Platform = "linux/arm64".parse()?;
/// assert_eq!((platform.os(), platform.architecture()), ("linux", "arm64"));
/// # Ok::<(), kbundle_format::text::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
}

impl Platform {
    /// The operating system, such as `linux`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture by Go's name, such as `amd64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The platform for which this program was compiled.
    #[must_use]
    pub fn of_this_program() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: std::env::consts::OS.to_owned(), architecture: architecture.to_owned() }
    }
}

impl FromStr for Platform {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        match text.split_once('/') {
            Some((os, architecture)) if plain(os) && plain(architecture) => {
                Ok(Self { os: os.to_owned(), architecture: architecture.to_owned() })
            }
            _ => Err(TextError::new(text, "a platform such as `linux/amd64`")),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

text_type!(Platform, "^[a-z0-9]+/[a-z0-9]+$");

/// A Kubernetes release: `1.25.2`, read with or without a leading `v`, written without.
///
/// ```
/// use kbundle_format::KubeVersion;
///
/// let version: KubeVersion = "1.25.2".parse()?;
/// assert_eq!(version.minor(), (1, 25));
/// # Ok::<(), kbundle_format::text::TextError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubeVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl KubeVersion {
    /// A version from its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Major and minor, such as `(1, 25)`.
    #[must_use]
    pub fn minor(&self) -> (u16, u16) {
        (self.major, self.minor)
    }
}

impl FromStr for KubeVersion {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let number = |part: &str| match part.as_bytes() {
            [b'0'] | [b'1'..=b'9', ..] if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
            _ => None,
        };
        let parts: Option<Vec<u16>> = text.strip_prefix('v').unwrap_or(text).split('.').map(number).collect();
        match parts.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(TextError::new(text, "a Kubernetes version such as `1.25.2`")),
        }
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

text_type!(KubeVersion, r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$");

/// A full image reference: registry, repository and tag, such as `registry.k8s.io/pause:3.8`, or digest in place of the tag.
///
/// The registry is always explicit; Docker's defaults are not filled in.
///
/// ```
/// use kbundle_format::ImageRef;
///
/// let image: ImageRef = "registry.k8s.io/coredns/coredns:v1.9.3".parse()?;
/// assert_eq!((image.registry(), image.repository(), image.tag()), ("registry.k8s.io", "coredns/coredns", Some("v1.9.3")));
/// # Ok::<(), kbundle_format::text::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    version: ImageVersion,
}

/// Selects one of a repository's images.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum ImageVersion {
    Tag(String),
    Digest(Digest),
}

impl ImageRef {
    /// Host, and port if one is given: `registry.k8s.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path on the registry: `coredns/coredns`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: `v1.9.3`. A reference by digest has none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            ImageVersion::Tag(tag) => Some(tag),
            ImageVersion::Digest(_) => None,
        }
    }

    /// The digest, if there is one in place of the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self.version {
            ImageVersion::Tag(_) => None,
            ImageVersion::Digest(digest) => Some(digest),
        }
    }

    /// The last part of the repository: `coredns` of `registry.k8s.io/coredns/coredns:v1.9.3`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }
}

impl FromStr for ImageRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let parts = text.split_once('/').and_then(|(registry, rest)| {
            if let Some((repository, digest)) = rest.split_once('@') {
                return Some((registry, repository, ImageVersion::Digest(digest.parse().ok()?)));
            }
            let (repository, tag) = rest.rsplit_once(':')?;
            let is_tag = (1..=128).contains(&tag.len()) && tag.bytes().all(word);
            is_tag.then(|| (registry, repository, ImageVersion::Tag(tag.to_owned())))
        });
        let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        let path = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        match parts {
            Some((registry, repository, version))
                if (registry.contains(['.', ':']) || registry == "localhost")
                    && registry.bytes().all(host)
                    && repository
                        .split('/')
                        .all(|name| !name.is_empty() && name.bytes().all(path) && !name.starts_with('.')) =>
            {
                Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), version })
            }
            _ => Err(TextError::new(text, "an image reference such as `registry.k8s.io/pause:3.8`")),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, version } = self;
        match version {
            ImageVersion::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            ImageVersion::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

text_type!(ImageRef, r"^[A-Za-z0-9.:-]+/[a-z0-9._/-]+(:[A-Za-z0-9._-]{1,128}|@sha256:[0-9a-f]{64})$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_paths_stay_inside_and_plain() {
        for good in ["bundle.json", "bin/linux-amd64/kubelet", "a+b_c-1.2/x"] {
            assert_eq!(good.parse::<EntryPath>().unwrap().as_str(), good);
        }
        let long = "x".repeat(101);
        for bad in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "../x",
            "a/../b",
            "./a",
            "a/.hidden",
            "a b",
            "a\\b",
            "naïve",
            "a\0b",
            &long,
        ] {
            assert!(bad.parse::<EntryPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn image_references_are_complete() {
        let image: ImageRef = "registry.k8s.io/coredns/coredns:v1.9.3".parse().unwrap();
        assert_eq!(
            (image.registry(), image.repository(), image.tag()),
            ("registry.k8s.io", "coredns/coredns", Some("v1.9.3"))
        );
        assert_eq!(image.short_name(), "coredns");
        let digest = Digest::of(b"image");
        let text = format!("registry.k8s.io/pause@{digest}");
        let by_digest: ImageRef = text.parse().unwrap();
        assert_eq!((by_digest.tag(), by_digest.digest()), (None, Some(digest)));
        assert_eq!(by_digest.to_string(), text);
        assert_eq!("127.0.0.1:5000/pause:3.2".parse::<ImageRef>().unwrap().registry(), "127.0.0.1:5000");
        for bad in [
            "pause:3.2",
            "library/busybox:1",
            "registry.k8s.io/pause",
            "registry.k8s.io/Pause:1",
            "registry.k8s.io/a/../b:1",
            "r.io/:1",
            "r.io/x:",
            "r.io/x@sha256:1",
            "r.io/x:1@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_three_plain_numbers() {
        assert_eq!("v1.25.2".parse::<KubeVersion>().unwrap().to_string(), "1.25.2");
        assert!("1.9.0".parse::<KubeVersion>().unwrap() < "1.25.2".parse().unwrap());
        for bad in ["1.25", "1.25.2.1", "1.25.x", "1.25.02", "+1.2.3", "1.25.2-rc.0", ""] {
            assert!(bad.parse::<KubeVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn platforms_are_two_words() {
        assert_eq!("linux/arm64".parse::<Platform>().unwrap().architecture(), "arm64");
        for bad in ["linux", "linux/", "/amd64", "linux/arm/v7", "Linux/amd64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
