use std::collections::BTreeMap;
use std::path::Path;

use kbundle_format::ComponentName;
use serde::Deserialize;

use super::*;

/// The pairings in the built-in catalog.
#[derive(Deserialize)]
struct Catalog {
    releases: BTreeMap<String, Paired>,
}

#[derive(Deserialize)]
struct Paired {
    components: BTreeMap<String, String>,
}

fn catalog() -> Catalog {
    serde_yaml::from_str(include_str!("../../../../manifests/catalog/releases.yaml")).unwrap()
}

fn kube(text: &str) -> KubeVersion {
    text.parse().unwrap()
}

#[test]
fn versions_are_read_with_what_others_append() {
    for (text, release) in [
        ("3.5.24", Some(Release::new(3, 5, 24))),
        ("v2.3.4+unknown", Some(Release::new(2, 3, 4))),
        ("1.6.20~ds1-1+deb12u1", Some(Release::new(1, 6, 20))),
        ("3.5.24-0", Some(Release::new(3, 5, 24))),
        ("3.5", None),
        ("3.x.1", None),
        ("3.5.", None),
    ] {
        assert_eq!(Release::read(text), release, "{text}");
    }
    assert!(Release::new(1, 7, 13) < Release::new(2, 0, 0) && Release::new(3, 5, 9) < Release::new(3, 5, 24));
}

#[test]
fn rows_hold_from_their_first_version_until_the_first_that_is_otherwise() {
    use kubernetes::{CGROUP_V1_REFUSED, CONNTRACK_FOR_KUBEADM, CRI_SOCKET_ANNOTATION};
    assert!(!CGROUP_V1_REFUSED.holds(kube("1.34.10")) && CGROUP_V1_REFUSED.holds(kube("1.35.0")));
    assert!(CONNTRACK_FOR_KUBEADM.holds(kube("1.31.14")) && !CONNTRACK_FOR_KUBEADM.holds(kube("1.32.0")));
    assert!(CRI_SOCKET_ANNOTATION.holds(kube("1.33.13")) && !CRI_SOCKET_ANNOTATION.holds(kube("1.34.0")));
}

#[test]
fn every_row_is_of_a_version_that_is_installed_and_names_its_source() {
    for rule in kubernetes::RULES {
        assert!(rule.source.contains(['.', '/']) && !rule.what.is_empty(), "{rule:?}");
        assert!(
            rule.since.is_some() || rule.until.is_some(),
            "holds for all, so it is not a rule by version: {rule:?}"
        );
        assert!(rule.since.is_none_or(|since| since > OLDEST_KUBERNETES), "holds for all installed: {rule:?}");
        assert!(rule.until.is_none_or(|until| until > OLDEST_KUBERNETES), "holds for nothing installed: {rule:?}");
    }
    for rule in containerd::RULES.into_iter().chain(etcd::RULES) {
        assert!(rule.since.is_some() && rule.source.contains('/'), "{rule:?}");
    }
    for floors in [&pairing::ETCD[..], &pairing::CONTAINERD_FLOORS[..]] {
        assert_eq!(floors[0].kubernetes, OLDEST_KUBERNETES);
        assert!(floors.is_sorted_by(|one, next| one.kubernetes < next.kubernetes));
    }
}

/// A row that no code asks is a fact that nobody checks: the code that depends on it decides in another way, or not at all.
#[test]
fn every_row_is_asked_by_the_program() {
    fn sources(directory: &Path, found: &mut String) {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("version_rules") {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs_err::read_to_string(path).unwrap();
                found.extend(
                    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")),
                );
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = crates.join("bundles/cluster/src");
    let mut program = String::new();
    sources(&source, &mut program);
    sources(&crates.join("installer/src"), &mut program);
    let tables = ["kubernetes", "containerd", "etcd"].map(|name| source.join(format!("version_rules/{name}.rs")));
    let tables = tables.map(|path| fs_err::read_to_string(path).unwrap()).concat();
    let names = tables.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": "));
    let rows: Vec<_> = names.filter(|(_, kind)| !kind.starts_with('[')).map(|(name, _)| name).collect();
    assert!(rows.len() > 12, "{rows:?}");
    let statements: Vec<_> = program.split(';').filter(|one| !one.trim_start().starts_with("use ")).collect();
    let unasked: Vec<_> = rows.iter().filter(|name| !statements.iter().any(|one| one.contains(**name))).collect();
    assert!(unasked.is_empty(), "{unasked:?}");
}

/// Users install what is in the catalog, so they cross each boundary between its releases.
#[test]
fn each_pairing_of_the_catalog_satisfies_the_table() {
    let catalog = catalog();
    assert!(catalog.releases.len() > 10);
    for (version, paired) in &catalog.releases {
        let version = kube(version);
        assert!(version >= OLDEST_KUBERNETES, "{version}");
        let version_of = |component: ComponentName| paired.components.get(component.as_str()).map(String::as_str);
        assert!(
            [ComponentName::Etcd, ComponentName::Containerd]
                .iter()
                .all(|&name| version_of(name).and_then(Release::read).is_some())
        );
        pairing::check(version, version_of).unwrap();
    }
}

#[test]
fn what_is_too_old_is_refused_with_both_versions() {
    let paired = |version: &str, etcd: &'static str, containerd: &'static str| {
        let version_of =
            |component: ComponentName| Some(if component == ComponentName::Etcd { etcd } else { containerd });
        pairing::check(kube(version), version_of).map_err(|error| error.to_string())
    };
    insta::assert_snapshot!(paired("1.34.3", "3.5.23", "2.3.4").unwrap_err(), @"Kubernetes 1.34.3 takes etcd 3.5.24 or later (cmd/kubeadm/app/constants/constants.go, MinExternalEtcdVersion), and the bundle has 3.5.23");
    insta::assert_snapshot!(paired("1.36.3", "3.6.8", "1.7.28").unwrap_err(), @r#"Kubernetes 1.36.3 takes containerd 2.0.0 or later (containerd/containerd RELEASES.md, "Kubernetes Support"), and the bundle has 1.7.28"#);
    assert!(paired("1.26.0", "3.5.6", "1.6.14").is_err());
    assert_eq!(paired("1.32.9", "3.5.11", "1.7.13"), Ok(()));
    assert_eq!(paired("1.35.0", "3.5.24", "1.7.13"), Ok(()));
    assert_eq!(paired("1.25.2", "3.5.4", "a build of the site"), Ok(()), "cannot be judged");
}
