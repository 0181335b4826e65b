//! Tests each kind of drift on a directory that stands in for a host's root, and that there is none before.

use std::path::Path;

use fs_err as fs;
use kbundle_format::Digest;

use super::*;
use crate::certificates::place::RenewedBy;
use crate::certificates::{CertificateReport, State};
use crate::config::ClusterSpec;
use crate::fixture::bench::{Bench, Script};
use crate::fixture::{self, Cluster};
use crate::host::{Change, Command};
use crate::join_material::JoinMaterial;
use crate::kubeadm::written::Recording;
use crate::records::Records;
use crate::steps::Swap;

/// A worker of a cluster with three control planes and two workers, or with `c1` one of its control planes.
fn cluster() -> Cluster {
    Cluster::of_three_and_two()
}

/// The findings that are not as approved, as `subject: found`, and the number of all findings.
fn drifts(findings: &[Finding]) -> Vec<String> {
    let drift = |finding: &Finding| match &finding.verdict {
        Verdict::AsApproved => None,
        Verdict::Drifted { found, .. } => Some(format!("{}: {found}", finding.subject)),
        Verdict::Unknown { reason } => Some(format!("{} unknown: {reason}", finding.subject)),
    };
    assert!(!findings.is_empty(), "nothing was looked at");
    findings.iter().filter_map(drift).collect()
}

const NONE: [&str; 0] = [];

fn link(bench: &Bench, target: &str, path: &str) {
    let _ = fs::remove_file(bench.path(path));
    fs::os::unix::fs::symlink(bench.path(target), bench.path(path)).unwrap();
}

fn set_mode(bench: &Bench, path: &str, mode: u32) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(bench.path(path), permissions).unwrap();
}

#[test]
fn a_program_drifts_by_its_content_its_mode_and_its_absence() {
    let bench = Bench::new();
    let approved = [("/usr/local/bin/kubelet".to_owned(), Digest::of(b"kubelet"))].into();
    bench.file("usr/local/bin/kubelet", "kubelet");
    set_mode(&bench, "usr/local/bin/kubelet", 0o755);
    // Tests may run as a user other than root, who then owns the file.
    let of_tests = bench.host().owner("/usr/local/bin/kubelet").unwrap().unwrap();
    let look = || drifts(&files::programs(&bench.host(), &approved).unwrap());
    if of_tests.user == 0 {
        assert_eq!(look(), NONE);
    }
    set_mode(&bench, "usr/local/bin/kubelet", 0o777);
    assert_eq!(look(), ["/usr/local/bin/kubelet: mode 0777"]);
    bench.file("usr/local/bin/kubelet", "kubelet!");
    assert_eq!(look(), [format!("/usr/local/bin/kubelet: {}", Digest::of(b"kubelet!"))]);
    fs::remove_file(bench.path("usr/local/bin/kubelet")).unwrap();
    assert_eq!(look(), ["/usr/local/bin/kubelet: no such file"]);
}

#[test]
fn a_file_of_kinstall_that_others_may_write_has_drifted() {
    let bench = Bench::new();
    bench.host().write_file("/etc/containerd/config.toml", b"", 0o644).unwrap();
    bench.host().write_file("/etc/site.conf", b"", 0o666).unwrap();
    bench.file("etc/of-others", "");
    set_mode(&bench, "etc/of-others", 0o666);
    let look = || drifts(&files::access(&bench.host(), &["/etc/site.conf"].into()).unwrap());
    set_mode(&bench, "etc/containerd/config.toml", 0o664);
    assert_eq!(look(), ["/etc/containerd/config.toml: mode 0664"]);
    set_mode(&bench, "etc/containerd/config.toml", 0o644);
    let is_root = bench.host().owner("/etc/containerd/config.toml").unwrap().unwrap().user == 0;
    assert_eq!(look().is_empty(), is_root);
}

#[test]
fn a_key_that_others_may_read_has_drifted() {
    let bench = Bench::new();
    let secrets = ["etc/kubernetes/admin.conf", "etc/kubernetes/pki/ca.key", "etc/etcd/pki/peer.key"];
    for path in secrets {
        bench.file(path, "secret");
        set_mode(&bench, path, 0o600);
    }
    bench.file("etc/kubernetes/pki/ca.crt", "everybody may read it");
    let of_tests = bench.host().owner("/etc/kubernetes/admin.conf").unwrap().unwrap();
    let look = || drifts(&files::secrets(&bench.host()).unwrap());
    if of_tests.user == 0 {
        assert_eq!(look(), NONE);
    }
    set_mode(&bench, "etc/kubernetes/pki/ca.key", 0o640);
    assert!(look().contains(&"/etc/kubernetes/pki/ca.key: mode 0640".to_owned()));
}

