//! `kubectl` with the administrator's or the kubelet's credential: how the steps read and change objects of the API.

pub mod chunks;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use kbundle_format::Role;
use serde_json::{Value, json};

use crate::host::{Command, Host, HostError, Output};
use crate::topology::Member;

/// The administrator's kubeconfig, which kubeadm writes.
pub const ADMIN_KUBECONFIG: &str = "/etc/kubernetes/admin.conf";
/// The kubelet's own kubeconfig, there once the host has joined.
pub const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// The field manager of everything that kinstall applies.
pub const FIELD_MANAGER: &str = "kinstall";
const PROGRAM: &str = "/usr/local/bin/kubectl";
/// Without it, kubectl would keep its cache in root's home.
const CACHE_DIRECTORY: &str = "/var/lib/kinstall/kubectl-cache";
/// How long to wait for an API server that has just started, in pauses.
const READY_WITHIN: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// Runs kubectl against the cluster's API.
#[derive(Clone, Copy)]
pub struct Kubectl<'a> {
    host: &'a Host,
    kubeconfig: &'static str,
}

impl<'a> Kubectl<'a> {
    /// With the administrator's credential, on a host that has to be a control plane.
    #[must_use]
    pub fn on(host: &'a Host) -> Self {
        Self { host, kubeconfig: ADMIN_KUBECONFIG }
    }

    /// With the kubelet's credential, on a host that has joined. It may read all nodes, or only its own where
    /// [`NODE_SELECTORS`](crate::version_rules::kubernetes::NODE_SELECTORS) holds, and change its own.
    #[must_use]
    pub fn as_kubelet(host: &'a Host) -> Self {
        Self { host, kubeconfig: KUBELET_KUBECONFIG }
    }

    /// With the credential that this host has because of its roles.
    #[must_use]
    pub fn of(host: &'a Host, this: &Member) -> Self {
        if this.has(Role::ControlPlane) { Self::on(host) } else { Self::as_kubelet(host) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig);
        let cache = format!("--cache-dir={CACHE_DIRECTORY}");
        let common = [kubeconfig, cache, "--request-timeout=20s".to_owned()];
        Command::new(PROGRAM, common.into_iter().chain(arguments.iter().map(|&argument| argument.to_owned())))
    }

    /// Runs kubectl. An API server that has just started does not know all roles yet, and forbids the administrator what it allows a moment
    /// later. In that case, kubectl runs once more when the server is ready.
    fn try_command(&self, command: &Command) -> Result<Output, HostError> {
        let output = self.host.try_run(command)?;
        let is_forbidden = output.code != Some(0) && output.stderr.contains("(Forbidden)");
        if !is_forbidden || self.kubeconfig != ADMIN_KUBECONFIG {
            return Ok(output);
        }
        for _ in 0..READY_WITHIN {
            if self.host.try_run(&self.command(&["get", "--raw=/readyz"]))?.code == Some(0) {
                break;
            }
            thread::sleep(PAUSE);
        }
        self.host.try_run(command)
    }

    fn run_command(&self, command: &Command) -> Result<Output, HostError> {
        Ok(self.try_command(command)?.success(command)?)
    }

