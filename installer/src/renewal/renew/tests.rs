use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fs_err as fs;

use super::*;
use crate::certificates::look::read;
use crate::fixture::Cluster;
use crate::fixture::bench::{Bench, FAILS, KUBECONFIG, Notes};
use crate::host::{Change, Command};
use crate::kubeadm::CONFIG_PATH;
use crate::pki::{Authority, Identity, PrivateKey, Usage};

const PKI: &str = "etc/kubernetes/pki";

/// What kubeadm, the kubelet, containerd and etcd do, as far as a renewal notices. A command that contains the words in the root's `cut`
/// fails.
fn programs(root: &Path, command: &Command) -> Option<String> {
    let said = command.to_string();
    if fs::read_to_string(root.join("cut")).is_ok_and(|words| said.contains(&words)) {
        return Some(format!("{FAILS}cut off"));
    }
    let words: Vec<_> = command.arguments.iter().map(String::as_str).collect();
    match (command.program.rsplit('/').next().unwrap(), words.as_slice()) {
        ("kubeadm", ["certs", "renew", name, _] | ["init", "phase", "certs", name, _]) => {
            issue(root, name);
            None
        }
        ("kubeadm", ["init", "phase", "kubeconfig", name, ..]) => {
            let (certificate, key) = signed(root, name, &[]);
            let text = KUBECONFIG
                .replace(
                    "client-certificate-data: TUlJQg==",
                    &format!("client-certificate-data: {}", BASE64.encode(certificate)),
                )
                .replace("client-key-data: TUlJQg==", &format!("client-key-data: {}", BASE64.encode(key)));
            fs::write(root.join("etc/kubernetes/renewal").join(format!("{name}.conf")), text).unwrap();
            None
        }
        ("crictl", [.., "--state=running", label]) => Some(container(root, label.rsplit('=').next().unwrap())),
        ("crictl", [.., "stop", _, id]) => {
            // The new id is one `+` longer, so it is a new one each time.
            let name = id.trim_end_matches('+');
            fs::write(root.join(name), format!("{}+", &id[name.len()..])).unwrap();
            None
        }
        ("kubectl", [.., pod, "--output=json"]) => {
            let id = container(root, pod.trim_end_matches("-c1"));
            Some(serde_json::json!({"status": {"containerStatuses": [{"containerID": id, "ready": true}]}}).to_string())
        }
        ("systemctl", ["show", ..]) => {
            let unit = words.last().unwrap();
            Some(format!("Id={unit}\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"))
        }
        ("systemctl", ["restart", "kubelet.service"]) => {
            fs::create_dir_all(root.join("var/lib/kubelet/pki")).unwrap();
            fs::write(root.join("var/lib/kubelet/pki/kubelet.crt"), "new").unwrap();
            None
        }
        _ => None,
    }
}

/// The id of the running container with this name; each `+` at its end is a restart.
fn container(root: &Path, name: &str) -> String {
    format!("{name}{}", fs::read_to_string(root.join(name)).unwrap_or_default())
}

/// A certificate and its key by the authority in the root.
fn signed(root: &Path, name: &str, names: &[String]) -> (String, String) {
    let authority = if name == "front-proxy-client" { "front-proxy-ca" } else { "ca" };
    let key = fs::read_to_string(root.join(PKI).join(format!("{authority}.key"))).unwrap();
    let identity = Identity {
        common_name: name.into(),
        organisation: None,
        names: names.iter().cloned().collect(),
        addresses: [].into(),
        usage: Usage::Server,
    };
    let pair = Authority::new(authority, PrivateKey::from_pem(&key).unwrap()).issue(&identity).unwrap();
    (pair.certificate, pair.key.to_pem())
}

/// Issues a certificate as kubeadm does in its directory: with the names of the existing one, or else with those of the configuration.
fn issue(root: &Path, name: &str) {
    let aside = root.join("etc/kubernetes/renewal");
    let configuration = fs::read_to_string(aside.join("kubeadm.yaml")).unwrap();
    assert!(configuration.contains("\ncertificatesDir: /etc/kubernetes/renewal\n"), "{configuration}");
    assert!(aside.join("ca.key").symlink_metadata().unwrap().is_symlink(), "the key of the authority was copied");
    let names = match fs::read(aside.join(format!("{name}.crt"))) {
        Ok(there) => crate::pki::Certificate::read_all(&there).unwrap()[0].names.clone(),
        Err(_) => ["new.example"].into_iter().filter(|name| configuration.contains(name)).map(str::to_owned).collect(),
    };
    let (certificate, key) = signed(root, name, &names);
    fs::write(aside.join(format!("{name}.crt")), certificate).unwrap();
    fs::write(aside.join(format!("{name}.key")), key).unwrap();
}