/// The file is laid out as containerd does: its name is the digest of its content.
#[test]
fn content_that_was_altered_has_drifted() {
    let bench = Bench::new();
    let kept = |content: &[u8]| {
        format!("var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/{}", Digest::of(content).hex())
    };
    bench.file(&kept(b"layer"), "layer");
    bench.file(&kept(b"configuration"), "configuration");
    let look = || drifts(&content::look(&bench.host()).unwrap());
    assert_eq!(look(), NONE);
    bench.file(&kept(b"layer"), "another layer");
    assert_eq!(look(), [format!("content {}: {}", Digest::of(b"layer"), Digest::of(b"another layer"))]);
}

#[test]
fn a_certificate_drifts_by_its_end_and_by_its_authority() {
    let report = |state, problem: Option<&str>| CertificateReport {
        name: "apiserver".into(),
        path: "/etc/kubernetes/pki/apiserver.crt".into(),
        state,
        problem: problem.map(str::to_owned),
        content: None,
        authority: "/etc/kubernetes/pki/ca.crt".into(),
        verified: None,
        renewed_by: RenewedBy::Kinstall,
    };
    let look = |state, problem| drifts(&[certificates::finding(report(state, problem))]);
    assert_eq!(look(State::Good, None), NONE);
    assert_eq!(look(State::Expiring, Some("it ends in 9 days")), NONE);
    let subject = "apiserver, /etc/kubernetes/pki/apiserver.crt";
    assert_eq!(look(State::Expired, Some("it ended on 2026-11-27")), [format!("{subject}: it ended on 2026-11-27")]);
    let foreign = "its authority did not sign it";
    assert_eq!(look(State::Invalid, Some(foreign)), [format!("{subject}: {foreign}")]);
    assert_eq!(look(State::Unknown, Some("it is not there")), [format!("{subject} unknown: it is not there")]);
}

#[test]
fn other_settings_than_those_of_the_given_description_are_drifts() {
    let given = cluster().spec;
    let records = |spec: ClusterSpec| Records {
        list_bytes: vec![],
        signatures: vec![],
        keys: vec![],
        spec,
        name: Some("c1".into()),
    };
    let list = fixture::list("1.25.2");
    assert_eq!(drifts(&settings::look(&records(given.clone()), &given, &list)), NONE);
    let mut named = given.clone();
    named.network.cni = Some(crate::config::Cni::Bridge);
    assert_eq!(drifts(&settings::look(&records(named), &given, &list)), NONE, "a record names what the bundle brings");
    let mut standing = given.clone();
    standing.kubelet.max_pods = 60;
    assert_eq!(drifts(&settings::look(&records(standing), &given, &list)), ["kubelet.max-pods: 60"]);
}

#[test]
fn a_process_drifts_by_what_it_runs_and_by_what_is_put_into_it() {
    let bench = Bench::new();
    let approved = [("/usr/local/bin/etcd".to_owned(), Digest::of(b"etcd"))].into();
    bench.file("usr/local/bin/etcd", "etcd");
    bench.file("proc/12/comm", "etcd\n");
    link(&bench, "usr/local/bin/etcd", "proc/12/exe");
    link(&bench, "", "proc/12/root");
    let look = || drifts(&processes::look(&bench.host(), &approved).unwrap());
    assert_eq!(look(), NONE);
    bench.file("proc/12/environ", "LD_PRELOAD=/tmp/a.so\0");
    assert_eq!(look(), ["/usr/local/bin/etcd, process 12: LD_PRELOAD=/tmp/a.so"]);
    // containerd sets it for its shims. It has an effect only if the folder has a library.
    bench.file("proc/12/environ", "LD_LIBRARY_PATH=/opt/containerd/lib:\0");
    assert_eq!(look(), NONE);
    bench.file("opt/containerd/lib/a.so", "");
    assert_eq!(look(), ["/usr/local/bin/etcd, process 12: LD_LIBRARY_PATH=/opt/containerd/lib:"]);
    bench.file("proc/12/environ", "");
    // The approved content, in a file that was written again.
    bench.file("usr/local/bin/etcd (deleted)", "etcd");
    link(&bench, "usr/local/bin/etcd (deleted)", "proc/12/exe");
    assert_eq!(look(), NONE);
    bench.file("usr/local/bin/etcd (deleted)", "other");
    let found = format!("{}, of a file that was removed or replaced", Digest::of(b"other"));
    assert_eq!(look(), [format!("/usr/local/bin/etcd, process 12: {found}")]);
    // In a container, that path is another file.
    bench.file("container/etc/passwd", "");
    link(&bench, "container", "proc/12/root");
    assert!(processes::look(&bench.host(), &approved).unwrap().is_empty());
}

