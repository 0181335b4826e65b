//! The servers that a build asks: by the name that mirrors are given for, and by the address that is really asked.

use std::collections::BTreeSet;
use std::fmt;

use kbundle_format::{BundleList, EntryKind, ImageRef};

use crate::catalog::Catalog;
use crate::chart::{ChartOrigin, REGISTRY_SCHEME};
use crate::lock::Lock;
use crate::mirror::Mirrors;
use crate::registry::registry_host;
use crate::resolve::{Pin, Selection, images_of};

/// A web server or registry that content comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// The upstream name, as `--mirror` takes it.
    pub name: String,
    /// The address to ask, `https://HOST[:PORT]`: the mirror's if there is one.
    pub origin: String,
}

impl fmt::Display for Server {
    /// The host to ask, and if it is a mirror, of which host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host);
        if host == registry_host(&self.name) {
            f.write_str(&self.name)
        } else {
            write!(f, "{host} (mirror of {})", self.name)
        }
    }
}

/// The upstream places of content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// `SCHEME://HOST` of files and checksums.
    web: BTreeSet<String>,
    /// Names of registries.
    registries: BTreeSet<String>,
    /// Whether charts still have to be rendered, which may name additional registries.
    has_charts: bool,
}

impl Upstream {
    /// The upstream places of `selection`.
    #[must_use]
    pub fn of_selection(selection: &Selection) -> Self {
        let files = selection.artifacts.iter().flat_map(|file| {
            let checksum = match &file.pin {
                Pin::UpstreamChecksum(url) => Some(url.as_str()),
                Pin::Catalog(_) | Pin::LocalFile(_) | Pin::Fetched(..) | Pin::FirstUse => None,
            };
            [Some(file.url.as_str()), checksum].into_iter().flatten()
        });
        let charts = selection.charts.iter().flat_map(|selected| &selected.charts);
        let web = charts.clone().filter_map(|chart| match &chart.origin {
            ChartOrigin::Repository { address, .. } => Some(address.as_str()),
            ChartOrigin::Registry(_) | ChartOrigin::Local(_) => None,
        });
        let registries = charts.filter_map(|chart| match &chart.origin {
            ChartOrigin::Registry(reference) => Some(reference),
            ChartOrigin::Repository { .. } | ChartOrigin::Local(_) => None,
        });
        let archives =
            selection.os_packages.iter().flat_map(|packages| &packages.archives).map(|archive| &*archive.mirror);
        let images = selection.images.iter().filter(|image| image.file.is_none()).map(|image| &image.reference);
        Self {
            has_charts: selection.charts.is_some(),
            ..Self::of(files.chain(web).chain(archives), images.chain(registries))
        }
    }

    /// The upstream places of the content in `lock`.
    #[must_use]
    pub fn of_lock(lock: &Lock) -> Self {
        let files = lock.artifacts.iter().map(|file| file.url.as_str());
        let images = lock.images.iter().filter(|image| image.file.is_none());
        Self::of(files, images.map(|image| &image.reference))
    }

    /// The upstream places of everything in `catalog`.
    #[must_use]
    pub fn of_catalog(catalog: &Catalog) -> Self {
        Self::of(catalog.urls(), catalog.images().map(|image| &image.reference))
    }

    /// The places from which the content of a bundle was fetched.
    #[must_use]
    pub fn of_list(list: &BundleList) -> Self {
        let blob = |kind| {
            matches!(
                kind,
                EntryKind::ImageIndex | EntryKind::ImageManifest | EntryKind::ImageConfig | EntryKind::ImageLayer
            )
        };
        let files = list.entries.iter().filter(|entry| !blob(entry.kind));
        let files = files.filter_map(|entry| Some(entry.origin.as_ref()?.url.as_str()));
        let images = images_of(list);
        let images = images.iter().filter(|image| image.file.is_none());
        Self::of(files, images.map(|image| &image.reference))
    }

    fn of<'a>(urls: impl Iterator<Item = &'a str>, images: impl Iterator<Item = &'a ImageRef>) -> Self {
        let (of_registries, web): (Vec<_>, Vec<_>) = urls.partition(|url| url.starts_with(REGISTRY_SCHEME));
        let host = |url: &str| Some(origin(url)?.split_once("://")?.1.to_owned());
        let registries = images.map(|image| image.registry().to_owned());
        Self {
            web: web.into_iter().filter_map(origin).map(str::to_owned).collect(),
            registries: registries.chain(of_registries.into_iter().filter_map(host)).collect(),
            has_charts: false,
        }
    }

    /// Whether charts still have to be rendered, so that more servers may be asked than are known.
    #[must_use]
    pub fn has_charts(&self) -> bool {
        self.has_charts
    }

    /// The names that a mirror can be given for.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let web = self.web.iter().filter_map(|origin| Some(origin.split_once("://")?.1));
        web.chain(self.registries.iter().map(String::as_str)).collect()
    }

    /// The servers to ask when `mirrors` are used.
    #[must_use]
    pub fn servers(&self, mirrors: &Mirrors) -> BTreeSet<Server> {
        let web = self.web.iter().filter_map(|upstream| {
            let name = upstream.split_once("://")?.1;
            let places = mirrors.places(upstream);
            let server = |place: &String| Some(Server { name: name.to_owned(), origin: origin(place)?.to_owned() });
            Some(places.iter().filter_map(server).collect::<Vec<_>>())
        });
        let web = web.flatten();
        let registries = self.registries.iter().flat_map(|name| {
            mirrors.registries(name).into_iter().map(|(scheme, host)| Server {
                name: name.clone(),
                origin: format!("{}://{}", scheme.as_str(), registry_host(&host)),
            })
        });
        web.chain(registries).collect()
    }
}

/// `SCHEME://HOST[:PORT]` of an address.
pub(crate) fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + "://".len();
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |end| start + end);
    Some(&url[..end])
}
