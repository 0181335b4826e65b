use std::path::Path;

use super::super::KubeadmConfig;
use super::*;
use crate::config::ClusterSpec;
use crate::fixture::Cluster;
use crate::fixture::bench::{Bench, FAILS, KUBECONFIG};
use crate::host::{Change, Command};
use crate::join_material::JoinMaterial;
use crate::kubeadm::manifest_path;
use crate::steps::{Check, Step};

/// A control plane whose kubelet runs a new container for each manifest that kubeadm writes; kubeadm fails for the pod in the root's file
/// `broken`.
fn programs(root: &Path, command: &Command) -> Option<String> {
    let asked = command.arguments.join(" ");
    let number = |name: &str| root.join(format!("container-{name}"));
    let runs = |name: &str| fs_err::read_to_string(number(name)).unwrap_or_else(|_| "0".to_owned());
    let next = |name: &str| {
        let next = runs(name).parse::<u32>().unwrap() + 1;
        fs_err::write(number(name), next.to_string()).unwrap();
    };
    if let Some((_, name)) = asked.split_once("ps --quiet --state=running --label=io.kubernetes.container.name=") {
        return Some(format!("{name}-{}\n", runs(name)));
    }
    if let Some((_, id)) = asked.split_once("stop --timeout=30 ") {
        next(id.rsplit_once('-').unwrap().0);
        return None;
    }
    if let Some((_, rest)) = asked.split_once("init phase control-plane ") {
        let name = format!("kube-{}", rest.split(' ').next().unwrap());
        if fs_err::read_to_string(root.join("broken")).is_ok_and(|broken| broken == name) {
            return Some(format!("{FAILS}unknown flag"));
        }
        let configuration = fs_err::read_to_string(root.join("etc/kubernetes/kubeadm.yaml")).unwrap();
        let manifest = root.join(manifest_path(&name).trim_start_matches('/'));
        if fs_err::read_to_string(&manifest).unwrap() != configuration {
            fs_err::write(manifest, configuration).unwrap();
            next(&name);
        }
        return None;
    }
    let (_, pod) = asked.split_once("pod ")?;
    let name = pod.split(' ').next().unwrap().strip_suffix("-c1").unwrap();
    let container = serde_json::json!({"containerID": format!("containerd://{name}-{}", runs(name)), "ready": true});
    Some(serde_json::json!({"status": {"containerStatuses": [container]}}).to_string())
}

fn material() -> JoinMaterial {
    JoinMaterial::default()
}

fn standing(cluster: &Cluster) -> Bench {
    let bench = Bench::with_programs(programs);
    for (name, _, _) in PODS.map(|(_, pod, phase)| (pod.as_str(), pod, phase)) {
        bench.file(manifest_path(name).trim_start_matches('/'), "of kubeadm init");
    }
    bench.file("proc/uptime", "");
    bench.file("etc/kubernetes/admin.conf", KUBECONFIG);
    bench.act_as(cluster, "c1", &material(), |context| KubeadmConfig.apply(context)).unwrap();
    bench.host().ledger_mut().record(Change::StepDone { step: "control-plane".into() }).unwrap();
    assert_eq!(check(&bench, cluster), Check::Done);
    bench.ran();
    bench
}

fn check(bench: &Bench, cluster: &Cluster) -> Check {
    bench.look_as(cluster, "c1", &material(), |context| KubeadmConfig.check(context).unwrap())
}

fn apply(bench: &Bench, cluster: &Cluster) -> anyhow::Result<()> {
    bench.act_as(cluster, "c1", &material(), |context| KubeadmConfig.apply(context))
}

/// The commands that changed something, shortened.
fn acts(bench: &Bench) -> Vec<String> {
    let ran = bench.ran();
    let short = |line: &String| {
        let phase = line.split_once("init phase ").map(|(_, rest)| rest.split(" --config").next().unwrap().to_owned());
        phase.or_else(|| line.split_once("stop --timeout=30 ").map(|(_, id)| format!("stop {id}")))
    };
    ran.iter().filter_map(short).collect()
}