#[test]
fn libraries_for_every_program_are_a_drift() {
    let bench = Bench::new();
    let look = || drifts(&processes::preload(&bench.host()).unwrap());
    assert_eq!(look(), NONE);
    bench.file("etc/ld.so.preload", "/tmp/a.so\n");
    assert_eq!(look(), ["/etc/ld.so.preload: /tmp/a.so"]);
}

/// A fake systemd, whose units are described below `systemd/` in the root.
fn systemctl(root: &Path, command: &Command) -> Option<String> {
    let units = ["containerd.service", "kubelet.service", "chrony.service"];
    let block = |unit: &str| {
        let text = |name: &str, otherwise: &str| {
            fs::read_to_string(root.join("systemd").join(format!("{unit}.{name}")))
                .unwrap_or_else(|_| otherwise.to_owned())
        };
        let (fragment, drop_ins) = (text("fragment", &format!("/etc/systemd/system/{unit}")), text("drop-ins", ""));
        let (state, reload) = (text("state", "enabled"), text("reload", "no"));
        format!(
            "Id={unit}\nLoadState=loaded\nActiveState=active\nUnitFileState={state}\nNeedDaemonReload={reload}\n\
             FragmentPath={fragment}\nDropInPaths={drop_ins}\n"
        )
    };
    (command.program == "systemctl").then(|| units.map(block).join("\n"))
}

#[test]
fn a_unit_drifts_by_a_drop_in_another_file_and_not_starting_at_boot() {
    let bench = Bench::with_programs(systemctl);
    let of_chrony = Change::Unit { name: "chrony.service".into(), was_enabled: true, was_active: true };
    bench.host().ledger_mut().record(of_chrony).unwrap();
    // A unit of the distribution, with a drop-in file of the site that restarts it.
    bench.file("systemd/chrony.service.fragment", "/usr/lib/systemd/system/chrony.service");
    bench.file("systemd/chrony.service.drop-ins", "/etc/systemd/system/chrony.service.d/site.conf");
    let own = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf /usr/lib/systemd/system/service.d/10-timeout.conf";
    let of_site = "/etc/systemd/system/containerd.service.d/proxy.conf";
    bench.file("systemd/kubelet.service.drop-ins", own);
    bench.file("systemd/containerd.service.drop-ins", of_site);
    let cluster = cluster();
    let look = || {
        let material = JoinMaterial::default();
        let found = bench.look_as(&cluster, "w1", &material, |context| {
            units::look(&context.host, context, &[of_site].into()).unwrap()
        });
        drifts(&found)
    };
    assert_eq!(look(), NONE);
    bench.file("systemd/kubelet.service.drop-ins", &format!("{own} /run/systemd/system/kubelet.service.d/a.conf"));
    bench.file("systemd/containerd.service.fragment", "/run/systemd/system/containerd.service");
    bench.file("systemd/containerd.service.reload", "yes");
    bench.file("systemd/chrony.service.state", "disabled");
    assert_eq!(
        look(),
        [
            "chrony.service: disabled",
            "containerd.service: /run/systemd/system/containerd.service",
            "containerd.service: they changed since",
            "kubelet.service: /run/systemd/system/kubelet.service.d/a.conf",
        ]
    );
}

#[test]
fn a_unit_that_is_gone_has_drifted() {
    let cluster = cluster();
    let found = Bench::new().look_as(&cluster, "c1", &JoinMaterial::default(), |context| {
        units::look(&context.host, context, &BTreeSet::new()).unwrap()
    });
    assert_eq!(drifts(&found), ["containerd.service: none", "etcd.service: none", "kubelet.service: none"]);
}

