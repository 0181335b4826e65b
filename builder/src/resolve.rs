//! Makes a selection from a spec and a catalog: everything that the bundle will contain, each with its pin. Nothing is fetched here.

mod error;
mod listed;
mod os_packages;
mod prerequisites;
mod site;

use std::collections::BTreeSet;

use kbundle_format::{
    Component, ComponentName, Digest, EntryKind, EntryPath, HostFile, ImageRef, KubeVersion, PinSource, Platform,
    Prerequisites, Role, Source,
};

use crate::catalog::{AddonKind, AddonVersion, Catalog, CatalogImage, Download, Release, Thing};
use crate::chart::SiteChart;
use crate::image_file::ImageFile;
use crate::os_packages::OsPackages;
use crate::spec::{BundleSpec, Cni, ImageRequest, LoadBalancer, Unpinned};
use crate::version_request::VersionRequest;

pub use error::{Loose, ResolveError};
pub use listed::images_of;

/// The content of a future bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The Kubernetes release.
    pub kubernetes: KubeVersion,
    /// Platforms of the hosts.
    pub platforms: BTreeSet<Platform>,
    /// The catalog files that contain the selected content.
    pub sources: Vec<Source>,
    /// Add-ons that need others first.
    pub after: Prerequisites,
    /// Files, in the order of the bundle.
    pub artifacts: Vec<SelectedArtifact>,
    /// Images, each for every platform, in the order of the bundle.
    pub images: Vec<SelectedImage>,
    /// Charts that still have to be fetched and rendered, which adds files and images.
    pub charts: Option<SelectedCharts>,
    /// Packages of distributions that still have to be looked up, which adds files.
    pub os_packages: Vec<OsPackages>,
}

/// A file to fetch by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedArtifact {
    /// Its path in the bundle.
    pub path: EntryPath,
    /// The upstream address.
    pub url: String,
    /// Why its content can be trusted.
    pub pin: Pin,
    /// Binary, archive or manifest.
    pub kind: EntryKind,
    /// The component that it is or belongs to.
    pub component: Component,
    /// The platform it runs on; absent if it suits all.
    pub platform: Option<Platform>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    pub licence: Option<String>,
    /// Where the pin was found, for people.
    pub pinned_by: Option<String>,
    /// The place of a file of the site on hosts.
    pub host_file: Option<HostFile>,
}

/// Why the content of a file can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The catalog states its digest.
    Catalog(Digest),
    /// The project publishes its digest at this address.
    UpstreamChecksum(String),
    /// It is a file of the site with this digest.
    LocalFile(Digest),
    /// It was fetched to be examined, and has this digest.
    Fetched(Digest, PinSource),
    /// Nothing pins it: it is taken as it comes.
    FirstUse,
}

/// Charts to fetch and render, and what is needed for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedCharts {
    /// The charts.
    pub charts: Vec<SiteChart>,
    /// helm for the machine that builds.
    pub helm: SelectedArtifact,
    /// Images that the charts name and that may be missing in the bundle, in the charts' form.
    pub left_out: Vec<String>,
    /// What to do about content without a pin.
    pub unpinned: Unpinned,
}

/// An image to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedImage {
    /// The upstream reference.
    pub reference: ImageRef,
    /// The digest that its tag has to refer to; absent if it is taken as it comes.
    pub digest: Option<Digest>,
    /// Hosts that need it.
    pub roles: BTreeSet<Role>,
    /// SPDX licence expression.
    pub licence: Option<String>,
    /// The add-on that it belongs to; absent for Kubernetes' own images and the site's.
    pub addon: Option<Component>,
    /// The file on this machine that contains it; absent if a registry has it.
    pub file: Option<ImageFile>,
}

impl SelectedImage {
    /// How its digest was, or will be, obtained.
    #[must_use]
    pub fn pin_source(&self) -> PinSource {
        match (&self.file, self.digest) {
            (Some(_), _) => PinSource::LocalFile,
            (None, Some(_)) => PinSource::Catalog,
            (None, None) => PinSource::TrustOnFirstUse,
        }
    }
}

impl Selection {
    /// The content that a build would have to take as it comes.
    #[must_use]
    pub fn loose(&self) -> Vec<Loose> {
        let files = self.artifacts.iter().filter(|file| file.pin == Pin::FirstUse);
        let files = files.map(|file| Loose { what: file.url.clone(), of: Some(file.component.clone()) });
        let images = self.images.iter().filter(|image| image.digest.is_none());
        let images = images.map(|image| Loose { what: image.reference.to_string(), of: image.addon.clone() });
        let mut loose: Vec<_> = files.chain(images).collect();
        loose.sort_by(|one, other| name_of(one).cmp(&name_of(other)));
        loose
    }

    /// Images from files on this machine, each with its place and its digest.
    pub fn image_files(&self) -> impl Iterator<Item = (&ImageFile, Digest)> {
        self.images.iter().filter_map(|image| Some((image.file.as_ref()?, image.digest?)))
    }