/// The first of three control planes, set up.
fn bench() -> Bench {
    let bench = Bench::with_programs(programs);
    for name in ["ca", "front-proxy-ca"] {
        let key = PrivateKey::generate().unwrap();
        bench.file(&format!("{PKI}/{name}.key"), &key.to_pem());
        bench.file(&format!("{PKI}/{name}.crt"), &Authority::new(name, key).certificate().unwrap());
    }
    for name in ["apiserver", "apiserver-kubelet-client", "front-proxy-client"] {
        let (certificate, key) = signed(&bench.path(""), name, &["old.example".to_owned()]);
        bench.file(&format!("{PKI}/{name}.crt"), &certificate);
        bench.file(&format!("{PKI}/{name}.key"), &key);
    }
    for name in ["admin", "controller-manager", "scheduler"] {
        bench.file(&format!("etc/kubernetes/{name}.conf"), KUBECONFIG);
    }
    bench.file("var/lib/kubelet/pki/kubelet.crt", "old");
    bench.file(CONFIG_PATH.trim_start_matches('/'), "apiVersion: x\nkind: ClusterConfiguration\nclusterName: c\n");
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    bench.file("etc/passwd", &format!("etcd:x:{user}:{group}::/var/lib/etcd:/bin/false\n"));
    let mut host = bench.host();
    host.ledger_mut().record(Change::ClaimedTree { path: "/etc/kubernetes".into() }).unwrap();
    host.ledger_mut().record(Change::ClaimedTree { path: "/var/lib/kubelet".into() }).unwrap();
    etcd::make_authority(&mut host, None).unwrap();
    for which in [etcd::MemberCertificate::Server, etcd::MemberCertificate::Peer] {
        etcd::renew_member(&mut host, "c1", "192.0.2.1".parse().unwrap(), which).unwrap();
    }
    etcd::renew_client(&mut host, None).unwrap();
    bench.file("etc/kubernetes/pki/etcd/ca.crt", &bench.read("etc/etcd/pki/ca.crt"));
    bench.ran();
    bench
}

/// Renews as `c1`; returns what was planned, and the result.
fn renew(bench: &Bench, selection: &Selection) -> (RenewalReport, anyhow::Result<()>) {
    let (cluster, notes) = (Cluster::of_three_and_two(), Notes::default());
    let topology = cluster.seen_from("c1");
    let mut host = bench.host();
    let (pending, report) = plan(&host, &cluster.inputs(&topology), selection).unwrap();
    let inputs = cluster.inputs(&topology);
    let result = Renewal { host: &mut host, inputs, etcd_client: None, progress: &notes }.run(pending);
    (report, result)
}

/// The text of every file with a certificate that is renewed.
fn contents(bench: &Bench) -> Vec<String> {
    let cluster = Cluster::of_three_and_two();
    let places = places(&bench.host(), cluster.seen_from("c1").this()).unwrap();
    let renewable = places.iter().filter(|place| place.as_renewable().is_some());
    renewable.map(|place| bench.read(place.path.trim_start_matches('/'))).collect()
}

fn assert_all_is_new(bench: &Bench, before: &[String]) {
    let after = contents(bench);
    assert_eq!((before.len(), after.len()), (10, 10));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "something was not renewed");
    for left in ["etc/kubernetes/renewal", "var/lib/kinstall/renewal.json"] {
        assert!(!bench.path(left).exists(), "{left}");
    }
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        assert!(container(&bench.path(""), name).ends_with('+'), "{name} was not restarted");
    }
    let names = read(&bench.host(), "/etc/kubernetes/pki/apiserver.crt").unwrap()[0].names.clone();
    assert_eq!(names, ["old.example"], "a renewal keeps the names");
}

#[test]
fn everything_is_renewed_and_programs_restart_one_after_another() {
    let bench = bench();
    let before = contents(&bench);
    let (report, result) = renew(&bench, &Selection::All);
    result.unwrap();
    assert_eq!((report.renewed.len(), report.resumed), (10, false));
    assert_all_is_new(&bench, &before);
    let restarts =
        bench.ran().into_iter().filter(|line| line.contains(" stop ") || line.starts_with("systemctl restart"));
    let restarts: Vec<_> = restarts.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        restarts,
        ["etcd.service", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet.service"]
    );
    let kept = bench.host().ledger().changes().iter().any(|change| matches!(change, Change::ReplacedFile { .. }));
    assert!(!kept, "former keys are kept nowhere");
}

