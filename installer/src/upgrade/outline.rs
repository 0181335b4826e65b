//! What an upgrade is about to do, for people and programs: every version before and after, what restarts, what users notice, and what
//! cannot be undone. It is decided from the two lists alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kbundle_format::{BundleList, ComponentName, EntryKind, Platform, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api_use::ApiUse;
use super::rules::Versions;
use crate::kubeadm::images::ClusterImages;
use crate::version_rules::Release;

/// What an upgrade is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outline {
    /// What differs between the bundles, each with its version before and after.
    pub changes: Vec<Change>,
    /// What is restarted, in order.
    pub restarts: Vec<String>,
    /// What users notice.
    pub noticed: Vec<String>,
    /// What cannot be undone.
    pub irreversible: Vec<String>,
    /// APIs that Kubernetes removes, and what uses them.
    #[serde(flatten)]
    pub apis: ApiUse,
}

/// Something that the bundles have in different versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// A component, an add-on, or an image's repository.
    pub name: String,
    /// The version before; absent where it is new.
    pub from: Option<String>,
    /// The version after; absent where the new bundle does not have it.
    pub to: Option<String>,
}

/// The versions that decide whether one bundle may follow the other.
#[must_use]
pub fn versions(list: &BundleList, platform: &Platform) -> Versions {
    let release = |component| version_of(list, component, platform).as_deref().and_then(Release::read);
    Versions {
        kubernetes: list.kubernetes_version,
        etcd: release(ComponentName::Etcd),
        containerd: release(ComponentName::Containerd),
    }
}

fn version_of(list: &BundleList, component: ComponentName, platform: &Platform) -> Option<String> {
    let entry = list.component(component, platform)?;
    entry.component.as_ref().map(|component| component.version.clone())
}

/// Whether kubeadm has something to do: another Kubernetes, or another image among those that it deploys.
#[must_use]
pub fn changes_control_plane(from: &BundleList, to: &BundleList, platform: &Platform) -> bool {
    let images = |list| ClusterImages::find(list, platform).ok();
    from.kubernetes_version != to.kubernetes_version || images(from) != images(to)
}

/// Whether the manifests of the add-on called `name` differ.
#[must_use]
pub fn changes_manifests(from: &BundleList, to: &BundleList, name: &str) -> bool {
    let folder = format!("manifests/{name}/");
    let manifests = |list: &BundleList| -> BTreeMap<String, String> {
        let wanted = list.entries.iter().filter(|entry| entry.kind == EntryKind::Manifest);
        let wanted = wanted.filter(|entry| entry.path.as_str().starts_with(&folder));
        wanted.map(|entry| (entry.path.to_string(), entry.digest.to_string())).collect()
    };
    manifests(from) != manifests(to)
}

/// The networks and add-ons whose manifests differ.
fn changed_objects(from: &BundleList, to: &BundleList) -> Vec<String> {
    let manifests = from.entries.iter().chain(&to.entries).filter(|entry| entry.kind == EntryKind::Manifest);
    let names = manifests.filter_map(|entry| entry.path.as_str().strip_prefix("manifests/")?.split('/').next());
    let names: BTreeSet<_> = names.collect();
    names.into_iter().filter(|name| changes_manifests(from, to, name)).map(str::to_owned).collect()
}

/// Whether `component` differs: in its version, or in its build.
fn changes_component(from: &BundleList, to: &BundleList, component: ComponentName, platform: &Platform) -> bool {
    let build =
        |list: &BundleList| list.component(component, platform).map(|entry| (entry.component.clone(), entry.digest));
    build(from) != build(to)
}

/// Whether pods of a node notice the change: the kubelet differs, or a program that runs or connects containers.
#[must_use]
pub fn disturbs_pods(from: &BundleList, to: &BundleList, platform: &Platform) -> bool {
    const OF_PODS: [ComponentName; 4] =
        [ComponentName::Containerd, ComponentName::Runc, ComponentName::CniPlugins, ComponentName::Kubelet];
    changes_pause(from, to, platform) || OF_PODS.iter().any(|name| changes_component(from, to, *name, platform))
}

/// Whether the image of the pods' sandbox differs; containerd's configuration names it.
fn changes_pause(from: &BundleList, to: &BundleList, platform: &Platform) -> bool {
    let pause = |list| ClusterImages::find(list, platform).ok().map(|images| images.pause);
    pause(from) != pause(to)
}

/// Whether other hosts can take over while a host is upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// The cluster is a single host.
    Alone,
    /// There are other hosts, to which pods are moved.
    Among,
}