#[test]
fn flags_are_rolled_out_one_pod_after_another_and_a_second_run_changes_nothing() {
    let mut cluster = Cluster::of_three_and_two();
    let bench = standing(&cluster);
    cluster.spec.api_server.extra_args = [("v".to_owned(), "4".into())].into();
    cluster.spec.scheduler.extra_args = [("v".to_owned(), "5".into())].into();
    assert!(matches!(check(&bench, &cluster), Check::Needed(_)));
    apply(&bench, &cluster).unwrap();
    assert_eq!(acts(&bench), ["control-plane apiserver", "control-plane scheduler", "upload-config kubeadm"]);
    assert!(bench.read("etc/kubernetes/manifests/kube-scheduler.yaml").contains("v: '5'"));
    assert_eq!(check(&bench, &cluster), Check::Done);
    assert!(!bench.path("var/lib/kinstall/settings.json").exists());
    // Back to the former settings.
    apply(&bench, &Cluster::of_three_and_two()).unwrap();
    assert_eq!(acts(&bench), ["control-plane apiserver", "control-plane scheduler", "upload-config kubeadm"]);
}

#[test]
fn a_run_that_failed_or_was_cut_off_is_completed_by_the_next() {
    let mut cluster = Cluster::of_three_and_two();
    let bench = standing(&cluster);
    cluster.spec.api_server.extra_args = [("v".to_owned(), "4".into())].into();
    cluster.spec.scheduler.extra_args = [("no-such-flag".to_owned(), "x".into())].into();
    bench.file("broken", "kube-scheduler");
    let error = apply(&bench, &cluster).unwrap_err();
    let said = crate::failure::message(&error);
    assert!(said.contains("kube-scheduler is not healthy with the new settings"), "{said}");
    assert!(said.contains("hint: correct cluster.yaml"), "{said}");
    assert_eq!(check(&bench, &cluster), Check::Needed("a run that changed settings was cut off".into()));
    bench.ran();
    fs_err::remove_file(bench.path("broken")).unwrap();
    cluster.spec.scheduler.extra_args.clear();
    apply(&bench, &cluster).unwrap();
    assert_eq!(acts(&bench), ["control-plane scheduler", "upload-config kubeadm"]);
    assert_eq!(check(&bench, &cluster), Check::Done);
}

/// If a run was cut off between the record and the first file, only this note says that the record is newer than what runs.
#[test]
fn a_change_that_was_only_begun_is_known() {
    let cluster = Cluster::of_three_and_two();
    let bench = standing(&cluster);
    assert!(!super::super::changes_settings(&bench.host()));
    super::super::note_change(&bench.host()).unwrap();
    assert!(super::super::changes_settings(&bench.host()));
    assert!(matches!(check(&bench, &cluster), Check::Needed(_)));
    let topology = cluster.seen_from("c1");
    let incomplete = crate::plan::incomplete(&bench.host(), &cluster.inputs(&topology));
    assert_eq!(incomplete, ["kubeadm-config"], "no upgrade begins before `kinstall run` has completed it");
    apply(&bench, &cluster).unwrap();
    assert_eq!((acts(&bench), check(&bench, &cluster)), (Vec::new(), Check::Done));
    assert!(!super::super::changes_settings(&bench.host()));
}

#[test]
fn a_file_that_a_pod_reads_has_it_restarted() {
    let mut cluster = Cluster::of_three_and_two();
    let bench = standing(&cluster);
    cluster.spec.api_server.audit_policy = Some(serde_yaml::from_str("kind: Policy").unwrap());
    // kubeadm has written its manifest already, and writes the same the second time.
    bench.file("etc/kubernetes/manifests/kube-apiserver.yaml", &bench.read("etc/kubernetes/kubeadm.yaml"));
    apply(&bench, &cluster).unwrap();
    assert_eq!(acts(&bench), ["control-plane apiserver", "stop kube-apiserver-0"]);
    assert_eq!(bench.read("etc/kubernetes/audit-policy.yaml"), "kind: Policy\n");
}