#[test]
fn a_renewal_that_was_cut_off_is_completed_by_the_next_whatever_that_is() {
    for cut in [
        "certs renew apiserver ",
        "certs renew front-proxy-client",
        "init phase kubeconfig scheduler",
        "restart etcd.service",
        "stop --timeout=30 kube-apiserver",
        "stop --timeout=30 kube-scheduler",
        "restart kubelet.service",
    ] {
        let bench = bench();
        let before = contents(&bench);
        bench.file("cut", cut);
        let (_, result) = renew(&bench, &Selection::All);
        assert!(format!("{:#}", result.unwrap_err()).contains("cut off"), "{cut}");
        assert!(bench.path("var/lib/kinstall/renewal.json").exists(), "{cut}");
        fs::remove_file(bench.path("cut")).unwrap();
        let (report, result) = renew(&bench, &Selection::Named([].into()));
        result.unwrap();
        assert!(report.resumed, "{cut}");
        assert_all_is_new(&bench, &before);
    }
}

#[test]
fn only_what_is_due_is_renewed() {
    let bench = bench();
    let (report, result) = renew(&bench, &Selection::Due { days: 30 });
    result.unwrap();
    // The kubeconfigs and the kubelet's certificate of this test are none.
    let names: Vec<_> = report.renewed.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["admin.conf", "controller-manager.conf", "scheduler.conf", "kubelet-server"]);
    let (report, _) = renew(&bench, &Selection::Due { days: 4000 });
    assert_eq!(report.renewed.len(), 10, "etcd's last ten years");
}

#[test]
fn nothing_is_changed_while_etcd_would_lose_its_majority() {
    let bench = bench();
    let before = contents(&bench);
    bench.file("cut", "endpoints=https://192.0.2.2:2379");
    let (_, result) = renew(&bench, &Selection::All);
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "etcd would lose its majority while its member on this host restarts: of 2 others, 1 are healthy"
    );
    assert_eq!(contents(&bench), before);
    assert!(!bench.path("var/lib/kinstall/renewal.json").exists());
}

#[test]
fn a_new_certificate_that_lacks_a_name_is_not_used() {
    let bench = bench();
    let before = bench.read("etc/kubernetes/pki/apiserver.crt");
    let error = aside::renew(&mut bench.host(), Renewable::Apiserver, Names::Configured).unwrap_err();
    assert!(format!("{error:#}").contains("it lacks old.example"), "{error:#}");
    assert_eq!(bench.read("etc/kubernetes/pki/apiserver.crt"), before);
    assert!(!bench.path("etc/kubernetes/renewal").exists());
}

#[test]
fn a_name_that_cluster_yaml_gave_up_may_go_and_no_other() {
    let bench = bench();
    let remake = |gone: &str| {
        let gone = [gone.to_owned()].into();
        aside::renew(&mut bench.host(), Renewable::Apiserver, Names::Without(&gone))
    };
    let error = remake("other.example").unwrap_err();
    assert!(format!("{error:#}").contains("it lacks old.example"), "{error:#}");
    remake("old.example").unwrap();
    let names = read(&bench.host(), "/etc/kubernetes/pki/apiserver.crt").unwrap()[0].names.clone();
    assert!(!names.contains(&"old.example".to_owned()), "{names:?}");
}

#[test]
fn names_reach_the_certificate_and_the_cluster() {
    let bench = bench();
    let (certificate, key) = signed(&bench.path(""), "apiserver", &[]);
    bench.file(&format!("{PKI}/apiserver.crt"), &certificate);
    bench.file(&format!("{PKI}/apiserver.key"), &key);
    let mut cluster = Cluster::of_three_and_two();
    cluster.spec.api.certificate_sans = vec!["new.example".into()];
    let topology = cluster.seen_from("c1");
    let (mut host, notes) = (bench.host(), Notes::default());
    let pending = Pending { names: true, restart: [Component::KubeApiserver].into(), ..Pending::default() };
    let inputs = cluster.inputs(&topology);
    Renewal { host: &mut host, inputs, etcd_client: None, progress: &notes }.run(pending).unwrap();
    assert_eq!(read(&host, "/etc/kubernetes/pki/apiserver.crt").unwrap()[0].names, ["new.example"]);
    assert!(bench.read("etc/kubernetes/kubeadm.yaml").contains("- new.example"));
    let ran = bench.ran();
    let uploads = ran
        .iter()
        .position(|line| line.ends_with("init phase upload-config kubeadm --config=/etc/kubernetes/kubeadm.yaml"));
    let restarts = ran.iter().position(|line| line.contains(" stop "));
    assert!(uploads.is_some() && uploads < restarts, "{ran:?}");
}

#[test]
fn names_that_no_host_has_are_refused() {
    let reports = [RenewalReport { renewed: vec![Renewable::Apiserver], ..RenewalReport::default() }];
    let named = |name| Selection::Named([name].into());
    assert!(refuse_absent(&named(Renewable::Apiserver), &reports).is_ok());
    assert!(refuse_absent(&Selection::All, &[]).is_ok());
    let error = refuse_absent(&named(Renewable::EtcdPeer), &reports).unwrap_err();
    assert_eq!(error.to_string(), "no host here has etcd-peer; nothing was changed");
}