    /// Runs kubectl and fails if kubectl fails.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.run_command(&self.command(arguments))?)
    }

    /// Runs kubectl and returns its output, even if it fails.
    pub fn try_run(&self, arguments: &[&str]) -> Result<Output, HostError> {
        self.try_command(&self.command(arguments))
    }

    /// An object or a list of objects, as JSON; `None` if the API says that there is no such object.
    pub fn get(&self, arguments: &[&str]) -> anyhow::Result<Option<Value>> {
        let all: Vec<_> =
            ["get"].iter().chain(arguments).chain(&["--output=json", "--ignore-not-found"]).copied().collect();
        let output = self.run(&all)?;
        if output.stdout.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&output.stdout).map(Some).with_context(|| format!("while reading {}", arguments.join(" ")))
    }

    /// Whether this credential has all rights in the cluster.
    pub fn may_do_all(&self) -> anyhow::Result<bool> {
        Ok(self.try_command(&self.command(&["auth", "can-i", "*", "*", "--quiet"]))?.code == Some(0))
    }

    /// A list of objects, as JSON; if the API did not return it, the message of the API or kubectl.
    pub fn list(&self, arguments: &[&str]) -> anyhow::Result<Result<Value, String>> {
        let all: Vec<_> = ["get"].iter().chain(arguments).chain(&["--output=json"]).copied().collect();
        let output = self.try_command(&self.command(&all))?;
        if output.code != Some(0) {
            return Ok(Err(output.stderr.trim().to_owned()));
        }
        serde_json::from_str(&output.stdout).map(Ok).with_context(|| format!("while reading {}", arguments.join(" ")))
    }

    /// The cluster's nodes.
    ///
    /// # Errors
    /// Also when the API's answer is not a list: the nodes are then unknown.
    pub fn nodes(&self) -> anyhow::Result<Vec<Value>> {
        let output = self.run(&["get", "nodes", "--output=json"])?;
        let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        answer["items"].as_array().cloned().context("the API server's answer has no list of nodes")
    }

    /// Whether there is such an object.
    pub fn has(&self, arguments: &[&str]) -> anyhow::Result<bool> {
        Ok(self.get(arguments)?.is_some())
    }

    /// The API server's answer to a path, such as `/metrics`.
    pub fn raw(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.run(&["get", &format!("--raw={path}")])?.stdout)
    }

    /// Whether the API has an object with the kind, name and namespace of `object`.
    pub fn has_object(&self, object: &Value) -> anyhow::Result<bool> {
        let command = self.command(&["get", "--ignore-not-found", "--output=name", "--filename=-"]);
        let output = self.try_command(&command.input(serde_json::to_vec(object)?))?;
        // A kind that the API does not know yet has no objects.
        Ok(output.code == Some(0) && !output.stdout.trim().is_empty())
    }

    /// Whether the API has each of `objects`, in the sense of [`has_object`](Self::has_object).
    pub fn has_objects(&self, objects: &[Value]) -> anyhow::Result<bool> {
        if objects.is_empty() {
            return Ok(true);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let command = self.command(&["get", "--ignore-not-found", "--output=name", "--filename=-"]);
        let output = self.try_command(&command.input(serde_json::to_vec(&list)?))?;
        Ok(output.code == Some(0) && output.stdout.lines().count() == objects.len())
    }

    /// Those of `objects` that the API has, in its version. Empty while the API does not know one of their kinds.
    pub fn get_objects(&self, objects: &[Value]) -> anyhow::Result<Vec<Value>> {
        self.get_each(objects, &[])
    }

    /// The same objects, with the managers of their fields.
    pub fn get_managed_objects(&self, objects: &[Value]) -> anyhow::Result<Vec<Value>> {
        self.get_each(objects, &["--show-managed-fields"])
    }

    fn get_each(&self, objects: &[Value], more: &[&str]) -> anyhow::Result<Vec<Value>> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let arguments = [&["get", "--ignore-not-found", "--output=json", "--filename=-"], more].concat();
        let command = self.command(&arguments);
        let output = self.try_command(&command.input(serde_json::to_vec(&list)?))?;
        if output.code != Some(0) || output.stdout.trim().is_empty() {
            return Ok(Vec::new());
        }
        let answer: Value = serde_json::from_str(&output.stdout).context("while reading objects")?;
        // A single object is not in a list.
        Ok(answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer]))
    }

    /// The output of kubectl; if it fails, its message or the API's.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<Result<String, String>> {
        let output = self.try_command(&self.command(arguments))?;
        Ok(if output.code == Some(0) { Ok(output.stdout) } else { Err(output.stderr.trim().to_owned()) })
    }

    /// Deletes an object, and does not wait until it is gone. An object that does not exist, or whose kind the API does not know any more,
    /// counts as deleted.
    pub fn delete(&self, object: &Value) -> anyhow::Result<()> {
        let command = self.command(&["delete", "--ignore-not-found", "--wait=false", "--filename=-"]);
        let command = command.input(serde_json::to_vec(object)?);
        let output = self.try_command(&command)?;
        if output.code != Some(0) && !output.stderr.contains("no matches for kind") {
            output.success(&command)?;
        }
        Ok(())
    }

    /// Replaces an object that was read before, unless somebody has changed it since.
    pub fn replace(&self, object: &Value) -> anyhow::Result<()> {
        let manager = format!("--field-manager={FIELD_MANAGER}");
        self.run_command(&self.command(&["replace", &manager, "--filename=-"]).input(serde_json::to_vec(object)?))?;
        Ok(())
    }

    /// The objects that [`apply`](Self::apply) would make of `objects`, with every default filled in. Changes nothing.
    pub fn would_apply(&self, objects: &[Value]) -> anyhow::Result<Result<Vec<Value>, String>> {
        let manager = format!("--field-manager={FIELD_MANAGER}");
        let arguments = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--force-conflicts",
            &manager,
            "--output=json",
            "--filename=-",
        ];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let output = self.try_command(&self.command(&arguments).input(serde_json::to_vec(&list)?))?;
        if output.code != Some(0) {
            return Ok(Err(output.stderr.trim().to_owned()));
        }
        let answer: Value = serde_json::from_str(&output.stdout).context("while reading objects")?;
        // A single object is not in a list.
        Ok(Ok(answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer])))
    }

    /// Applies the objects in `manifests` (YAML or JSON).
    pub fn apply(&self, manifests: impl Into<Vec<u8>>) -> anyhow::Result<()> {
        // The server merges; a client's last-applied annotation would double large objects and can exceed its limit.
        let manager = format!("--field-manager={FIELD_MANAGER}");
        let arguments = ["apply", "--server-side", "--force-conflicts", &manager, "--filename=-"];
        self.run_command(&self.command(&arguments).input(manifests))?;
        Ok(())
    }

    /// Whether the API server says that it is ready; if not, the message of the API server or kubectl.
    pub fn readiness(&self) -> anyhow::Result<Result<(), String>> {
        self.readiness_by(&["get", "--raw=/readyz"])
    }

    /// The same for the API server at `server`, such as `https://127.0.0.1:6443`.
    pub fn readiness_at(&self, server: &str) -> anyhow::Result<Result<(), String>> {
        self.readiness_by(&[&format!("--server={server}"), "get", "--raw=/readyz"])
    }

    /// Whether the kubelet at `server`, such as `http://127.0.0.1:10248`, says that it is healthy. A host without a credential has no
    /// kubelet to ask.
    pub fn health_at(&self, server: &str) -> anyhow::Result<Result<(), String>> {
        if !self.host.exists(self.kubeconfig) {
            return Ok(Ok(()));
        }
        self.readiness_by(&[&format!("--server={server}"), "get", "--raw=/healthz"])
    }

    /// The API server's own address, as reached through `balancer`; if no server answers, kubectl's message. The server has to prove that
    /// its name is `name`.
    pub fn server_behind(&self, balancer: SocketAddr, name: &str) -> anyhow::Result<Result<SocketAddr, String>> {
        let (server, name) = (format!("--server=https://{balancer}"), format!("--tls-server-name={name}"));
        let arguments = [server.as_str(), &name, "get", "--raw=/api"];
        let output = self.try_command(&self.command(&arguments))?;
        if output.code != Some(0) {
            return Ok(Err(output.stderr.trim().to_owned()));
        }
        let api: Value = serde_json::from_str(&output.stdout).context("`/api` is not answered with JSON")?;
        let own = api["serverAddressByClientCIDRs"][0]["serverAddress"].as_str();
        Ok(Ok(own.context("the answer to `/api` has no address")?.parse()?))
    }

    fn readiness_by(&self, arguments: &[&str]) -> anyhow::Result<Result<(), String>> {
        if !self.host.exists(self.kubeconfig) {
            return Ok(Err(format!("there is no {} yet", self.kubeconfig)));
        }
        let output = self.host.run_if_installed(&self.command(arguments))?;
        Ok(match output {
            Some(output) if output.code == Some(0) => Ok(()),
            Some(output) => Err(output.stderr.trim().to_owned()),
            None => Err("kubectl is not installed".to_owned()),
        })
    }
}

