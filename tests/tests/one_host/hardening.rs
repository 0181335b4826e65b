//! The CIS benchmark: kube-bench fails only what `tests/hardening/exceptions.yaml` lists, with a reason that the host shows. And levels of
//! pod security, on a cluster that stands.

use std::process::Command;

use anyhow::{Context as _, ensure};
use lab::benchmark::{Verdict, exceptions, run, surprises};
use lab::cluster::{Cluster, eventually, install};
use lab::connected::{Carried, NEWEST, OLDEST, STICK, carried, copy_in};
use lab::{Host, Lab, document_of};
use serde_json::{Value, json};

/// A pod that the level `baseline` does not let in.
const PRIVILEGED: &str = r#"--dry-run=server --image=registry.k8s.io/pause:3.10 --restart=Never --overrides='
{"spec": {"containers": [{"name": "p", "image": "registry.k8s.io/pause:3.10", "securityContext": {"privileged": true}}]}}'"#;

#[test]
#[ignore = "kube-bench has to be built: ./ci/test nightly"]
fn the_newest_release_fails_no_check_but_the_exceptions() -> anyhow::Result<()> {
    let lab = Lab::boot("one-bench-new", 1)?;
    let host = &lab.hosts()[0];
    fails_no_check_but_the_exceptions(host, carried(NEWEST, "bridge"), "cis-1.10")?;
    a_level_of_pod_security_comes_and_goes(host)?;
    the_cluster_signs_what_the_kubelet_serves_with(host)?;
    lab.down()
}

#[test]
#[ignore = "kube-bench has to be built: ./ci/test nightly"]
fn the_oldest_release_fails_no_check_but_the_exceptions() -> anyhow::Result<()> {
    let lab = Lab::boot("one-bench-old", 1)?;
    fails_no_check_but_the_exceptions(&lab.hosts()[0], carried(OLDEST, "bridge"), "cis-1.7")?;
    lab.down()
}

#[expect(clippy::print_stdout, reason = "numbers of the manual, for people who run this with --nocapture")]
fn fails_no_check_but_the_exceptions(host: &Host, carried: &Carried, profile: &str) -> anyhow::Result<()> {
    carried.carry_into(host)?;
    install(host)?;
    Cluster::new(host).assert_nodes_ready(1)?;

    let found = run(host, profile)?;
    let count = |wanted| found.values().filter(|verdict| **verdict == wanted).count();
    let [pass, fail, warn] = [Verdict::Pass, Verdict::Fail, Verdict::Warn].map(count);
    println!("{profile} with Kubernetes {}: {pass} PASS, {fail} FAIL, {warn} WARN", carried.kubernetes);
    let exceptions = exceptions()?;
    let told = surprises(&found, &exceptions, profile);
    ensure!(told.is_empty(), "{}", told.join("\n"));
    for exception in exceptions.iter().filter(|exception| exception.profiles.iter().any(|name| name == profile)) {
        host.sh(&exception.shown_by).with_context(|| format!("the reason of {} does not hold", exception.id))?;
    }
    Ok(())
}

/// Brings other settings to the cluster, and finds nothing to do afterwards.
fn set(host: &Host, settings: &str) -> anyhow::Result<String> {
    let run = "./kinstall run bundle.tar.zst --key signing.pub --config cluster.yaml";
    host.sh(&format!("cd {STICK} && echo '{settings}' > cluster.yaml && {run} 2>&1 && {run} --assert-no-op 2>&1"))
}

fn a_level_of_pod_security_comes_and_goes(host: &Host) -> anyhow::Result<()> {
    let cluster = Cluster::new(host);
    let pod = |namespace: &str| cluster.kubectl(&format!("-n {namespace} run p {PRIVILEGED}"));
    let set = |level: &str| set(host, &format!("security: {{pod-security: {level}}}"));
    pod("default").context("Kubernetes lets every pod in by default")?;
    set("baseline")?;
    let refused = pod("default").err().context("a privileged pod was let in")?;
    ensure!(format!("{refused:#}").contains("violates PodSecurity \"baseline:latest\""), "{refused:#}");
    pod("kube-system").context("the system's own namespace is exempt")?;
    cluster.deploy_web()?;
    cluster.assert_web_answers()?;
    set("privileged")?;
    pod("default").map(drop)
}

fn the_cluster_signs_what_the_kubelet_serves_with(host: &Host) -> anyhow::Result<()> {
    const SIGNED: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";
    let cluster = Cluster::new(host);
    let approve = || -> anyhow::Result<Value> {
        document_of("kinstall", "certs approve", &host.sh("kinstall certs approve --output json")?)
    };
    set(host, "kubelet: {config: {serverTLSBootstrap: true}}")?;
    host.sh(&format!("test -e {SIGNED}"))?;
    cluster.assert_logs_and_exec()?;
    let verdict = run(host, "cis-1.10")?.into_iter().find(|(id, _)| id.to_string() == "1.2.5");
    ensure!(verdict.as_ref().is_some_and(|(_, verdict)| *verdict == Verdict::Pass), "{verdict:?}");

    // As at the end of a certificate's time: the kubelet asks again, and the timer answers.
    host.sh("rm /var/lib/kubelet/pki/kubelet-server-* && systemctl restart kubelet")?;
    let asks = "kubectl get csr --field-selector=spec.signerName=kubernetes.io/kubelet-serving | grep -q Pending";
    eventually("the kubelet to ask again", || host.sh(asks))?;
    host.sh("! kubectl logs deployment/web").context("the API server takes a kubelet without a certificate")?;
    host.sh("systemctl start kinstall-certificates.service")?;
    eventually("a certificate", || host.sh(&format!("test -e {SIGNED}")))?;
    cluster.assert_logs_and_exec()?;

    ask_for_another_name(host)?;
    let answer = approve()?;
    ensure!(answer["approved"] == json!([]), "{answer}");
    let reason = answer["left"][0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("it asks for api.kubernetes.internal"), "{answer}");
    set(host, "kubelet: {config: {serverTLSBootstrap: false}}")?;
    cluster.assert_logs_and_exec()
}

/// As somebody does who has the credential of the kubelet.
fn ask_for_another_name(host: &Host) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let csr = folder.path().join("csr");
    let node = host.sh("hostname")?;
    let subject = format!("/O=system:nodes/CN=system:node:{}", node.trim());
    let names = ["-addext", "subjectAltName=DNS:api.kubernetes.internal"];
    let key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/null"];
    let made =
        Command::new("openssl").args(key).args(["-subj", &subject]).args(names).arg("-out").arg(&csr).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    copy_in(host, &csr, "csr")?;
    host.sh(&format!(
        "kubectl --kubeconfig /etc/kubernetes/kubelet.conf create -f - <<END\n{{\"apiVersion\": \"certificates.k8s.io/v1\", \
         \"kind\": \"CertificateSigningRequest\", \"metadata\": {{\"name\": \"other-name\"}}, \"spec\": {{\"request\": \"$(base64 -w 0 {STICK}/csr)\", \
         \"signerName\": \"kubernetes.io/kubelet-serving\", \"usages\": [\"digital signature\", \"server auth\"]}}}}\nEND"
    ))
    .map(drop)
}
