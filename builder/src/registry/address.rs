//! Addresses in a registry. Source: OCI distribution-spec 1.1, "Endpoints".

use kbundle_format::{Digest, ImageRef};

use crate::mirror::{Mirrors, Repository};

/// Docker's own registry is on another host than the one in its images' names.
const DOCKER_HUB: (&str, &str) = ("docker.io", "index.docker.io");

/// The first address to ask for the index or manifest of `image`: by its digest if it is known, or by its tag.
#[must_use]
pub fn manifest_url(mirrors: &Mirrors, image: &ImageRef, digest: Option<&Digest>) -> String {
    document_address(&mirrors.repository(image), image, digest)
}

/// The same, in `repository`.
pub(crate) fn document_address(repository: &Repository, image: &ImageRef, digest: Option<&Digest>) -> String {
    let by_digest = digest.copied().or(image.digest()).map(|digest| digest.to_string());
    let reference = by_digest.or(image.tag().map(str::to_owned)).unwrap_or_default();
    url(repository, &format!("manifests/{reference}"))
}

/// The host of the registry `name`; Docker's own has another name.
#[must_use]
pub fn registry_host(name: &str) -> String {
    let (hub, host) = DOCKER_HUB;
    if name == hub { host.to_owned() } else { name.to_owned() }
}

/// The address of `resource` (`manifests/…` or `blobs/…`) of a repository.
pub(crate) fn url(repository: &Repository, resource: &str) -> String {
    format!("{}/v2/{}/{resource}", origin(repository), repository.path)
}

/// `SCHEME://HOST[:PORT]` of the registry.
pub(super) fn origin(repository: &Repository) -> String {
    format!("{}://{}", repository.scheme.as_str(), registry_host(&repository.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Scheme;

    #[test]
    fn docker_hub_is_asked_where_it_is() {
        let at = |host: &str| {
            url(&Repository { scheme: Scheme::Https, host: host.to_owned(), path: "calico/cni".to_owned() }, "blobs/x")
        };
        assert_eq!(at("docker.io"), "https://index.docker.io/v2/calico/cni/blobs/x");
        assert_eq!(at("quay.io"), "https://quay.io/v2/calico/cni/blobs/x");
    }

    #[test]
    fn an_image_is_asked_for_by_digest_where_there_is_one() {
        let digest = Digest::of(b"index");
        let at = |image: &str, digest| manifest_url(&Mirrors::default(), &image.parse().unwrap(), digest);
        assert_eq!(at("quay.io/a:1", None), "https://quay.io/v2/a/manifests/1");
        assert_eq!(at("quay.io/a:1", Some(&digest)), format!("https://quay.io/v2/a/manifests/{digest}"));
        assert_eq!(at(&format!("quay.io/a@{digest}"), None), format!("https://quay.io/v2/a/manifests/{digest}"));
    }
}