#[test]
fn a_static_pod_drifts_by_being_there_being_changed_and_being_gone() {
    let (bench, cluster) = (Bench::new(), cluster());
    let manifest = |pod: &str| format!("etc/kubernetes/manifests/{pod}.yaml");
    let look = || {
        let found = bench.look_as(&cluster, "c1", &JoinMaterial::default(), |context| {
            static_pods::look(&context.host, context, &BTreeSet::new()).unwrap()
        });
        drifts(&found)
    };
    let pods = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    for pod in pods {
        bench.file(&manifest(pod), pod);
    }
    let unknown = |pod: &str| format!("/{} unknown: kinstall has no record of what kubeadm wrote there", manifest(pod));
    assert_eq!(look(), pods.map(unknown), "set up by a kinstall that kept no record");
    Recording::begin(&bench.host()).unwrap().end(&bench.host()).unwrap();
    bench.file("etc/kubernetes/manifests/.kept", "the kubelet passes over it");
    assert_eq!(look(), NONE);
    bench.file(&manifest("extra"), "a pod of others");
    bench.file(&manifest("kube-apiserver"), "changed");
    fs::remove_file(bench.path(&manifest("kube-scheduler"))).unwrap();
    assert_eq!(
        look(),
        [
            "/etc/kubernetes/manifests/extra.yaml: a static pod of others".to_owned(),
            format!("/etc/kubernetes/manifests/kube-apiserver.yaml: {}", Digest::of(b"changed")),
            "/etc/kubernetes/manifests/kube-scheduler.yaml: no such file".to_owned(),
        ]
    );
}

#[test]
fn the_node_local_load_balancer_is_expected_on_a_worker_alone() {
    let (bench, cluster) = (Bench::new(), cluster());
    bench.file("etc/kubernetes/manifests/haproxy.yaml", "");
    let look = |name: &str| {
        let found = bench.look_as(&cluster, name, &JoinMaterial::default(), |context| {
            static_pods::look(&context.host, context, &BTreeSet::new()).unwrap()
        });
        found.into_iter().filter(|finding| finding.subject.contains("haproxy")).count()
    };
    assert_eq!((look("w1"), look("c1")), (0, 1));
}

/// A fake containerd, with the files `images` and `containers` of the root, and a kubelet with the containers in `pods`.
fn containerd(root: &Path, command: &Command) -> Option<String> {
    let said = command.arguments.join(" ");
    let file = if said.ends_with("images list") {
        "images"
    } else if said.ends_with("containers list") {
        "containers"
    } else {
        "pods"
    };
    fs::read_to_string(root.join(file)).ok()
}

fn containerd_with(images: &[(&str, Digest)], containers: &[(&str, &str)], pods: &serde_json::Value) -> Bench {
    let script: Script = containerd;
    let bench = Bench::with_programs(script);
    let image = |(name, digest): &(&str, Digest)| format!("{name} application/x {digest} 1.0 MiB linux/amd64 -\n");
    bench.file(
        "images",
        &format!("REF TYPE DIGEST SIZE PLATFORMS LABELS\n{}", images.iter().map(image).collect::<String>()),
    );
    let container = |(id, image): &(&str, &str)| format!("{id} {image} io.containerd.runc.v2\n");
    let containers = containers.iter().map(container).collect::<String>();
    bench.file("containers", &format!("CONTAINER IMAGE RUNTIME\n{containers}"));
    bench.file("pods", &serde_json::json!({ "containers": pods }).to_string());
    bench
}

fn pod(id: &str, image: &str) -> serde_json::Value {
    serde_json::json!({
        "id": id,
        "imageRef": image,
        "labels": {
            "io.kubernetes.pod.namespace": "shop",
            "io.kubernetes.pod.name": "cart",
            "io.kubernetes.container.name": "web",
        },
    })
}

#[test]
fn an_image_drifts_by_a_name_that_stands_for_another_and_by_a_foreign_name() {
    const PAUSE: &str = "registry.k8s.io/pause:3.8";
    // This cluster has a list of its own: the shared one has images without content.
    let cluster = Cluster { list: fixture::list("1.25.2"), ..cluster() };
    let pause = Digest::of(PAUSE.as_bytes());
    let look = |images: &[(&str, Digest)]| {
        let bench = containerd_with(images, &[], &serde_json::json!([]));
        let found = bench.look_as(&cluster, "w1", &JoinMaterial::default(), |context| {
            containers::images(&context.host, context).unwrap()
        });
        drifts(&found)
    };
    let by_content = format!("sha256:{}", Digest::of(b"configuration").hex());
    let approved = [(PAUSE, pause), (by_content.as_str(), pause)];
    assert_eq!(look(&approved), NONE);
    let other = Digest::of(b"another image");
    assert_eq!(look(&[(PAUSE, other)]), [format!("{PAUSE}: {other}")]);
    let foreign = "example.org/foreign:1";
    assert_eq!(look(&[(foreign, pause)]), [format!("{foreign}: {pause}")]);
    assert_eq!(look(&[(by_content.as_str(), other)]), [format!("{by_content}: {other}")]);
}

