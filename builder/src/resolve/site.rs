//! Content from the site's own files: manifests and charts, with the images that they name.

use std::collections::BTreeSet;

use kbundle_format::{Component, ComponentName, EntryKind, KubeVersion, Role};

use super::{Pin, ResolveError, SelectedArtifact, SelectedCharts, Selection, add_image, image, path, pin};
use crate::catalog::{Catalog, Release};
use crate::chart::{ChartOrigin, SiteChart};
use crate::site::{FoundImages, LocalFile, SiteFile, SiteManifests};
use crate::spec::{BundleSpec, Unpinned};

impl Catalog {
    /// Adds manifests and charts of the site.
    pub(super) fn site(
        &self,
        selection: &mut Selection,
        release: &Release,
        spec: &BundleSpec,
    ) -> Result<(), ResolveError> {
        let names = spec.manifests.iter().map(|manifests| &manifests.name);
        let mut known: BTreeSet<&String> = self.addons.keys().collect();
        for name in names.chain(spec.charts.iter().map(|chart| &chart.release)) {
            if !known.insert(name) {
                return Err(ResolveError::SameName { name: name.clone() });
            }
        }
        for manifests in &spec.manifests {
            add_manifests(selection, manifests, &spec.left_out)?;
        }
        for (number, file) in (1..).zip(&spec.files) {
            add_host_file(selection, number, file)?;
        }
        for chart in &spec.charts {
            add_local_files(selection, chart)?;
        }
        if !spec.charts.is_empty() {
            selection.charts = Some(SelectedCharts {
                charts: spec.charts.clone(),
                helm: self.helm(selection.kubernetes, release)?,
                left_out: spec.left_out.clone(),
                unpinned: spec.unpinned,
            });
        }
        Ok(())
    }

    /// The helm of a release for the machine that builds.
    fn helm(&self, kubernetes: KubeVersion, release: &Release) -> Result<SelectedArtifact, ResolveError> {
        let name = ComponentName::Helm.as_str();
        let known = self.components.get(name).zip(release.components.get(name));
        let (family, version, files) = known
            .and_then(|(family, version)| Some((family, version, family.versions.get(version)?)))
            .ok_or(ResolveError::NoHelm { release: kubernetes })?;
        let platform = builders_platform();
        let of_builder = files.platforms.iter().find(|(known, _)| known.to_string() == platform);
        let (platform, download) = of_builder.ok_or_else(|| ResolveError::HelmPlatform {
            platform,
            version: version.clone(),
            known: files.platforms.keys().map(ToString::to_string).collect(),
        })?;
        Ok(SelectedArtifact {
            path: path(&format!("artifacts/{}-{}/{name}", platform.os(), platform.architecture()), name)?,
            url: download.url.clone(),
            pin: pin(download),
            kind: family.kind.into(),
            component: Component { name: name.to_owned(), version: version.clone() },
            platform: Some(platform.clone()),
            roles: family.roles.clone(),
            licence: family.licence.clone(),
            pinned_by: files.pinned_by.clone(),
            host_file: None,
        })
    }
}

/// The platform of this program, as OCI names it.
fn builders_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

/// Adds manifests of the site and the images that they name, but for those that are left out.
fn add_manifests(
    selection: &mut Selection,
    manifests: &SiteManifests,
    left_out: &[String],
) -> Result<(), ResolveError> {
    let component = Component { name: manifests.name.clone(), version: manifests.version() };
    for file in &manifests.files {
        let place = format!("manifests/{}/{}", manifests.name, file.name);
        selection.artifacts.push(local_artifact(&place, file, EntryKind::Manifest, &component)?);
    }
    selection.add_found_images(&manifests.images, &component, left_out)
}

/// Adds the files of a chart that are beside bundle.yaml.
fn add_local_files(selection: &mut Selection, chart: &SiteChart) -> Result<(), ResolveError> {
    let (folder, component) = (chart.folder(), chart.component());
    if let ChartOrigin::Local(file) = &chart.origin {
        selection.artifacts.push(local_artifact(&chart.archive(), file, EntryKind::Chart, &component)?);
    }
    for (number, file) in (1..).zip(&chart.values) {
        let place = format!("{folder}/values-{number:02}.yaml");
        selection.artifacts.push(local_artifact(&place, file, EntryKind::ChartValues, &component)?);
    }
    Ok(())
}