    /// The control plane's images come first: a host needs them first.
    fn sort_images(&mut self) {
        self.images.sort_by_key(|image| image_rank(image.reference.short_name()));
    }
}

/// The components of a release that go into a bundle: helm only with charts.
fn carried<'a>(release: &'a Release, spec: &BundleSpec) -> impl Iterator<Item = (&'a String, &'a String)> {
    let has_charts = !spec.charts.is_empty();
    release.components.iter().filter(move |(name, _)| has_charts || *name != ComponentName::Helm.as_str())
}

fn name_of(loose: &Loose) -> Option<&str> {
    loose.of.as_ref().map(|component| component.name.as_str())
}

impl Catalog {
    /// Selects what `spec` asks for. Refuses content without a pin unless `spec` takes it as it comes.
    ///
    /// # Errors
    /// [`ResolveError`]: what is missing, and what there is instead.
    pub fn resolve(&self, spec: &BundleSpec) -> Result<Selection, ResolveError> {
        let selection = self.select(spec)?;
        let loose = selection.loose();
        if loose.is_empty() || spec.unpinned == Unpinned::TrustOnFirstUse {
            return Ok(selection);
        }
        let pinned_networks = match &spec.cni {
            Cni::Addon(cni) if loose.iter().any(|loose| name_of(loose) == Some(cni)) => self.pinned_networks(spec),
            _ => Vec::new(),
        };
        Err(ResolveError::Unpinned { loose, pinned_networks })
    }

    /// Selects what `spec` asks for, pinned or not.
    ///
    /// # Errors
    /// [`ResolveError`], but not [`ResolveError::Unpinned`].
    pub fn select(&self, spec: &BundleSpec) -> Result<Selection, ResolveError> {
        let (version, release) = self.release(spec.kubernetes)?;
        let mut selection = Selection {
            kubernetes: version,
            platforms: spec.platforms.clone(),
            sources: Vec::new(),
            after: Prerequisites::default(),
            artifacts: self.components(version, release, spec)?,
            images: Vec::new(),
            charts: None,
            os_packages: spec.os_packages.clone(),
        };
        add_images(&mut selection.images, &release.images, None)?;
        let mut used = vec![Thing::Release(version)];
        used.extend(carried(release, spec).map(|(name, version)| Thing::Component(name.clone(), version.clone())));
        for name in self.addon_names(release, spec) {
            self.addon(&mut selection, release, name)?;
            used.extend(release.addons.get(name).map(|version| Thing::Addon(name.clone(), version.clone())));
        }
        selection.sources = self.sources_of(used);
        for request in &spec.images {
            add_image(&mut selection.images, image(request.clone(), None))?;
        }
        self.site(&mut selection, release, spec)?;
        selection.after = self.prerequisites(release, spec)?;
        selection.sort_images();
        Ok(selection)
    }

    /// The newest release that was asked for.
    ///
    /// # Errors
    /// [`ResolveError::Release`].
    pub fn release(&self, request: VersionRequest) -> Result<(KubeVersion, &Release), ResolveError> {
        let newest = self.releases.iter().rfind(|(version, _)| request.is_met_by(**version));
        newest.map(|(version, release)| (*version, release)).ok_or_else(|| ResolveError::Release {
            version: request,
            known: self.releases.keys().map(ToString::to_string).collect(),
        })
    }