#[test]
fn a_patch_that_is_listed_no_longer_goes() {
    let mut cluster = Cluster::of_three_and_two();
    cluster.spec.kubeadm_patches =
        serde_yaml::from_str("[{target: kube-scheduler, patch: {spec: {priority: 1}}}]").unwrap();
    let bench = standing(&cluster);
    let path = "etc/kubernetes/patches/kube-scheduler00+strategic.yaml";
    assert!(bench.path(path).exists());
    cluster.spec.kubeadm_patches.clear();
    assert!(matches!(check(&bench, &cluster), Check::Needed(_)));
    apply(&bench, &cluster).unwrap();
    assert!(!bench.path(path).exists());
    assert_eq!(acts(&bench)[0], "control-plane scheduler");
    assert_eq!(check(&bench, &cluster), Check::Done);
}

/// The work in a cluster that was set up by default and whose cluster.yaml is now `text`.
fn compared(text: &str) -> anyhow::Result<Pending> {
    let mut cluster = Cluster::of_three_and_two();
    let configuration = |cluster: &Cluster| {
        let topology = cluster.seen_from("c1");
        kubeadm::configuration(&cluster.inputs(&topology)).unwrap()
    };
    let before = configuration(&cluster);
    cluster.spec = ClusterSpec { hosts: cluster.spec.hosts.clone(), ..ClusterSpec::parse(text).unwrap() };
    compare(&before, &configuration(&cluster))
}

#[test]
fn each_setting_has_its_own_work() {
    assert_eq!(compared("").unwrap(), Pending::default());
    let names = compared("api: {certificate-sans: [k8s.example]}").unwrap();
    assert!(names.certificate && names.pods == [StaticPod::KubeApiserver].into(), "{names:?}");
    let kubelet = compared("kubelet: {max-pods: 60}").unwrap();
    assert_eq!(kubelet, Pending { uploads: [Upload::Kubelet].into(), ..Pending::default() });
    let proxy = compared("network: {kube-proxy: {config: {metricsBindAddress: '0.0.0.0'}}}").unwrap();
    assert_eq!(proxy, Pending { kube_proxy: true, ..Pending::default() });
    let manager = compared("controller-manager: {feature-gates: {A: true}}").unwrap();
    assert_eq!(manager.pods, [StaticPod::KubeControllerManager].into());
}

#[test]
fn what_rules_refuse_is_not_written_either() {
    for text in ["network: {dns-domain: plant.example}", "network: {pod-cidr: 10.1.0.0/16}", "api: {port: 7443}"] {
        let error = compared(text).unwrap_err().to_string();
        assert!(error.contains("is not as kinstall wrote it"), "{text}: {error}");
    }
    assert!(compare("kind: [", "").is_err());
}

#[test]
fn members_of_etcd_are_left_to_the_control_planes_own_step() {
    let cluster = Cluster::of_three_and_two();
    let topology = cluster.seen_from("c1");
    let wanted = kubeadm::configuration(&cluster.inputs(&topology)).unwrap();
    let others = wanted.replacen("    - https://127.0.0.1:2379\n", "    - https://192.0.2.3:2379\n", 1);
    assert_ne!(others, wanted);
    assert_eq!(compare(&others, &wanted).unwrap(), Pending::default());
}

#[test]
fn kube_proxy_is_waited_for_until_every_pod_is_a_new_one() {
    let set = |renewed: u64, ready: u64| {
        serde_json::json!({"kind": "DaemonSet", "metadata": {"name": "kube-proxy", "generation": 2}, "status": {
            "observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": renewed, "numberReady": ready}})
    };
    assert_eq!(not_rolled_out(&set(1, 2)).unwrap(), "1 of 2 pods have the new configuration");
    assert!(not_rolled_out(&set(2, 1)).is_some());
    assert_eq!(not_rolled_out(&set(2, 2)), None);
}
