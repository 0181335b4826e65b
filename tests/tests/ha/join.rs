//! A host that was set up alone gets a worker that is set up by hand as well: `kinstall token create` on the one, `kinstall run --join` on
//! the other. An administrator who knows kubeadm finds the usual commands.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use lab::cluster::{Cluster, eventually, install};
use lab::connected::{NEWEST, STICK, carried};
use lab::files::Snapshot;
use lab::{Host, Lab, Output};
use serde_json::Value;

use crate::site::{Member, Site};
use crate::traffic::assert_pods_reach_each_other;

const RUN: &str = "./kinstall run bundle.tar.zst --key signing.pub";

/// Does it in the folder of the stick, as an administrator would.
fn on_stick(host: &Host, script: &str) -> anyhow::Result<Output> {
    host.exec(&["sh", "-c", &format!("cd {STICK} && {script}")])
}

/// Refused, with these words, and a hint.
fn refused(host: &Host, script: &str, words: &[&str]) -> anyhow::Result<()> {
    let output = on_stick(host, script)?;
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(output.status.code() == Some(3), "`{script}` ended with {:?} instead of 3:\n{said}", output.status.code());
    for word in [words, &["hint:"]].concat() {
        ensure!(said.contains(word), "`{script}` did not say `{word}`:\n{said}");
    }
    Ok(())
}

/// The steps that changed something in a run.
fn changed(host: &Host, options: &str) -> anyhow::Result<Vec<String>> {
    let events = on_stick(host, &format!("{RUN} {options} --output json"))?.success()?;
    let events: Vec<Value> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let done = events.iter().filter(|event| event["event"] == "step-done");
    ensure!(done.clone().count() > 5, "hardly any step was looked at: {events:?}");
    Ok(done
        .filter(|event| event["changed"] == true)
        .filter_map(|event| event["step"].as_str().map(str::to_owned))
        .collect())
}

/// Takes a file from one host's stick to the other's, with its mode.
fn carry(from: &Host, to: &Host, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let here = folder.path().join(name);
    from.copy_out(&format!("{STICK}/{name}"), &here)?;
    to.copy_in(&here, &format!("{STICK}/{name}"))
}

#[test]
fn a_worker_joins_by_hand_and_works() -> anyhow::Result<()> {
    let lab = Lab::boot("ha-join", 2)?;
    let [first, second] = lab.hosts() else { unreachable!("two hosts") };
    for host in [first, second] {
        carried(NEWEST, "bridge").carry_into(host)?;
    }
    let before = Snapshot::of(second)?;
    refused(
        first,
        &format!("./kinstall token create --host w1 --address {}", second.address()),
        &["not set up this host"],
    )?;
    install(first)?;
    kubeadm_habits_work(first)?;

    let said = make_join_file(first, second)?;
    carry(first, second, "w1.join.yaml")?;
    refuses_what_cannot_join(first, second)?;
    goes_through_a_pipe(first, second)?;
    before.assert_same(&Snapshot::of(second)?, "after refusals and dry runs");

    is_cut_off(second)?;
    refused(second, RUN, &["w1 of the cluster kubernetes is not complete: it never joined"])?;
    let command = said.lines().find_map(|line| line.strip_prefix("  kinstall run BUNDLE")).context(said.clone())?;
    let joined = on_stick(second, &format!("./kinstall run bundle.tar.zst{command} 2>&1"))?.success()?;
    ensure!(joined.contains("This host is w1 of the cluster") && joined.contains("delete it"), "{joined}");
    let cluster = Cluster::new(first);
    cluster.assert_nodes_ready(2)?;
    on_stick(second, "./kinstall status")?.success()?;
    let node = cluster.json("get node w1")?;
    ensure!(node["metadata"]["labels"]["disk"] == "ssd", "{node}");
    ensure!(node["spec"]["taints"][0]["key"] == "dedicated", "{node}");

    ensure!(changed(first, "")? == ["network"], "the first host learns the way to the second's pods, and nothing else");
    for (host, options) in
        [(first, ""), (second, "--join w1.join.yaml"), (second, "--join late.join.yaml"), (second, "")]
    {
        on_stick(host, &format!("{RUN} --assert-no-op {options}"))?.success()?;
    }
    traffic_flows(&cluster, first, second)?;

    on_stick(second, "./kinstall reset --yes")?.success()?;
    before.assert_same(&Snapshot::of(second)?, "after a reset");
    cluster.kubectl("delete node w1")?;
    ensure!(changed(first, "")? == ["network"], "the way to a host that left is given up");
    lab.down()
}