    /// The names of all add-ons that `spec` asks for, explicitly or by default.
    fn addon_names<'a>(&'a self, release: &'a Release, spec: &'a BundleSpec) -> BTreeSet<&'a String> {
        let cni = match &spec.cni {
            Cni::Bridge => None,
            Cni::Addon(name) => Some(name),
        };
        let load_balancer = match &spec.load_balancer {
            LoadBalancer::None => None,
            LoadBalancer::Addon(name) => Some(name),
            LoadBalancer::OfCatalog => self.of_kind(release, AddonKind::LoadBalancer).next().map(|(name, _)| name),
        };
        cni.into_iter().chain(load_balancer).chain(&spec.addons).collect()
    }

    /// The add-ons of a kind that suit a release.
    fn of_kind<'a>(
        &'a self,
        release: &'a Release,
        kind: AddonKind,
    ) -> impl Iterator<Item = (&'a String, &'a AddonVersion)> {
        release.addons.iter().filter_map(move |(name, version)| {
            let addon = self.addons.get(name).filter(|addon| addon.kind == kind)?;
            Some((name, addon.versions.get(version)?))
        })
    }

    fn pinned_networks(&self, spec: &BundleSpec) -> Vec<String> {
        let release = self.release(spec.kubernetes).ok();
        let networks = release.map(|(_, release)| self.of_kind(release, AddonKind::Cni));
        let pinned = networks.into_iter().flatten().filter(|(_, files)| files.is_pinned());
        pinned.map(|(name, _)| name.clone()).chain(["bridge".to_owned()]).collect()
    }

    fn components(
        &self,
        kubernetes: KubeVersion,
        release: &Release,
        spec: &BundleSpec,
    ) -> Result<Vec<SelectedArtifact>, ResolveError> {
        let mut wanted: Vec<_> = carried(release, spec).collect();
        wanted.sort_by_key(|(name, _)| {
            let order = ComponentName::OF_HOSTS;
            order.iter().position(|known| known.as_str() == *name).unwrap_or(order.len())
        });
        let mut artifacts = Vec::new();
        for (name, version) in wanted {
            let missing =
                || ResolveError::Component { release: kubernetes, name: name.clone(), version: version.clone() };
            let family = self.components.get(name).ok_or_else(missing)?;
            let files = family.versions.get(version).ok_or_else(missing)?;
            for platform in &spec.platforms {
                let download = files.platforms.get(platform).ok_or_else(|| ResolveError::Platform {
                    name: name.clone(),
                    version: version.clone(),
                    platform: platform.clone(),
                    known: files.platforms.keys().map(ToString::to_string).collect(),
                })?;
                let file = download.url.rsplit('/').next().unwrap_or_default();
                artifacts.push(SelectedArtifact {
                    path: path(
                        &format!("artifacts/{}-{}/{file}", platform.os(), platform.architecture()),
                        &download.url,
                    )?,
                    url: download.url.clone(),
                    pin: pin(download),
                    kind: family.kind.into(),
                    component: Component { name: name.clone(), version: version.clone() },
                    platform: Some(platform.clone()),
                    roles: family.roles.clone(),
                    licence: family.licence.clone(),
                    pinned_by: files.pinned_by.clone(),
                    host_file: None,
                });
            }
        }
        Ok(artifacts)
    }

    fn addon(&self, selection: &mut Selection, release: &Release, name: &str) -> Result<(), ResolveError> {
        let known = self.addons.get(name).zip(release.addons.get(name));
        let (addon, version, files) = known
            .and_then(|(addon, version)| Some((addon, version, addon.versions.get(version)?)))
            .ok_or_else(|| ResolveError::Addon {
                release: selection.kubernetes,
                name: name.to_owned(),
                known: release.addons.keys().cloned().collect(),
            })?;
        let component = Component { name: name.to_owned(), version: version.clone() };
        for manifest in &files.manifests {
            let download = Download { url: manifest.url.clone(), sha256: manifest.sha256, sha256_url: None };
            selection.artifacts.push(SelectedArtifact {
                path: path(&format!("manifests/{name}/{}", manifest.name), &manifest.name)?,
                url: manifest.url.clone(),
                pin: pin(&download),
                kind: EntryKind::Manifest,
                component: component.clone(),
                platform: None,
                roles: BTreeSet::from([Role::ControlPlane]),
                licence: addon.licence.clone(),
                pinned_by: files.pinned_by.clone(),
                host_file: None,
            });
        }
        add_images(&mut selection.images, &files.images, Some(&component))
    }
}

fn path(text: &str, what: &str) -> Result<EntryPath, ResolveError> {
    text.parse().map_err(|source| ResolveError::Name { what: what.to_owned(), source })
}

fn pin(download: &Download) -> Pin {
    match (download.sha256, &download.sha256_url) {
        (Some(hex), _) => Pin::Catalog(hex.0),
        (None, Some(url)) => Pin::UpstreamChecksum(url.clone()),
        (None, None) => Pin::FirstUse,
    }
}

fn add_images(
    images: &mut Vec<SelectedImage>,
    more: &[CatalogImage],
    addon: Option<&Component>,
) -> Result<(), ResolveError> {
    more.iter().try_for_each(|image| {
        let CatalogImage { reference, digest, licence, roles } = image.clone();
        add_image(images, SelectedImage { reference, digest, roles, licence, addon: addon.cloned(), file: None })
    })
}

/// Adds an image; if there is one with the same reference, adds only its roles to it.
fn add_image(images: &mut Vec<SelectedImage>, image: SelectedImage) -> Result<(), ResolveError> {
    let Some(known) = images.iter_mut().find(|known| known.reference == image.reference) else {
        images.push(image);
        return Ok(());
    };
    if let (Some(first), Some(second)) = (known.digest, image.digest)
        && first != second
    {
        return Err(ResolveError::TwoDigests { reference: Box::new(image.reference), first, second });
    }
    known.digest = known.digest.or(image.digest);
    known.file = known.file.take().or(image.file);
    known.roles.extend(image.roles);
    Ok(())
}

/// An image that the site asks for.
fn image(request: ImageRequest, addon: Option<Component>) -> SelectedImage {
    let ImageRequest { reference, digest, file } = request;
    let roles = BTreeSet::from([Role::ControlPlane, Role::Worker]);
    SelectedImage { reference, digest, roles, licence: None, addon, file }
}

fn image_rank(name: &str) -> u8 {
    match name {
        "pause" => 0,
        name if name.starts_with("kube-") => 1,
        "coredns" => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