#[test]
fn a_container_drifts_by_an_image_that_the_bundle_does_not_hold() {
    const PAUSE: &str = "registry.k8s.io/pause:3.8";
    let cluster = cluster();
    let (pause, other) = (Digest::of(PAUSE.as_bytes()), Digest::of(b"another image"));
    let images = [(PAUSE, pause), ("example.org/foreign:1", other)];
    let look = |containers: &[(&str, &str)], pods: &serde_json::Value| {
        let bench = containerd_with(&images, containers, pods);
        let found = bench.look_as(&cluster, "w1", &JoinMaterial::default(), |context| {
            containers::look(&context.host, context).unwrap()
        });
        drifts(&found)
    };
    let approved = serde_json::json!([pod("b2", &format!("registry.k8s.io/pause@{pause}"))]);
    assert_eq!(look(&[("a1", PAUSE), ("b2", PAUSE)], &approved), NONE);
    // The name refers to the approved image, but the container runs another one.
    let replaced = serde_json::json!([pod("b2", &other.to_string())]);
    assert_eq!(look(&[("b2", PAUSE)], &replaced), [format!("shop/cart, container web: {PAUSE}, {other}")]);
    let beside = look(&[("c3", "example.org/foreign:1"), ("d4", "-")], &serde_json::json!([]));
    assert_eq!(
        beside,
        [format!("container c3: example.org/foreign:1, {other}"), "container d4: -, without a digest".to_owned()]
    );
}

/// An API server with the bindings in the root's `bindings`.
fn api(root: &Path, command: &Command) -> Option<String> {
    let answer =
        || fs::read_to_string(root.join("bindings")).unwrap_or_else(|_| "fails: connection refused".to_owned());
    command.program.ends_with("/kubectl").then(answer)
}

#[test]
fn administrators_that_kubernetes_does_not_make_have_drifted() {
    let bench = Bench::with_programs(api);
    let binding = |name: &str, role: &str, subjects: serde_json::Value| serde_json::json!({"metadata": {"name": name}, "roleRef": {"name": role}, "subjects": subjects});
    let group = |name: &str| serde_json::json!({"kind": "Group", "name": name});
    let look = |bindings: serde_json::Value| {
        bench.file("bindings", &serde_json::json!({ "items": bindings }).to_string());
        drifts(&rights::look(&Kubectl::on(&bench.host())).unwrap())
    };
    let own = binding("cluster-admin", "cluster-admin", serde_json::json!([group("system:masters")]));
    let others = binding("system:node", "system:node", serde_json::json!([]));
    assert_eq!(look(serde_json::json!([own, others])), NONE);
    let account = serde_json::json!({"kind": "ServiceAccount", "namespace": "shop", "name": "helper"});
    let wider = binding("cluster-admin", "cluster-admin", serde_json::json!([group("system:masters"), account]));
    let helper = binding("helper", "cluster-admin", serde_json::json!([account]));
    assert_eq!(
        look(serde_json::json!([wider, helper])),
        [
            "ClusterRoleBinding cluster-admin: Group system:masters, ServiceAccount shop/helper",
            "ClusterRoleBinding helper: ServiceAccount shop/helper",
        ]
    );
    fs::remove_file(bench.path("bindings")).unwrap();
    let error = rights::look(&Kubectl::on(&bench.host())).unwrap_err();
    assert!(format!("{error:#}").ends_with("connection refused"), "{error:#}");
}

#[test]
fn a_step_that_would_change_something_has_drifted() {
    let (bench, cluster) = (Bench::new(), cluster());
    let look = || {
        let found = bench.look_as(&cluster, "w1", &JoinMaterial::default(), |context| steps::look_at(&Swap, context));
        drifts(&[found])
    };
    assert_eq!(look(), NONE);
    bench.file("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 8 0 -2\n");
    assert_eq!(look(), ["swap: swap is on: /dev/sda2"]);
}

/// A bare host: what is missing is found, what cannot be looked at is unknown, and nothing is changed.
#[test]
fn a_host_without_anything_is_neither_approved_nor_changed() {
    let (bench, cluster) = (Bench::new(), cluster());
    let findings =
        bench.look_as(&cluster, "w1", &JoinMaterial::default(), |context| audit(context, ImageDepth::Content));
    assert_eq!(Overall::of(&findings), Overall::Drifted);
    assert!(findings.iter().any(|finding| matches!(finding.verdict, Verdict::Unknown { .. })));
    let groups: BTreeSet<_> = findings.iter().map(|finding| finding.group).collect();
    for group in [Group::Steps, Group::Programs, Group::Units, Group::StaticPods] {
        assert!(groups.contains(&group), "{group}");
    }
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 0, "something was written");
}
