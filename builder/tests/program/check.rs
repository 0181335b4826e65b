//! Whether a bundle has what a cluster needs: checked for a bundle, and before one is built.

use std::path::Path;

use fs_err as fs;
use kbundle_format::{Component, ComponentName, Digest, EntryKind, EntryPath, Image, fixtures};

use crate::upstream::{KUBELET, Upstream, failure, kbundle_in, success};

/// One control plane, and a worker of another architecture.
const CLUSTER: &str = "\
name: plant
addons: [metallb]
hosts:
- {name: c1, address: 192.0.2.1, arch: amd64, roles: [control-plane, etcd]}
- {name: w1, address: 192.0.2.2, arch: arm64, roles: [worker]}
";

/// Writes `fits.tar.zst` to `folder`, a bundle for linux/amd64 with the programs and images of Kubernetes, and `one-host.yaml`, a cluster
/// that it is for.
pub fn write_fitting_bundle(folder: &Path) {
    let content = b"content";
    let digest = Digest::of(content);
    let platform: kbundle_format::Platform = "linux/amd64".parse().unwrap();
    let program = |name: ComponentName| {
        let version = match name {
            ComponentName::Etcd => "3.6.8",
            ComponentName::Containerd => "2.3.3",
            _ => "1.36.3",
        };
        let mut entry = fixtures::entry(&format!("artifacts/linux-amd64/{name}"), digest, content.len() as u64);
        entry.component = Some(Component { name: name.to_string(), version: version.to_owned() });
        entry.platform = Some(platform.clone());
        entry
    };
    let mut list = fixtures::list(ComponentName::OF_HOSTS.map(program).into());
    list.kubernetes_version = "1.36.3".parse().unwrap();
    let mut manifest = fixtures::entry(EntryPath::blob(&digest).as_str(), digest, content.len() as u64);
    manifest.kind = EntryKind::ImageManifest;
    list.entries.push(manifest);
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "pause"] {
        list.images.push(Image {
            reference: format!("registry.k8s.io/{name}:v1").parse().unwrap(),
            platform: platform.clone(),
            manifest: digest,
            pinned: digest,
            roles: kbundle_format::Role::ALL.into(),
        });
    }
    let bytes = fixtures::write(&list, &[], std::io::Cursor::new(Vec::new()), |_| Some(&content[..]));
    fs::write(folder.join("fits.tar.zst"), bytes.into_inner()).unwrap();
    fs::write(folder.join("one-host.yaml"), "name: plant\n").unwrap();
}

#[test]
fn a_bundle_that_has_everything_fits() {
    let folder = tempfile::tempdir().unwrap();
    write_fitting_bundle(folder.path());
    let check = ["check", "fits.tar.zst", "--cluster", "one-host.yaml", "--unsigned"];
    let shown = success(&kbundle_in(folder.path()).args(check).output().unwrap());
    assert_eq!(shown, "fits.tar.zst: has everything that one-host.yaml needs\n");
}

#[test]
fn everything_that_is_missing_is_named_with_what_adds_it() {
    let folder = tempfile::tempdir().unwrap();
    write_fitting_bundle(folder.path());
    fs::write(folder.path().join("cluster.yaml"), CLUSTER).unwrap();
    let check = ["check", "fits.tar.zst", "--cluster", "cluster.yaml", "--unsigned"];
    let (code, text) = failure(&kbundle_in(folder.path()).args(check).output().unwrap());
    assert_eq!(code, 3, "{text}");
    insta::assert_snapshot!(text, @"
    error: fits.tar.zst does not have what cluster.yaml needs
      caused by: line 2: the bundle has no add-on metallb, which the configuration lists under addons; build it with `--addon metallb` (host c1); in bundle.yaml: `addons: [metallb]`
        line 5: the bundle has nothing for linux/arm64, which is the platform of hosts[1]; build it with `--arch amd64 --arch arm64` (host w1); in bundle.yaml: `arch: [amd64, arm64]`
    ");
}

#[test]
fn a_cluster_that_cannot_be_is_a_mistake_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    write_fitting_bundle(folder.path());
    fs::write(folder.path().join("cluster.yaml"), "adons: [metallb]\n").unwrap();
    let check = ["check", "fits.tar.zst", "--cluster", "cluster.yaml", "--unsigned"];
    let (code, text) = failure(&kbundle_in(folder.path()).args(check).output().unwrap());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("line 1, column 1: unknown field `adons`; did you mean `addons`?"), "{text}");
}

#[test]
fn a_bundle_that_a_cluster_could_not_use_is_not_built_and_nothing_is_fetched() {
    let upstream = Upstream::new();
    fs::write(upstream.path("cluster.yaml"), CLUSTER).unwrap();
    for dry in [&[][..], &["--dry-run"]] {
        let flags = [&["--unsigned", "--out=b.tar.zst", "--cluster=cluster.yaml"], dry].concat();
        let (code, text) = failure(&upstream.build(&flags));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("the bundle has no add-on metallb"), "{text}");
        assert!(text.contains("in bundle.yaml: `arch: [amd64, arm64]`"), "{text}");
    }
    assert!(upstream.server.requests(KUBELET).is_empty());
    assert!(!upstream.path("b.tar.zst").exists());
}
