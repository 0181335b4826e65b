//! Where containerd pulls images from, by the registry that they name. containerd reads the files at each pull, so it is not restarted.
//!
//! Source: containerd, `docs/hosts.md`.

use std::fmt::Write as _;

use crate::config::{EVERY_OTHER, Registry};
use crate::host::{Host, HostError};

/// A folder for each registry.
pub const DIRECTORY: &str = "/etc/containerd/certs.d";
/// The first line of each file that kinstall writes.
const MARK: &str = "# Written by kinstall: ";

/// The files to write, by path.
pub fn files(registries: &[Registry]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for registry in registries {
        let name = if registry.host == EVERY_OTHER { "_default" } else { &registry.host };
        let folder = format!("{DIRECTORY}/{name}");
        files.push((format!("{folder}/hosts.toml"), hosts(registry, &format!("{folder}/ca.crt"))));
        files.extend(registry.ca.clone().map(|ca| (format!("{folder}/ca.crt"), ca)));
    }
    files
}

/// The last mirror is also containerd's `server`: without one, containerd would fall back to the registry in the image's name, which no
/// host here can reach. containerd rejects a file without a table `host`, so the last mirror is in such a table as well.
fn hosts(registry: &Registry, ca_path: &str) -> String {
    let trust = registry.ca.as_ref().map(|_| format!("ca = \"{ca_path}\"\n")).unwrap_or_default();
    let settings = format!("capabilities = [\"pull\", \"resolve\"]\n{trust}");
    let mut text = format!("{MARK}registry {}.\n", registry.host);
    if let Some(last) = registry.mirrors.last() {
        let _ = write!(text, "server = \"{last}\"\n{settings}");
    }
    for mirror in &registry.mirrors {
        let _ = write!(text, "\n[host.\"{mirror}\"]\n{settings}");
    }
    text
}

/// Folders that kinstall made for registries that are no longer listed. Even if it is empty, such a folder would keep containerd from the
/// folder for all other registries.
pub fn stale(host: &Host, registries: &[Registry]) -> Result<Vec<String>, HostError> {
    let wanted = files(registries);
    let mut stale = Vec::new();
    for name in host.names_in(DIRECTORY)? {
        let folder = format!("{DIRECTORY}/{name}");
        let path = format!("{folder}/hosts.toml");
        let is_ours = host.read_text(&path)?.is_some_and(|text| text.starts_with(MARK));
        if is_ours && !wanted.iter().any(|(known, _)| *known == path) {
            stale.push(folder);
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::Bench;

    fn registry(host: &str, mirrors: &[&str], ca: Option<&str>) -> Registry {
        let mirrors = mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
        Registry { host: host.to_owned(), mirrors, ca: ca.map(str::to_owned) }
    }

    #[test]
    fn the_registry_itself_is_never_asked() {
        let two = ["https://a.example.com:5000", "http://192.0.2.7"];
        let written = files(&[registry("docker.io", &two, Some("PEM")), registry("*", &two[1..], None)]);
        let shown: Vec<_> = written.iter().map(|(path, content)| format!("--- {path}\n{content}")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        --- /etc/containerd/certs.d/docker.io/hosts.toml
        # Written by kinstall: registry docker.io.
        server = "http://192.0.2.7"
        capabilities = ["pull", "resolve"]
        ca = "/etc/containerd/certs.d/docker.io/ca.crt"

        [host."https://a.example.com:5000"]
        capabilities = ["pull", "resolve"]
        ca = "/etc/containerd/certs.d/docker.io/ca.crt"

        [host."http://192.0.2.7"]
        capabilities = ["pull", "resolve"]
        ca = "/etc/containerd/certs.d/docker.io/ca.crt"

        --- /etc/containerd/certs.d/docker.io/ca.crt
        PEM
        --- /etc/containerd/certs.d/_default/hosts.toml
        # Written by kinstall: registry *.
        server = "http://192.0.2.7"
        capabilities = ["pull", "resolve"]

        [host."http://192.0.2.7"]
        capabilities = ["pull", "resolve"]
        "#);
    }

    #[test]
    fn registries_that_left_are_forgotten_and_those_of_others_stay() {
        let bench = Bench::new();
        let mut host = bench.host();
        for (path, content) in files(&[registry("a", &["https://x"], None), registry("b", &["https://x"], None)]) {
            host.write_file(&path, content.as_bytes(), 0o644).unwrap();
        }
        host.write_file(&format!("{DIRECTORY}/c/hosts.toml"), b"server = 'https://c'", 0o644).unwrap();
        let left = stale(&host, &[registry("a", &["https://y"], None)]).unwrap();
        assert_eq!(left, [format!("{DIRECTORY}/b")]);
    }
}