/// Adds a file for hosts.
fn add_host_file(selection: &mut Selection, number: usize, site: &SiteFile) -> Result<(), ResolveError> {
    let version = site.file.digest.hex()[..12].to_owned();
    let component = Component { name: "site-file".to_owned(), version };
    let artifact = local_artifact(&format!("files/{number:03}"), &site.file, EntryKind::HostFile, &component)?;
    let (roles, host_file) = (site.roles.clone(), Some(site.host_file.clone()));
    selection.artifacts.push(SelectedArtifact { roles, host_file, ..artifact });
    Ok(())
}

fn local_artifact(
    place: &str,
    file: &LocalFile,
    kind: EntryKind,
    component: &Component,
) -> Result<SelectedArtifact, ResolveError> {
    artifact(place, &file.url, Pin::LocalFile(file.digest), kind, component)
}

/// A file for control planes that suits every platform.
fn artifact(
    place: &str,
    url: &str,
    pin: Pin,
    kind: EntryKind,
    component: &Component,
) -> Result<SelectedArtifact, ResolveError> {
    Ok(SelectedArtifact {
        path: path(place, url)?,
        url: url.to_owned(),
        pin,
        kind,
        component: component.clone(),
        platform: None,
        roles: BTreeSet::from([Role::ControlPlane]),
        licence: None,
        pinned_by: None,
        host_file: None,
    })
}

impl SiteChart {
    /// The release as a component: its name, and the version of the chart.
    fn component(&self) -> Component {
        Component { name: self.release.clone(), version: self.version.clone() }
    }

    /// The path of the chart's archive in the bundle.
    fn archive(&self) -> String {
        format!("{}/chart.tgz", self.folder())
    }
}

impl Selection {
    /// Adds the archive of a chart that was fetched from `url`.
    pub(crate) fn add_chart(&mut self, chart: &SiteChart, url: &str, pin: Pin) -> Result<(), ResolveError> {
        let archive = artifact(&chart.archive(), url, pin, EntryKind::Chart, &chart.component())?;
        self.artifacts.push(archive);
        Ok(())
    }

    /// Adds the images that a chart names, except those that are left out. Refuses images without a pin unless content is taken as it
    /// comes.
    pub(crate) fn add_images_of(
        &mut self,
        chart: &SiteChart,
        found: &FoundImages,
        left_out: &[String],
        unpinned: Unpinned,
    ) -> Result<(), ResolveError> {
        self.add_found_images(found, &chart.component(), left_out)?;
        self.sort_images();
        let loose = self.loose();
        if loose.is_empty() || unpinned == Unpinned::TrustOnFirstUse {
            return Ok(());
        }
        Err(ResolveError::Unpinned { loose, pinned_networks: Vec::new() })
    }

    fn add_found_images(
        &mut self,
        found: &FoundImages,
        component: &Component,
        left_out: &[String],
    ) -> Result<(), ResolveError> {
        for found in found.certain.iter().filter(|found| !left_out.contains(&found.image)) {
            let request = found.image.parse().map_err(|source| ResolveError::SiteImage {
                image: found.image.clone(),
                place: found.places.first().cloned().unwrap_or_default(),
                source,
            })?;
            add_image(&mut self.images, image(request, Some(component.clone())))?;
        }
        Ok(())
    }

    /// Text in objects of `name` that only looks like an image, and is not in the bundle: a line for each.
    #[must_use]
    pub fn doubtful(&self, name: &str, found: &FoundImages) -> Vec<String> {
        let missing = found
            .doubtful
            .iter()
            .filter(|found| self.images.iter().all(|image| image.reference.to_string() != found.image));
        let line = |found: &crate::site::FoundImage| {
            let places: Vec<_> = found.places.iter().map(String::as_str).collect();
            format!(
                "{name} may need the image {}, which the bundle does not have ({}); add it with `--add-image` if so",
                found.image,
                places.join("; ")
            )
        };
        missing.map(line).collect()
    }
}
