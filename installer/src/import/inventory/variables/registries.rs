//! `containerd_registries_mirrors`.

use super::super::value::{Node, Value};
use super::Cluster;
use crate::config::Registry;
use crate::import::SourceLine;

impl Cluster<'_, '_> {
    pub(super) fn registries(&mut self) {
        let Some(found) = self.value("containerd_registries_mirrors") else { return };
        let Some(items) = found.value.items() else {
            return self.reading.problems.add(&found.place, "`containerd_registries_mirrors` is not a list");
        };
        let registries: Vec<_> = items.iter().filter_map(|item| self.registry(item, &found.place)).collect();
        let hosts: Vec<_> = registries.iter().map(|registry| format!("`{}`", registry.host)).collect();
        if !registries.is_empty() {
            let message = format!(
                "registries {} are only reached through their mirrors; Kubespray's containerd asks the registry itself when no mirror has an image",
                hosts.join(", ")
            );
            self.remark(&found.place, message);
            self.settings.set("registries", registries);
        }
    }

    fn registry(&mut self, item: &Node, place: &SourceLine) -> Option<Registry> {
        let host = item.value.get("prefix").and_then(|node| node.value.filled_text());
        let mirrors = item.value.get("mirrors").and_then(|node| node.value.items());
        let (Some(host), Some(mirrors)) = (host, mirrors) else {
            self.reading
                .problems
                .add(place, "each entry of `containerd_registries_mirrors` needs a `prefix` and `mirrors`");
            return None;
        };
        let part = |node: &Node, name: &str| node.value.get(name).map(|node| node.value.clone());
        if mirrors.iter().any(|mirror| part(mirror, "skip_verify").and_then(|value| value.truth()) == Some(true)) {
            let message = "`skip_verify` of `containerd_registries_mirrors` is left out; certificates of `https://` mirrors are verified, by `ca` where it is given";
            self.remark(place, message);
        }
        for name in ["header", "client", "ca", "override_path"] {
            if mirrors.iter().any(|mirror| part(mirror, name).is_some_and(|value| !matches!(value, Value::Bool(false))))
            {
                self.remark(place, format!("`{name}` of `containerd_registries_mirrors` is left out; cluster.yaml has `host`, `mirrors` and `ca`"));
            }
        }
        if item.value.get("server").is_some() {
            self.remark(
                place,
                "`server` of `containerd_registries_mirrors` is left out; to have it asked, list it under `mirrors`",
            );
        }
        let url = |mirror: &Node| part(mirror, "host").and_then(|value| value.filled_text());
        let mirrors = mirrors.iter().filter_map(url).map(|url| url.trim_end_matches('/').to_owned()).collect();
        Some(Registry { host, mirrors, ca: None })
    }
}
