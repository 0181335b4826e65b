//! Stub hosts behind a stub of `ssh`, and kinstall run on them.

use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use kbundle_format::Role;
use serde_json::{Value, json};

use super::cluster::{Network, address, description, survey, write_bundle};

/// A folder with stub hosts and a signed bundle `cluster.tar.zst` for them.
pub struct Stubs {
    directory: tempfile::TempDir,
    hosts: Vec<(String, Vec<Role>)>,
}

/// The output of the program.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The output from the failures on, without the parts that vary.
    pub fn end(&self) -> String {
        let lines: Vec<_> = self.stderr.lines().collect();
        let failures = lines.iter().position(|line| line.contains(" failed in stage "));
        let begin = failures.or_else(|| lines.iter().position(|line| line.starts_with("error"))).unwrap_or(0);
        let plain = |line: &&str| !line.contains("log: ") && !line.starts_with("the logs of all hosts");
        lines[begin..].iter().copied().filter(plain).collect::<Vec<_>>().join("\n")
    }
}

impl Stubs {
    /// Hosts with these roles, called `h1`, `h2`, …, at 192.0.2.1, ….
    pub fn new(roles: &[&[Role]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hosts: Vec<_> =
            roles.iter().enumerate().map(|(index, roles)| (format!("h{}", index + 1), roles.to_vec())).collect();
        let stubs = Self { directory, hosts };
        fs::create_dir(stubs.path("bin")).unwrap();
        let ssh = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/fleet/ssh");
        std::os::unix::fs::symlink(ssh, stubs.path("bin/ssh")).unwrap();
        for number in 1..=stubs.hosts.len() {
            stubs.make_host(number);
        }
        stubs.write_bundle(Network::Bridge);
        stubs.write_spec("");
        stubs
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// A file of the host with this number.
    pub fn host(&self, number: usize, file: &str) -> PathBuf {
        self.path(&format!("hosts/{}/{file}", address(number)))
    }

    /// Writes such a file.
    pub fn set(&self, number: usize, file: &str, content: &str) {
        fs::write(self.host(number, file), content).unwrap();
    }

    /// Writes the bundle again, with another network.
    pub fn write_bundle(&self, network: Network) {
        write_bundle(self.directory.path(), network);
    }

    /// Writes cluster.yaml with these lines besides the hosts.
    pub fn write_spec(&self, more: &str) {
        fs::write(self.path("cluster.yaml"), format!("{more}\n{}", description(&self.hosts))).unwrap();
    }

    /// The requests that the host with this number got.
    pub fn requests(&self, number: usize) -> String {
        fs::read_to_string(self.host(number, "requests")).unwrap_or_default().trim_end().replace('\n', " ")
    }

    fn make_host(&self, number: usize) {
        fs::create_dir_all(self.host(number, "")).unwrap();
        let machine = std::env::consts::ARCH;
        self.set(number, "uname", &format!("Linux {machine}\n0\n"));
        self.set(number, "survey", &answer(&survey(number)));
    }

    /// Runs `kinstall run` on the hosts.
    pub fn run(&self, more: &[&str]) -> Said {
        self.run_with(more, &[])
    }

    /// The same with variables of the environment.
    pub fn run_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Said {
        let run = ["run", "cluster.tar.zst", "--key", "signing.pub", "--config", "cluster.yaml"];
        self.kinstall(&[&run, more].concat(), environment)
    }

    /// Runs kinstall with these arguments.
    pub fn kinstall(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = self.command();
        command.args(arguments).envs(environment.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn command(&self) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinstall"));
        command
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("HOSTS", self.path("hosts"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("KINSTALL_LOG")
            .stdin(std::process::Stdio::null());
        command
    }
}

/// The line with which a host answers.
pub fn answer(answer: &Value) -> String {
    format!("{}\n", json!({ "answer": answer }))
}

/// The line with which a host reports an event.
pub fn event(event: &Value) -> String {
    format!("{}\n", json!({ "event": event }))
}

/// The line with which a host reports that it failed.
pub fn failed(report: &Value) -> String {
    format!("{}\n", json!({ "failed": report }))
}

/// Changes a host's survey.
pub fn changed_survey(stubs: &Stubs, number: usize, change: impl FnOnce(&mut Value)) {
    let mut message: Value = serde_json::from_str(&fs::read_to_string(stubs.host(number, "survey")).unwrap()).unwrap();
    change(&mut message["answer"]);
    stubs.set(number, "survey", &format!("{message}\n"));
}

/// Makes hosts look as if they were set up, with their members of etcd.
pub fn set_up(stubs: &Stubs, servers: &[usize]) {
    for &number in servers {
        changed_survey(stubs, number, |survey| {
            (survey["controlPlane"], survey["etcd"]) = (json!("done"), json!("done"));
            survey["facts"]["installation"] = json!("ours");
        });
    }
    let member = |number: &usize| {
        json!({ "id": format!("{number:x}"), "name": format!("h{number}"),
                "peer-url": format!("https://{}:2380", address(*number)) })
    };
    let members: Vec<_> = servers.iter().map(member).collect();
    fs::write(stubs.path("hosts/members"), answer(&json!(members))).unwrap();
    fs::write(stubs.path("hosts/audit"), answer(&audit())).unwrap();
    fs::write(stubs.path("hosts/status"), answer(&status())).unwrap();
}

/// The status of a healthy host.
pub fn status() -> Value {
    json!({
        "schema": 1, "healthy": true, "steps": [{ "id": "ready", "state": "done" }], "units": {}, "missingUnits": [], "nodes": null,
        "installed": { "kubernetesVersion": "1.25.2", "cluster": "kubernetes", "listDigest": "sha256:1", "signers": ["key"] },
        "settings": []
    })
}

/// The answer to an audit of a host that is as approved.
pub fn audit() -> Value {
    let (os, architecture) = ("linux", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    json!({
        "kubernetesVersion": "1.25.2",
        "listDigest": format!("sha256:{}", "0".repeat(64)),
        "signers": [],
        "traits": {
            "node": "h1", "roles": ["worker"], "platform": format!("{os}/{architecture}"), "distribution": "Debian GNU/Linux 12",
            "kernel": "6.1.0-18-amd64", "kernelSettings": {"kernel.panic": "10"}, "sharedFiles": {}
        },
        "findings": [{ "group": "programs", "subject": "/usr/local/bin/kubelet", "verdict": "as-approved" }]
    })
}
