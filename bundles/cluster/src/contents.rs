//! The contents of a bundle, as far as a cluster can need them. They are made from a bundle's list, or from the plan of a build.

use std::collections::{BTreeMap, BTreeSet};

use kbundle_format::host_file::HostPath;
use kbundle_format::{
    BundleList, Component, ComponentName, EntryKind, EntryPath, HostFile, ImageRef, KubeVersion, Platform,
    Prerequisites, Role,
};

use crate::config::Cni;

/// The contents of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleContents {
    /// The release of Kubernetes.
    pub kubernetes: KubeVersion,
    /// The platforms of hosts that it is for.
    pub platforms: BTreeSet<Platform>,
    /// Versions of components, by name, for each platform.
    components: BTreeMap<(String, Platform), String>,
    images: Vec<(ImageRef, Platform)>,
    /// Names of everything made of manifests that cluster.yaml can list under `addons`.
    addons: BTreeSet<String>,
    /// Names of charts, which cluster.yaml lists in the same place.
    charts: BTreeSet<String>,
    host_files: Vec<(HostPath, BTreeSet<Role>)>,
    /// The add-ons and charts that need others first.
    pub after: Prerequisites,
}

/// A file of a bundle: an entry of its list, or a future entry.
#[derive(Clone, Copy, Debug)]
pub struct ContentFile<'a> {
    /// Its path in the bundle.
    pub path: &'a EntryPath,
    /// Its kind.
    pub kind: EntryKind,
    /// The component that it is or belongs to.
    pub component: Option<&'a Component>,
    /// The platform it runs on; absent if it suits all.
    pub platform: Option<&'a Platform>,
    /// Hosts that need it.
    pub roles: &'a BTreeSet<Role>,
    /// The place of a file of the site on hosts.
    pub host_file: Option<&'a HostFile>,
}

impl BundleContents {
    /// A bundle without content.
    #[must_use]
    pub fn new(kubernetes: KubeVersion, platforms: BTreeSet<Platform>) -> Self {
        Self {
            kubernetes,
            platforms,
            components: BTreeMap::new(),
            images: Vec::new(),
            addons: BTreeSet::new(),
            charts: BTreeSet::new(),
            host_files: Vec::new(),
            after: Prerequisites::default(),
        }
    }

    /// The contents in a list.
    #[must_use]
    pub fn of(list: &BundleList) -> Self {
        let mut contents = Self::new(list.kubernetes_version, list.platforms.clone());
        contents.after = list.after.clone();
        for entry in &list.entries {
            contents.add_file(ContentFile {
                path: &entry.path,
                kind: entry.kind,
                component: entry.component.as_ref(),
                platform: entry.platform.as_ref(),
                roles: &entry.roles,
                host_file: entry.host_file.as_ref(),
            });
        }
        for image in &list.images {
            contents.add_image(image.reference.clone(), image.platform.clone());
        }
        contents
    }

    /// Adds a file. Manifests lie in `manifests/NAME/`, charts in `charts/NAMESPACE/NAME/`.
    pub fn add_file(&mut self, file: ContentFile<'_>) {
        let part = |index| file.path.as_str().split('/').nth(index).map(str::to_owned);
        match file.kind {
            EntryKind::Manifest => self.addons.extend(part(1)),
            EntryKind::Chart => self.charts.extend(part(2)),
            // A distribution's package may have the same name as a component, such as containerd.
            EntryKind::OsPackage => return,
            _ => {}
        }
        if let (Some(component), Some(platform)) = (file.component, file.platform) {
            self.components.insert((component.name.clone(), platform.clone()), component.version.clone());
        }
        if let Some(host_file) = file.host_file {
            self.host_files.push((host_file.path.clone(), file.roles.clone()));
        }
    }

    /// Adds an image for a platform.
    pub fn add_image(&mut self, reference: ImageRef, platform: Platform) {
        self.images.push((reference, platform));
    }

    /// Adds a chart by the name of its release, if its files are not known yet.
    pub fn add_chart(&mut self, release: &str) {
        self.charts.insert(release.to_owned());
    }

    /// The version of a component for a platform.
    #[must_use]
    pub fn version_of(&self, component: ComponentName, platform: &Platform) -> Option<&str> {
        self.components.get(&(component.as_str().to_owned(), platform.clone())).map(String::as_str)
    }

    /// The images for a platform.
    #[must_use]
    pub fn images_for(&self, platform: &Platform) -> Vec<&ImageRef> {
        self.images.iter().filter(|(_, of)| of == platform).map(|(reference, _)| reference).collect()
    }

    /// Whether there is an image with this short name for a platform.
    #[must_use]
    pub fn has_image(&self, name: &str, platform: &Platform) -> bool {
        self.images_for(platform).iter().any(|image| image.short_name() == name)
    }

    /// Whether cluster.yaml can list `name` under `addons`.
    #[must_use]
    pub fn has_addon(&self, name: &str) -> bool {
        self.addons.contains(name) || self.has_chart(name)
    }

    /// Whether `name` is a chart that cluster.yaml can list.
    #[must_use]
    pub fn has_chart(&self, name: &str) -> bool {
        self.charts.contains(name)
    }

    /// The networks that have an add-on here.
    #[must_use]
    pub fn networks(&self) -> Vec<Cni> {
        [Cni::Calico, Cni::Flannel].into_iter().filter(|cni| self.addons.contains(cni.as_str())).collect()
    }

    /// The network that the bundle brings: its only one, or the bridge, which needs nothing; `None` if it has several.
    #[must_use]
    pub fn network(&self) -> Option<Cni> {
        match self.networks()[..] {
            [] => Some(Cni::Bridge),
            [only] => Some(only),
            _ => None,
        }
    }

    /// The paths of the site's files on hosts with one of `roles`.
    pub fn host_files(&self, roles: &BTreeSet<Role>) -> impl Iterator<Item = &HostPath> {
        self.host_files.iter().filter(|(_, of)| !of.is_disjoint(roles)).map(|(path, _)| path)
    }
}
