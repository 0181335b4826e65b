use kbundle_format::{EntryKind, KubeVersion};

use super::*;
use crate::check::{Outcome, check};
use crate::config::Architecture;
use crate::contents::ContentFile;

const IMAGES: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "pause", "haproxy"];

const BOTH: [Architecture; 2] = [Architecture::Amd64, Architecture::Arm64];

/// A bundle for amd64 with everything that `HOSTS` need.
fn bundle() -> BundleContents {
    bundle_without(&BOTH[..1], &[])
}

/// A bundle with the binaries and images of Kubernetes for these architectures, without some images.
fn bundle_without(architectures: &[Architecture], left_out: &[&str]) -> BundleContents {
    let version: KubeVersion = "1.36.3".parse().unwrap();
    let platforms = architectures.iter().map(|arch| arch.platform()).collect();
    let mut contents = BundleContents::new(version, platforms);
    for platform in contents.platforms.clone() {
        for name in ComponentName::OF_HOSTS {
            let version = match name {
                ComponentName::Etcd => "3.6.8",
                ComponentName::Containerd => "2.3.3",
                _ => "1.36.3",
            };
            let component = kbundle_format::Component { name: name.to_string(), version: version.to_owned() };
            contents.add_file(ContentFile {
                component: Some(&component),
                platform: Some(&platform),
                ..file(&format!("artifacts/{name}"), EntryKind::Binary)
            });
        }
        for image in IMAGES.into_iter().filter(|image| !left_out.contains(image)) {
            contents.add_image(format!("registry.k8s.io/{image}:v1").parse().unwrap(), platform.clone());
        }
    }
    contents
}

/// A file whose path and roles are leaked, so that they live as long as the test.
fn file(path: &str, kind: EntryKind) -> ContentFile<'static> {
    let (path, roles) = (Box::leak(Box::new(path.parse().unwrap())), Box::leak(Box::default()));
    ContentFile { path, kind, component: None, platform: None, roles, host_file: None }
}

fn cluster(hosts: &str, rest: &str) -> ClusterSpec {
    ClusterSpec::parse(&format!("hosts:\n{hosts}\n{rest}\n")).unwrap()
}

/// Three control planes and a worker.
const HOSTS: &str = "\
- {name: c1, address: 192.0.2.1, roles: [control-plane, etcd]}
- {name: c2, address: 192.0.2.2, roles: [control-plane, etcd]}
- {name: c3, address: 192.0.2.3, roles: [control-plane, etcd]}
- {name: w1, address: 192.0.2.4, roles: [worker]}";

fn told(outcome: &Outcome) -> String {
    let line = |unmet: &crate::check::Unmet| {
        let remedy = unmet.mismatch.remedy().map(|remedy| format!(" [{} | {}]", remedy.flag, remedy.key));
        format!("{}: {}{}", unmet.hosts.join(","), unmet.mismatch, remedy.unwrap_or_default())
    };
    outcome.unmet.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_bundle_that_has_everything_fits() {
    let outcome = check(&cluster(HOSTS, ""), &bundle());
    assert_eq!(told(&outcome), "");
    assert_eq!(outcome.unknown_architecture, ["c1", "c2", "c3", "w1"]);
    assert_eq!(told(&check(&ClusterSpec::default(), &bundle())), "");
}

#[test]
fn everything_that_is_missing_is_named_once_with_what_adds_it() {
    let contents = bundle_without(&BOTH[..1], &["haproxy"]);
    let spec = cluster(
        &HOSTS.replace("name: w1,", "name: w1, arch: amd64,").replace("name: c1,", "name: c1, arch: arm64,"),
        "addons: [metallb, shop]\nnetwork: {cni: calico}",
    );
    insta::assert_snapshot!(told(&check(&spec, &contents)), @"
    c1: the bundle has nothing for linux/arm64, which is the platform of hosts[0]; build it with `--arch amd64 --arch arm64` [--arch amd64 --arch arm64 | arch: [amd64, arm64]]
    c2,c3,w1: the configuration has network.cni calico, and the bundle has no network add-on, which is for `bridge` and `none`; take one of the bundle's, or build another with `--cni calico` [--cni calico | cni: calico]
    c2,c3,w1: the bundle has no add-on metallb, which the configuration lists under addons; build it with `--addon metallb` [--addon metallb | addons: [metallb]]
    c2,c3,w1: the bundle has no add-on shop, which the configuration lists under addons; build it with `--addon shop` [--addon shop | addons: [shop]]
    w1: the bundle has no haproxy image for this host's platform, which the load balancer `node-local` is; build it without `--load-balancer none`, or set api.load-balancer to `external` or `vip` [--load-balancer haproxy | load-balancer: haproxy]
    ");
}

#[test]
fn an_address_that_moves_needs_its_image() {
    let spec = cluster(HOSTS, "api: {load-balancer: vip, address: 192.0.2.100}");
    insta::assert_snapshot!(told(&check(&spec, &bundle())), @"c1,c2,c3: the bundle has no kube-vip image for this host's platform, which the load balancer `vip` is; build it with `--addon kube-vip`, or set api.load-balancer to `node-local` [--addon kube-vip | addons: [kube-vip]]");
}

#[test]
fn a_chart_needs_helm_for_each_architecture() {
    let mut contents = bundle();
    contents.add_chart("shop");
    insta::assert_snapshot!(told(&check(&cluster(HOSTS, "addons: [shop]"), &contents)), @"c1,c2,c3,w1: the bundle has no helm for this host's platform, which charts are installed with; build it for that platform as well");
}

#[test]
fn what_an_add_on_needs_first_has_to_be_listed_too() {
    let mut contents = bundle();
    for path in ["manifests/metallb/a.yaml", "manifests/team-app/a.yaml"] {
        contents.add_file(file(path, EntryKind::Manifest));
    }
    contents.after.add("team-app", ["metallb".to_owned()]);
    let found = check(&cluster(HOSTS, "addons: [team-app]"), &contents);
    insta::assert_snapshot!(told(&found), @"c1,c2,c3,w1: team-app needs metallb first, which addons does not list; add metallb to addons in cluster.yaml");
    assert_eq!(told(&check(&cluster(HOSTS, "addons: [team-app, metallb]"), &contents)), "");
    assert_eq!(told(&check(&cluster(HOSTS, "addons: [metallb]"), &contents)), "");
}

#[test]
fn a_host_is_checked_for_the_architecture_that_it_has() {
    let spec = cluster(&HOSTS.replace("name: w1,", "name: w1, arch: arm64,"), "");
    assert_eq!(told(&check(&spec, &bundle_without(&BOTH, &[]))), "");
    let mut contents = bundle_without(&BOTH, &["pause"]);
    contents.add_image("registry.k8s.io/pause:v1".parse().unwrap(), Architecture::Amd64.platform());
    insta::assert_snapshot!(told(&check(&spec, &contents)), @"c1,c2,c3,w1: the bundle has no pause image for linux/arm64");
    let platform = Architecture::Amd64.platform();
    let roles = [Role::Worker].into();
    let host = HostProfile { name: Some("w1"), platform: &platform, roles: &roles, control_planes: 3 };
    insta::assert_snapshot!(mismatches(&spec, &contents, &host)[0], @"the host has the architecture amd64, and hosts[3].arch says arm64; correct the one or the other");
}
