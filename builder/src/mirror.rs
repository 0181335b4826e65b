//! Mirrors: the same content from another address, such as a company's proxy. Names inside a bundle stay the upstream ones.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::str::FromStr;

use kbundle_format::ImageRef;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use crate::one_or_many::one_or_many;

/// Where to fetch the content of a host or registry instead: at one place, or at several in this order.
#[derive(Clone, Debug, Default)]
pub struct Mirrors(BTreeMap<MirrorHost, Vec<MirrorAddress>>);

/// One `FROM=TO`, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The upstream host or registry.
    pub host: MirrorHost,
    /// The address that has its content.
    pub address: MirrorAddress,
}

/// The name of an upstream host or registry, with its port if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MirrorHost(String);

/// An `http` or `https` address without query and without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorAddress(Url);

/// The mirrors of one host in the form of `bundle.yaml`: an address, or a list of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorAddresses(pub Vec<MirrorAddress>);

/// The address of a repository on a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// HTTP or HTTPS.
    pub scheme: Scheme,
    /// Host and, where given, port.
    pub host: String,
    /// The repository there.
    pub path: String,
}

/// Whether to use TLS with a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS, for a registry whose mirror's address says so.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The scheme in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The text is not a host.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a host, such as `dl.k8s.io`")]
pub struct MirrorHostError {
    text: String,
}

/// The text is not a mirror.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is not a mirror; expected `HOST=http(s)://ADDRESS`, such as `dl.k8s.io=https://mirror.example/dl.k8s.io`"
)]
pub struct MirrorError {
    text: String,
}

impl FromStr for MirrorAddress {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let error = || MirrorError { text: text.to_owned() };
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| error())?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if matches!(url.scheme(), "http" | "https") && url.has_host() && plain { Ok(Self(url)) } else { Err(error()) }
    }
}

impl FromStr for MirrorHost {
    type Err = MirrorHostError;

    fn from_str(text: &str) -> Result<Self, MirrorHostError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        if !text.is_empty() && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MirrorHostError { text: text.to_owned() })
        }
    }
}

/// A map by host can so be asked with a plain text.
impl Borrow<str> for MirrorHost {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for MirrorHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kbundle_format::text::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for MirrorAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        kbundle_format::text::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for MirrorAddresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_or_many(deserializer).map(Self)
    }
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let error = || MirrorError { text: text.to_owned() };
        let (host, address) = text.split_once('=').ok_or_else(error)?;
        let address = address.parse().map_err(|_: MirrorError| error())?;
        let host = host.parse().map_err(|_: MirrorHostError| error())?;
        Ok(Self { host, address })
    }
}

impl FromIterator<Mirror> for Mirrors {
    /// Keeps the order of mirrors of one host.
    fn from_iter<I: IntoIterator<Item = Mirror>>(mirrors: I) -> Self {
        let mut by_host: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Mirror { host, address } in mirrors {
            by_host.entry(host).or_default().push(address);
        }
        Self(by_host)
    }
}

impl Mirrors {
    /// These mirrors; for a host that `flags` has mirrors of, only those of `flags`.
    #[must_use]
    pub fn overridden_by(mut self, flags: Self) -> Self {
        self.0.extend(flags.0);
        self
    }

    /// The first place for `url`: scheme and host are replaced by the mirror's address, if its host has one.
    #[must_use]
    pub fn rewrite(&self, url: &str) -> String {
        self.places(url).swap_remove(0)
    }

    /// The places to fetch `url` from, in order; at least one.
    #[must_use]
    pub fn places(&self, url: &str) -> Vec<String> {
        let Some((_, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        match self.0.get(host) {
            Some(addresses) => addresses.iter().map(|address| format!("{}{path}", address.text())).collect(),
            None => vec![url.to_owned()],
        }
    }

    /// The first place to pull `image` from.
    #[must_use]
    pub fn repository(&self, image: &ImageRef) -> Repository {
        self.repositories(image).swap_remove(0)
    }

    /// The places to pull `image` from, in order; at least one.
    #[must_use]
    pub fn repositories(&self, image: &ImageRef) -> Vec<Repository> {
        let path = image.repository();
        match self.0.get(image.registry()) {
            Some(addresses) => addresses.iter().map(|address| address.repository(path)).collect(),
            None => {
                vec![Repository { scheme: Scheme::Https, host: image.registry().to_owned(), path: path.to_owned() }]
            }
        }
    }

    /// The schemes and hosts to ask for the registry `name`, in order.
    #[must_use]
    pub fn registries(&self, name: &str) -> Vec<(Scheme, String)> {
        match self.0.get(name) {
            Some(addresses) => addresses.iter().map(|address| (address.scheme(), authority(&address.0))).collect(),
            None => vec![(Scheme::Https, name.to_owned())],
        }
    }

    /// The upstream names that have a mirror.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|MirrorHost(name)| name.as_str())
    }
}

impl MirrorAddress {
    fn scheme(&self) -> Scheme {
        if self.0.scheme() == "http" { Scheme::Http } else { Scheme::Https }
    }