impl Surroundings {
    fn api(self) -> &'static str {
        match self {
            Self::Alone => {
                "the API server does not answer while it and etcd restart: kubectl and controllers fail meanwhile, and running pods \
                 go on"
            }
            Self::Among => {
                "this host's API server does not answer while it and etcd restart; the others do, unless they are reached through this \
                 host alone"
            }
        }
    }

    fn way_back(self) -> &'static str {
        match self {
            Self::Alone => {
                "until the upgrade is finished, `kinstall rollback` undoes it; afterwards going back takes a new installation with the snapshot \
                 of etcd that is taken before"
            }
            Self::Among => {
                "until the first host has finished the upgrade, `kinstall rollback --config` undoes it; afterwards going back takes a new \
                 installation with the snapshot of etcd that is taken before"
            }
        }
    }

    fn store(self) -> &'static str {
        match self {
            Self::Alone => "a rollback restores the snapshot of etcd, and what is written to the API after it is lost",
            Self::Among => "once a member of etcd has changed, several hosts cannot be rolled back",
        }
    }

    fn runtime(self) -> &'static str {
        match self {
            Self::Alone => "no pod starts or ends while containerd restarts; running pods go on",
            Self::Among => {
                "this host's pods are moved to other nodes before, as far as their PodDisruptionBudgets allow"
            }
        }
    }

    fn kubelet(self) -> &'static str {
        match self {
            Self::Alone => {
                "pods are not moved away, since there is no other host; the new kubelet restarts containers \
                 whose definition it computes differently"
            }
            Self::Among => self.runtime(),
        }
    }
}

impl Outline {
    /// The outline of an upgrade of a host with these roles from one bundle to the other.
    #[must_use]
    pub fn of_host(
        from: &BundleList,
        to: &BundleList,
        platform: &Platform,
        roles: &BTreeSet<Role>,
        surroundings: Surroundings,
        apis: ApiUse,
    ) -> Self {
        let (is_control_plane, is_node) = (roles.contains(&Role::ControlPlane), *roles != BTreeSet::from([Role::Etcd]));
        let component = |name| changes_component(from, to, name, platform);
        let containerd = is_node && (component(ComponentName::Containerd) || changes_pause(from, to, platform));
        let etcd = roles.contains(&Role::Etcd) && component(ComponentName::Etcd);
        let control_plane = is_control_plane && changes_control_plane(from, to, platform);
        let kubelet = is_node && component(ComponentName::Kubelet);
        let programs = [
            (containerd, "containerd"),
            (etcd, "etcd"),
            (control_plane, "kube-apiserver, kube-controller-manager, kube-scheduler"),
            (control_plane, "CoreDNS and kube-proxy, pod by pod"),
            (kubelet, "kubelet"),
        ];
        let is_drained = surroundings == Surroundings::Among && is_node && disturbs_pods(from, to, platform);
        let noticed = [
            (control_plane || etcd, surroundings.api()),
            (containerd || is_drained, surroundings.runtime()),
            (kubelet && !is_drained, surroundings.kubelet()),
        ];
        let (before, after) = (versions(from, platform), versions(to, platform));
        let mut irreversible = Vec::new();
        if control_plane || etcd || containerd || kubelet {
            irreversible.push(surroundings.way_back().to_owned());
        }
        if let Some((old, new)) = before.etcd.zip(after.etcd).filter(|(old, new)| etcd && old.series() != new.series())
        {
            irreversible
                .push(format!("etcd {new} changes the store, which etcd {old} cannot read; {}", surroundings.store()));
        }
        let minors = before.containerd.zip(after.containerd).filter(|(old, new)| old.series() != new.series());
        if let Some((old, new)) = minors.filter(|_| containerd) {
            irreversible.push(format!(
                "containerd {new} may write its data in a way that containerd {old} cannot read; after a rollback, images may be missing"
            ));
        }
        let objects = changed_objects(from, to);
        if is_control_plane && !objects.is_empty() {
            irreversible
                .push(format!("objects that do not come back without the snapshot of etcd: {}", objects.join(", ")));
        }
        let told = |rows: &[(bool, &str)]| {
            rows.iter().filter(|(holds, _)| *holds).map(|(_, text)| (*text).to_owned()).collect::<Vec<_>>()
        };
        Self {
            changes: changes(&named_versions(from, platform, roles), &named_versions(to, platform, roles)),
            restarts: told(&programs),
            noticed: told(&noticed),
            irreversible,
            apis,
        }
    }
}

/// The differences by name.
fn changes(before: &[(String, String)], after: &[(String, String)]) -> Vec<Change> {
    let mut names: Vec<_> = after.iter().map(|(name, _)| name).collect();
    names.extend(before.iter().map(|(name, _)| name).filter(|name| !after.iter().any(|(other, _)| other == *name)));
    let of = |versions: &[(String, String)], name: &str| {
        versions.iter().find(|(other, _)| other == name).map(|(_, version)| version.clone())
    };
    let change = |name: &String| Change { name: name.clone(), from: of(before, name), to: of(after, name) };
    names.into_iter().map(change).filter(|change| change.from != change.to).collect()
}