/// A host that joined by hand is not in cluster.yaml, and nobody minds: the others learn the way to its pods from a run of their own, by
/// what their records say, or from one that leads. Later it is put into cluster.yaml, which changes nothing on it, and removed like any.
#[test]
#[ignore = "another three minutes: ./ci/test nightly"]
fn a_led_cluster_takes_a_worker_by_hand_and_is_led_again() -> anyhow::Result<()> {
    let mut members = vec![Member::new("cp1", 1, "control-plane, etcd, worker"), Member::new("w1", 2, "worker")];
    let site = Site::boot_hosts("ha-join-led", "bridge", 3, members.clone())?;
    let third = &site.lab.hosts()[2].clone();
    let (first, second) = (site.host("cp1"), site.host("w1"));
    for host in [first, second, third] {
        carried(NEWEST, "bridge").carry_into(host)?;
    }
    let before = Snapshot::of(third)?;
    site.run(&[])?.succeeded()?;
    let create = format!("./kinstall token create --host w2 --address {}", third.address());
    refused(second, &create, &["w1, is not a control plane"])?;
    on_stick(first, &create)?.success()?;
    carry(first, third, "w2.join.yaml")?;
    on_stick(third, &format!("{RUN} --join w2.join.yaml"))?.success()?;

    let cluster = site.cluster("cp1");
    cluster.assert_nodes_ready(3)?;
    ensure!(changed(second, "")? == ["network"], "a worker learns the way by its kubelet's credential");
    on_stick(second, &format!("{RUN} --assert-no-op"))?.success()?;
    let led = site.run(&["--assert-no-op"])?.failed(1, &["cp1: network"])?;
    ensure!(!led.contains("w1: "), "{led}");
    site.run(&["--assert-no-op"])?.succeeded()?;
    on_stick(first, &format!("{RUN} --assert-no-op"))?.success()?;
    cluster.deploy_web()?;
    assert_pods_reach_each_other(&cluster, 3)?;

    members.push(Member::new("w2", 3, "worker"));
    let site = site.with(members)?;
    site.run(&["--assert-no-op"])?.failed(1, &["none should: cp1: hosts-file"])?;
    site.run(&["--assert-no-op"])?.succeeded()?;
    site.command(&["remove", "w2", "--yes"])?.succeeded()?;
    before.assert_same(&Snapshot::of(third)?, "after its removal");
    site.cluster("cp1").assert_nodes_ready(2)?;
    site.down()
}

/// What an administrator knows from kubeadm, with an etcd that kubeadm did not make.
fn kubeadm_habits_work(host: &Host) -> anyhow::Result<()> {
    let nodes = host.sh("kubectl get nodes")?;
    ensure!(nodes.contains("Ready") && nodes.contains(host.name()), "{nodes}");
    let token = host.sh("kubeadm token create --ttl 5m")?;
    let listed = host.sh("kubeadm token list")?;
    ensure!(listed.contains(&token), "{token} is not in: {listed}");
    host.sh(&format!("kubeadm token delete {token}"))?;
    let certificates = host.sh("kubeadm certs check-expiration")?;
    for name in ["admin.conf", "apiserver", "front-proxy-client", "front-proxy-ca"] {
        ensure!(
            certificates.lines().any(|line| line.starts_with(&format!("{name} "))),
            "{name} is not in: {certificates}"
        );
    }
    Ok(())
}

/// Makes the file for the second host, and returns what was said.
fn make_join_file(first: &Host, second: &Host) -> anyhow::Result<String> {
    let address = second.address();
    let create = "./kinstall token create";
    refused(first, &format!("{create} --host host-1 --address {address}"), &["has a host host-1 already"])?;
    refused(first, &format!("{create} --host w1 --address {}", first.address()), &["is the address of host-1"])?;
    let options = "--label disk=ssd --taint dedicated=web:PreferNoSchedule";
    let said = on_stick(first, &format!("{create} --host w1 --address {address} {options}"))?.success()?;
    ensure!(said.contains("kinstall run BUNDLE --key signing.pub --join w1.join.yaml"), "{said}");
    let token = first.sh(&format!("sed -n 's/^  token: //p' {STICK}/w1.join.yaml"))?;
    ensure!(token.len() == 23 && !said.contains(&token), "{said}");
    let listed = first.sh("kubeadm token list")?;
    ensure!(listed.contains(&token) && listed.contains("w1 joins by hand"), "{listed}");
    ensure!(first.sh(&format!("stat -c %a {STICK}/w1.join.yaml"))? == "600");
    refused(first, &format!("{create} --host w1 --address {address}"), &["is there already"])?;

    let json = format!("{create} --host w1 --address {address} --out gone.join.yaml --ttl 10m --output json");
    let made = lab::document_of("kinstall", "token create", &on_stick(first, &json)?.success()?)?;
    ensure!(made["file"] == "gone.join.yaml" && made["runAgainOnOthers"] == true, "{made}");
    carry(first, second, "gone.join.yaml")?;
    first.sh(&format!("kubeadm token delete $(sed -n 's/^  token: //p' {STICK}/gone.join.yaml)"))?;
    Ok(said)
}