    /// The repository `path` below the path of this address.
    #[must_use]
    pub fn repository(&self, path: &str) -> Repository {
        let prefix = self.0.path().trim_matches('/');
        let path = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
        Repository { scheme: self.scheme(), host: authority(&self.0), path }
    }

    fn text(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mirrors(texts: &[&str]) -> Mirrors {
        texts.iter().map(|text| text.parse::<Mirror>().unwrap()).collect()
    }

    #[test]
    fn replaces_scheme_and_host_of_a_url() {
        let mirrors = mirrors(&["dl.k8s.io=http://127.0.0.1:8090/dl.k8s.io/", "get.helm.sh=https://mirror.example"]);
        for (url, there) in [
            ("https://dl.k8s.io/release/v1/x?y", "http://127.0.0.1:8090/dl.k8s.io/release/v1/x?y"),
            ("https://get.helm.sh/a", "https://mirror.example/a"),
            ("https://dl.k8s.io.example/a", "https://dl.k8s.io.example/a"),
            ("https://example.org/dl.k8s.io/a", "https://example.org/dl.k8s.io/a"),
        ] {
            assert_eq!(mirrors.rewrite(url), there);
        }
    }

    #[test]
    fn a_registry_may_have_a_prefix() {
        let mirrors = mirrors(&["docker.io=http://127.0.0.1:5000/docker.io", "registry.k8s.io=https://mirror.example"]);
        let at = |image: &str| {
            let Repository { scheme, host, path } = mirrors.repository(&image.parse().unwrap());
            format!("{}://{host}/{path}", scheme.as_str())
        };
        assert_eq!(at("docker.io/flannel/flannel:v1"), "http://127.0.0.1:5000/docker.io/flannel/flannel");
        assert_eq!(at("registry.k8s.io/pause:3.8"), "https://mirror.example/pause");
        assert_eq!(at("quay.io/cilium/cilium:v1"), "https://quay.io/cilium/cilium");
    }

    #[test]
    fn several_mirrors_of_a_host_keep_their_order() {
        let several = mirrors(&["quay.io=https://b", "quay.io=http://a/x", "dl.k8s.io=https://c"]);
        assert_eq!(several.places("https://quay.io/file"), ["https://b/file", "http://a/x/file"]);
        let hosts = several.repositories(&"quay.io/app:1".parse().unwrap()).into_iter();
        assert_eq!(
            hosts.map(|there| format!("{}/{}", there.host, there.path)).collect::<Vec<_>>(),
            ["b/app", "a/x/app"]
        );
        let flags = several.overridden_by(mirrors(&["quay.io=https://d"]));
        assert_eq!(flags.places("https://quay.io/file"), ["https://d/file"]);
        assert_eq!(flags.places("https://dl.k8s.io/file"), ["https://c/file"]);
    }

    #[test]
    fn refuses_what_is_no_address() {
        for bad in ["", "dl.k8s.io", "=http://a", "a=ftp://b", "a=b", "a/b=http://c", "a=http://u:p@c", "a=http://c?d"]
        {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hosts_without_a_mirror_are_left_alone(path in "[a-z0-9/._?#=-]{0,40}") {
            let url = format!("https://example.org/{path}");
            prop_assert_eq!(mirrors(&["dl.k8s.io=http://127.0.0.1"]).rewrite(&url), url);
        }

        #[test]
        fn the_rest_of_a_url_is_kept(path in "(/[a-z0-9._=-]{1,8}){0,4}") {
            let rewritten = mirrors(&["dl.k8s.io=http://127.0.0.1:1/m"]).rewrite(&format!("https://dl.k8s.io{path}"));
            prop_assert_eq!(rewritten, format!("http://127.0.0.1:1/m{path}"));
        }
    }
}