/// The condition `Ready` of a node or a pod; `None` if it has not reported yet.
#[must_use]
pub fn ready_condition(object: &Value) -> Option<&Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

/// Whether a node or a pod is ready, by its own condition.
#[must_use]
pub fn is_ready(object: &Value) -> bool {
    ready_condition(object).is_some_and(|condition| condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::{Bench, FAILS};

    /// An API server that has just started: it forbids everything until it is ready, at the second look.
    fn starting(root: &std::path::Path, command: &Command) -> Option<String> {
        let (looked, ready) = (root.join("looked"), root.join("ready"));
        let is_look = command.arguments.iter().any(|argument| argument == "--raw=/readyz");
        match (is_look, ready.exists()) {
            (false, true) => Some(r#"{"kind": "Node"}"#.to_owned()),
            (false, false) => Some(format!("{FAILS}Error from server (Forbidden): nodes \"w1\" is forbidden")),
            (true, _) if looked.exists() => {
                fs_err::write(ready, "").unwrap();
                None
            }
            (true, _) => {
                fs_err::write(looked, "").unwrap();
                Some(format!("{FAILS}[-]poststarthook/rbac/bootstrap-roles failed"))
            }
        }
    }

    #[test]
    fn an_api_server_that_has_just_started_is_waited_for() {
        let bench = Bench::with_programs(starting);
        let host = bench.host();
        assert!(Kubectl::on(&host).get(&["node", "w1"]).unwrap().is_some());

        let bench = Bench::with_programs(starting);
        let host = bench.host();
        let refused = Kubectl::as_kubelet(&host).get(&["node", "w1"]).unwrap_err().to_string();
        assert!(refused.contains("(Forbidden)"), "a kubelet's rights come from no role: {refused}");
    }
}