/// Files that do not let the second host in, each with its reason; none changes anything there.
fn refuses_what_cannot_join(first: &Host, second: &Host) -> anyhow::Result<()> {
    let variants = [
        ("open", "", "others can read", "chmod 644 open.join.yaml"),
        (
            "late",
            "s/^expires: .*/expires: 2026-01-01T00:00:00Z/;s/^created: .*/created: 2025-12-31T00:00:00Z/",
            "expired at",
            "true",
        ),
        (
            "early",
            "s/^expires: .*/expires: 2126-01-01T00:00:00Z/;s/^created: .*/created: 2125-12-31T00:00:00Z/",
            "set the clock",
            "true",
        ),
        ("wrong", r"s/^  token: \(......\).*/  token: \1.0123456789abcdef/", "does not know", "true"),
        ("bundle", "s/^bundle: sha256:..../bundle: sha256:0000/", "was set up from the bundle", "true"),
        ("elsewhere", &format!("s/{}/10.77.0.99/", second.address().replace('.', r"\.")), "10.77.0.99", "true"),
    ];
    for (name, change, words, also) in variants {
        let file = format!("{name}.join.yaml");
        let make = format!("install -m 600 w1.join.yaml {file} && sed -i '{change}' {file} && {also}");
        on_stick(second, &make)?.success()?;
        refused(second, &format!("{RUN} --join {file}"), &[words]).with_context(|| name.to_owned())?;
    }
    refused(second, &format!("{RUN} --join gone.join.yaml"), &["does not know the join file's token"])?;

    let wall = format!("OUTPUT -d {} -p tcp --dport 6443 -j REJECT", first.address());
    second.sh(&format!("iptables -A {wall}"))?;
    refused(second, &format!("{RUN} --join w1.join.yaml"), &["no API server of the cluster kubernetes answers"])?;
    second.sh(&format!("iptables -D {wall}"))?;
    Ok(())
}

/// A run that is killed before the host has joined.
fn is_cut_off(host: &Host) -> anyhow::Result<()> {
    let script =
        format!("cd {STICK} && echo $$ > /tmp/kinstall-under-test && exec {RUN} --join w1.join.yaml --output json");
    let mut child = host.ssh().arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        if event["event"] == "step-done" && event["step"] == "containerd" {
            host.sh("kill -9 $(cat /tmp/kinstall-under-test)")?;
        }
    }
    ensure!(!child.wait()?.success(), "the run was not cut off");
    Ok(())
}

/// What one host writes to its standard output the other reads from its standard input: here for a dry run.
fn goes_through_a_pipe(first: &Host, second: &Host) -> anyhow::Result<()> {
    let create = format!("./kinstall token create --host w1 --address {} --out -", second.address());
    let mut writer =
        first.ssh().arg(format!("cd {STICK} && {create}")).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let file = writer.stdout.take().context("no output")?;
    let output = second.ssh().arg(format!("cd {STICK} && {RUN} --join - --dry-run")).stdin(file).output()?;
    ensure!(writer.wait()?.success(), "no join file came");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("join: join the cluster as w1"), "{said}{errors}");
    Ok(())
}

/// Pods on both hosts reach each other, and both hosts the pods and the Service.
fn traffic_flows(cluster: &Cluster<'_>, first: &Host, second: &Host) -> anyhow::Result<()> {
    cluster.deploy_web()?;
    assert_pods_reach_each_other(cluster, 2)?;
    let pods = cluster.json("get pods -l app=everywhere")?;
    let addresses = pods["items"].as_array().into_iter().flatten().filter_map(|pod| pod["status"]["podIP"].as_str());
    let service = cluster.web_address()?;
    let targets: Vec<_> = addresses.map(|address| format!("{address}:8080")).chain([service]).collect();
    ensure!(targets.len() == 3, "{targets:?}");
    for host in [first, second] {
        for target in &targets {
            eventually(&format!("{target} from {}", host.name()), || {
                host.sh(&format!("curl -fsS --max-time 5 http://{target}/"))
            })?;
        }
    }
    cluster.assert_nothing_was_pulled()
}