/// Kubernetes, the programs of hosts with these roles, add-ons, and images, in this order, each with its version.
fn named_versions(list: &BundleList, platform: &Platform, roles: &BTreeSet<Role>) -> Vec<(String, String)> {
    let mut all = vec![("Kubernetes".to_owned(), list.kubernetes_version.to_string())];
    let of_kubernetes = [ComponentName::Kubelet, ComponentName::Kubeadm, ComponentName::Kubectl];
    let programs = ComponentName::OF_HOSTS.into_iter().filter(|name| !of_kubernetes.contains(name));
    let programs =
        programs.filter(|name| list.component(*name, platform).is_some_and(|entry| !entry.roles.is_disjoint(roles)));
    all.extend(programs.filter_map(|name| Some((name.to_string(), version_of(list, name, platform)?))));
    let manifests = list.entries.iter().filter(|entry| entry.kind == EntryKind::Manifest);
    let manifests = manifests.filter(|entry| !entry.roles.is_disjoint(roles));
    for component in manifests.filter_map(|entry| entry.component.as_ref()) {
        let addon = (component.name.clone(), component.version.clone());
        if !all.contains(&addon) {
            all.push(addon);
        }
    }
    let images = list.images.iter().filter(|image| image.platform == *platform && !image.roles.is_disjoint(roles));
    all.extend(images.filter_map(|image| {
        let reference = &image.reference;
        Some((format!("{}/{}", reference.registry(), reference.repository()), reference.tag()?.to_owned()))
    }));
    all
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = || "nothing".to_owned();
        let changes = self.changes.iter().map(|change| {
            let side = |version: &Option<String>| version.clone().unwrap_or_else(nothing);
            format!("{}: {} → {}", change.name, side(&change.from), side(&change.to))
        });
        let parts: [(&str, Vec<String>); 4] = [
            ("versions", changes.collect()),
            ("restarts", self.restarts.clone()),
            ("what users notice", self.noticed.clone()),
            ("cannot be undone", self.irreversible.clone()),
        ];
        let parts = parts.into_iter().chain(self.apis.parts()).filter(|(_, lines)| !lines.is_empty());
        let text = parts.map(|(heading, lines)| {
            lines.into_iter().fold(format!("{heading}:"), |text, line| format!("{text}\n  {line}"))
        });
        f.write_str(&text.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::upgrade::deprecated::DeprecatedApi;
    use kbundle_format::Digest;

    fn alone(from: &BundleList, to: &BundleList, apis: ApiUse) -> Outline {
        Outline::of_host(from, to, &fixture::platform(), &Role::ALL.into(), Surroundings::Alone, apis)
    }

    #[test]
    fn another_minor_is_outlined_with_every_version() {
        let (from, to) = (fixture::list("1.35.4"), fixture::list("1.36.3"));
        let endpoints =
            DeprecatedApi { api: "v1".into(), resource: "endpoints".into(), removed_in: None, goes_now: false };
        let apis = ApiUse { deprecated_apis: vec![endpoints], ..ApiUse::default() };
        insta::assert_snapshot!(alone(&from, &to, apis));
    }

    #[test]
    fn a_host_is_told_what_its_own_roles_have() {
        let (from, to, platform) = (fixture::list("1.35.4"), fixture::list("1.36.3"), fixture::platform());
        let restarts = |roles: &[Role]| {
            let roles = roles.iter().copied().collect();
            Outline::of_host(&from, &to, &platform, &roles, Surroundings::Among, ApiUse::default()).restarts
        };
        assert_eq!(restarts(&[Role::Worker]), ["kubelet"]);
        assert_eq!(restarts(&[Role::Etcd]), Vec::<String>::new());
        assert_eq!(restarts(&[Role::ControlPlane]).len(), 3);
        let roles = [Role::Worker].into();
        let outline = Outline::of_host(&from, &to, &platform, &roles, Surroundings::Among, ApiUse::default());
        assert_eq!(outline.noticed.len(), 1);
        assert!(outline.noticed[0].starts_with("this host's pods are moved"), "{outline}");
        assert!(disturbs_pods(&from, &to, &platform) && !disturbs_pods(&from, &from, &platform));
    }

    #[test]
    fn a_bundle_with_another_containerd_alone_leaves_the_rest() {
        let from = fixture::list("1.36.3");
        let mut to = from.clone();
        let is_containerd = |entry: &&mut kbundle_format::Entry| {
            entry.component.as_ref().is_some_and(|component| component.name == ComponentName::Containerd.as_str())
        };
        let entry = to.entries.iter_mut().find(is_containerd).unwrap();
        entry.digest = Digest::of(b"another");
        entry.component.as_mut().unwrap().version = "2.3.9".into();
        assert!(!changes_control_plane(&from, &to, &fixture::platform()));
        let outline = alone(&from, &to, ApiUse::default());
        assert_eq!(outline.restarts, ["containerd"]);
        let named: Vec<_> = outline.changes.iter().map(|change| (change.name.as_str(), change.to.as_deref())).collect();
        assert_eq!(named, [("containerd", Some("2.3.9"))]);
        assert_eq!(alone(&from, &from, ApiUse::default()).to_string(), "");
    }
}
