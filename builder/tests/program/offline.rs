//! Runs without a network: the messages, and an orderly end.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::upstream::{failure, kbundle_in};

/// Hosts of the built-in catalog that a bundle of the default kind needs.
const HOSTS: [&str; 5] = ["dl.k8s.io", "github.com", "registry.k8s.io", "raw.githubusercontent.com", "docker.io"];
const VERSION: &str = "1.30.14";
const RUNS: usize = 20;

/// The command in an empty network namespace; even its loopback device is down.
fn without_network(command: &Command) -> Command {
    let mut alone = Command::new("unshare");
    alone.args(["--net", "--map-root-user"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => alone.env(name, value),
            None => alone.env_remove(name),
        };
    }
    alone.current_dir(command.get_current_dir().unwrap());
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        alone.env_remove(proxy);
    }
    alone
}

fn build(directory: &std::path::Path, more: &[&str]) -> Command {
    let mut command = kbundle_in(directory);
    command.args(["build", "--unsigned", "--trust-on-first-use", "--cache=cache", "--retries=1", "--retry-pause=0.01"]);
    command.arg(format!("--k8s={VERSION}")).args(more);
    command
}

/// Asserts exit code 1, no panic, and every host with its reason.
fn assert_names(output: &Output, hosts: &[String], reason: &str) {
    let (code, text) = failure(output);
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(code, 1, "{text}");
    let named = text.lines().next().unwrap();
    assert!(named.starts_with("error: cannot reach ") && named.ends_with(reason), "{text}");
    for host in hosts {
        assert!(named.contains(host.as_str()), "{host}: {text}");
    }
    assert!(!text.contains("Query {") && !text.contains("client error"), "{text}");
    assert!(text.contains("hint: what was fetched is kept"), "{text}");
}

#[test]
fn without_a_network_every_host_is_named_and_nothing_panics() {
    let probe = without_network(kbundle_in(&std::env::temp_dir()).arg("--version")).output().unwrap();
    assert!(probe.status.success(), "this test needs `unshare --net --map-root-user`: {}", failure(&probe).1);
    let directory = tempfile::tempdir().unwrap();
    let hosts = HOSTS.map(str::to_owned);
    for _ in 0..RUNS {
        let output = without_network(&build(directory.path(), &[])).output().unwrap();
        assert_names(&output, &hosts, "no name server answered");
    }
}

#[test]
fn hosts_behind_closed_ports_are_named_by_their_mirror() {
    // Bound and closed again: nothing listens on this port.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let mirrors = HOSTS.map(|host| format!("--mirror={host}=http://127.0.0.1:{port}/{host}"));
    let mirrors: Vec<_> = mirrors.iter().map(String::as_str).collect();
    let hosts = HOSTS.map(|host| format!("127.0.0.1:{port} (mirror of {host})"));
    for _ in 0..RUNS {
        let output = build(directory.path(), &mirrors).output().unwrap();
        assert_names(&output, &hosts, "the connection was refused, nothing listens there");
    }
}
