//! Upstream's conformance tests for people and CI: `./ci/conformance`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use lab::conformance::{Cluster, End, Outcome, Suite, chosen, known_failures, surprises, table};
use lab::connected::{NEWEST, STICK, copy_in, kbundle, program};
use lab::{Host, Lab, Mirror, mirror_tree, repository};

/// Upstream's conformance tests against a cluster that kinstall sets up on a host without a way out
#[derive(Parser)]
#[command(name = "conformance")]
struct Cli {
    /// Kubernetes version; the mirror has to have it
    #[arg(long, default_value = NEWEST)]
    version: String,
    /// Network of the pods; with `calico`, tests of network policies are chosen too
    #[arg(long, default_value = "bridge")]
    cni: String,
    /// Run the tests whose names match this regular expression (Go's syntax) instead of the chosen ones
    #[arg(long, value_name = "REGEX", conflicts_with = "whole")]
    focus: Option<String>,
    /// Run every [Conformance] test instead of the chosen ones, for hours
    #[arg(long)]
    whole: bool,
    /// List the tests instead of running them
    #[arg(long)]
    list: bool,
    /// How many tests run at a time
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// How many hosts the cluster has: a control plane, and workers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    hosts: u8,
    /// Leave the hosts running
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let scratch = repository().join("target/conformance").join(&cli.version);
    fs::create_dir_all(&scratch)?;
    let suite = Suite::of_mirror(&cli.version)?;
    let names = wanted(&cli, &suite, &scratch)?;
    if cli.list {
        for name in &names {
            say(name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let outcomes = run(&cli, &suite, &names, &scratch)?;
    let text = table(&outcomes);
    fs::write(scratch.join("results.txt"), &text)?;
    say(&text);
    verdict(&cli, &outcomes)
}

/// The names of the tests to run. A chosen one that the suite does not have is an error before any host is booted.
fn wanted(cli: &Cli, suite: &Suite, scratch: &Path) -> Result<Vec<String>> {
    if cli.whole {
        return suite.names(r"\[Conformance\]", scratch);
    }
    if let Some(focus) = &cli.focus {
        let names = suite.names(focus, scratch)?;
        ensure!(!names.is_empty(), "no test of Kubernetes {} matches `{focus}`", cli.version);
        return Ok(names);
    }
    let (names, known) = (chosen(&cli.version, &cli.cni)?, suite.names("", scratch)?);
    let unknown: Vec<&str> =
        names.iter().filter(|name| known.binary_search(name).is_err()).map(String::as_str).collect();
    ensure!(
        unknown.is_empty(),
        "tests/conformance names tests that Kubernetes {} does not have:\n{}",
        cli.version,
        unknown.join("\n")
    );
    Ok(names)
}

fn run(cli: &Cli, suite: &Suite, names: &[String], scratch: &Path) -> Result<Vec<Outcome>> {
    let bundle = timed("bundle", || build_bundle(cli, scratch))?;
    let lab = timed("hosts", || Lab::boot("conformance", usize::from(cli.hosts)))?;
    timed("kinstall run", || install(&lab, &bundle, scratch))?;
    let kubectl = take_kubectl(&cli.version, scratch)?;
    let kubeconfig = take_kubeconfig(&lab.hosts()[0], scratch)?;
    say(&format!("{} tests, {} at a time; what they say goes to {}", names.len(), cli.processes, scratch.display()));
    let cluster = Cluster { lab: &lab, kubeconfig: &kubeconfig, kubectl: &kubectl };
    let outcomes = timed("tests", || suite.run(names, &cluster, cli.processes, scratch))?;
    if outcomes.iter().any(|outcome| outcome.end != End::Passed) {
        say(&format!("the hosts' logs are in {}", lab.save_logs()?.display()));
    }
    if cli.keep {
        say("the hosts are left running; remove them with: ./ci/lab down --name conformance");
        lab.keep()?;
    } else {
        lab.down()?;
    }
    Ok(outcomes)
}

/// Chosen tests have to pass. If all tests are run, exactly those fail that are known to fail.
fn verdict(cli: &Cli, outcomes: &[Outcome]) -> Result<ExitCode> {
    let passed = outcomes.iter().filter(|outcome| outcome.end == End::Passed).count();
    say(&format!("Kubernetes {} with {}: {passed} of {} passed", cli.version, cli.cni, outcomes.len()));
    let known = if cli.whole { known_failures(&cli.version)? } else { Vec::new() };
    let surprises = surprises(outcomes, &known);
    for Outcome { name, end, .. } in &surprises {
        let what = if *end == End::Passed { "passed, though it is listed as failing" } else { "did not pass" };
        say(&format!("{what}: {name}"));
    }
    Ok(if surprises.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds and signs a bundle that has the tests' images beside the cluster; the mirror is stopped before any host boots.
fn build_bundle(cli: &Cli, scratch: &Path) -> Result<PathBuf> {
    let (key, bundle) = (scratch.join("signing.key"), scratch.join("bundle.tar.zst"));
    for old in [&key, &scratch.join("signing.pub"), &bundle] {
        if old.exists() {
            fs::remove_file(old)?;
        }
    }
    let path = |path: &Path| path.display().to_string();
    kbundle(&["keygen", "--out", &path(&key)])?;
    let mirror = Mirror::start()?;
    let mut arguments = vec!["build".to_owned(), "--catalog".to_owned(), path(&mirror.catalog())];
    for setting in mirror.settings()? {
        arguments.extend(["--mirror".to_owned(), setting]);
    }
    let options = [("--k8s", &cli.version), ("--cni", &cli.cni), ("--addon", &"conformance-images".to_owned())];
    arguments.extend(options.iter().flat_map(|(option, value)| [(*option).to_owned(), (*value).clone()]));
    arguments.extend(["--level", "3", "--key", &path(&key), "--out", &path(&bundle)].map(str::to_owned));
    kbundle(&arguments)?;
    mirror.stop()?;
    fs::remove_file(key)?;
    Ok(bundle)
}

fn install(lab: &Lab, bundle: &Path, scratch: &Path) -> Result<()> {
    let first = &lab.hosts()[0];
    first.sh(&format!("mkdir -p {STICK}"))?;
    copy_in(first, &program("kinstall"), "kinstall")?;
    copy_in(first, &scratch.join("signing.pub"), "signing.pub")?;
    copy_in(first, bundle, "bundle.tar.zst")?;
    let mut command = format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub");
    if lab.hosts().len() > 1 {
        let config = scratch.join("cluster.yaml");
        fs::write(&config, cluster_yaml(lab.hosts()))?;
        copy_in(first, &config, "cluster.yaml")?;
        copy_in(first, &lab.ssh_key(), "ssh-key")?;
        copy_in(first, &lab.known_hosts(), "known-hosts")?;
        command.push_str(" --config cluster.yaml");
    }
    fs::write(scratch.join("kinstall.log"), first.sh(&format!("{command} 2>&1"))?)?;
    Ok(())
}

/// One control plane, with etcd on it; the others are workers.
fn cluster_yaml(hosts: &[Host]) -> String {
    let entry = |(index, host): (usize, &Host)| {
        let roles = if index == 0 { "control-plane, etcd, worker" } else { "worker" };
        format!("- {{name: {}, address: {}, roles: [{roles}]}}\n", host.name(), host.address())
    };
    format!(
        "schema: 1\nname: conformance\nssh: {{user: root, key: {STICK}/ssh-key, known-hosts: {STICK}/known-hosts}}\nhosts:\n{}",
        hosts.iter().enumerate().map(entry).collect::<String>()
    )
}

/// kubectl from the mirror, made executable.
fn take_kubectl(version: &str, scratch: &Path) -> Result<PathBuf> {
    let kubectl = scratch.join("kubectl");
    let served = mirror_tree()?.join(format!("http/dl.k8s.io/release/v{version}/bin/linux/amd64/kubectl"));
    fs::copy(served, &kubectl)?;
    fs::set_permissions(&kubectl, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(kubectl)
}

/// The administrator's file, with the host's address in the place of the name that only the hosts know.
fn take_kubeconfig(host: &Host, scratch: &Path) -> Result<PathBuf> {
    let text = host.sh("cat /root/.kube/config")?;
    let server = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).context("no server is named")?;
    let port = server.rsplit_once(':').context("the server has no port")?.1;
    let kubeconfig = scratch.join("kubeconfig");
    if kubeconfig.exists() {
        fs::remove_file(&kubeconfig)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&kubeconfig)?;
    let text = text.replace(server, &format!("https://{}:{port}", host.address()));
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(kubeconfig)
}

/// Does the work and reports how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let done = work()?;
    say(&format!("{:>5.0} s  {what}", started.elapsed().as_secs_f64()));
    Ok(done)
}

#[expect(clippy::print_stdout, reason = "the one printer of this program")]
fn say(line: &str) {
    println!("{line}");
}
