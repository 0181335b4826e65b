//! What a cluster has to do to pass.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{Remote, document_of};
use anyhow::{Context, ensure};
use serde_json::Value;

use crate::connected::STICK;

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: docker.io/library/busybox:1.35.0
        command: [sh, -c, "echo served by $(hostname) > /tmp/index.html; echo started; exec httpd -f -p 8080 -h /tmp"]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"#;

/// How long something may take to happen before its absence is a failure. After a reboot on a busy machine the kubelet waits up to
/// five minutes before it starts a container again.
const PATIENCE: Duration = Duration::from_mins(6);

/// Installs from the stick; an error has everything that the program printed.
pub fn install(host: &Remote) -> anyhow::Result<String> {
    host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub 2>&1"))
}

/// Installs again from the stick; every step has to find nothing to do.
pub fn assert_a_second_run_changes_nothing(host: &Remote) -> anyhow::Result<()> {
    let said = host.sh(&format!("cd {STICK} && ./kinstall run bundle.tar.zst --key signing.pub --output json"))?;
    let events = said.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let done: Vec<_> = events.iter().filter(|event| event["event"] == "step-done").collect();
    let changed: Vec<_> = done.iter().filter(|event| event["changed"] == true).collect();
    ensure!(!done.is_empty() && changed.is_empty(), "a second run changed something: {changed:?}\n{said}");
    Ok(())
}

/// Repeats an attempt until it succeeds; when the patience is over, returns the last error.
pub fn eventually<T>(what: &str, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    within(PATIENCE, what, attempt)
}

fn within<T>(patience: Duration, what: &str, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > patience => {
                return Err(error).with_context(|| format!("waited for {what}"));
            }
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

/// The cluster, spoken to with the kubectl of one of its hosts.
#[derive(Clone, Debug)]
pub struct Cluster<'a> {
    host: &'a Remote,
    kubectl: String,
}

impl<'a> Cluster<'a> {
    /// Through root's kubeconfig on `host`.
    #[must_use]
    pub fn new(host: &'a Remote) -> Self {
        Self { host, kubectl: "kubectl".to_owned() }
    }

    /// Through the API server on `host`, and no other.
    #[must_use]
    pub fn through(host: &'a Remote) -> Self {
        Self { host, kubectl: format!("kubectl --server=https://{}:6443", host.address()) }
    }

    /// What kubectl says when it succeeds. A shell splits the arguments.
    pub fn kubectl(&self, arguments: &str) -> anyhow::Result<String> {
        self.host.sh(&format!("{} {arguments}", self.kubectl))
    }

    /// The same as JSON.
    pub fn json(&self, arguments: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&format!("{arguments} -o json"))?)?)
    }

    /// Creates or changes what a manifest says.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        self.kubectl(&format!("apply -f - <<'END'\n{manifest}\nEND")).map(drop)
    }

    /// As [`eventually`], with the patience that this host needs.
    fn eventually<T>(&self, what: &str, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
        within(self.host.at_most(PATIENCE), what, attempt)
    }

    /// Every node by its name, and whether it is Ready.
    pub fn nodes(&self) -> anyhow::Result<BTreeMap<String, bool>> {
        let nodes = self.json("get nodes")?;
        let is_ready = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        let name = |node: &Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(nodes["items"].as_array().context("no items")?.iter().map(|node| (name(node), is_ready(node))).collect())
    }

    /// There are so many nodes, and all become Ready.
    pub fn assert_nodes_ready(&self, count: usize) -> anyhow::Result<()> {
        self.eventually("the nodes to be Ready", || {
            let nodes = self.nodes()?;
            ensure!(nodes.len() == count && nodes.values().all(|ready| *ready), "{count} Ready nodes, not {nodes:?}");
            Ok(())
        })
    }

    /// Every node's kubelet is of this version.
    pub fn assert_kubelets_are(&self, version: &str) -> anyhow::Result<()> {
        let versions = self.kubectl("get nodes -o jsonpath='{.items[*].status.nodeInfo.kubeletVersion}'")?;
        let others: Vec<_> = versions.split_whitespace().filter(|one| *one != format!("v{version}")).collect();
        ensure!(!versions.is_empty() && others.is_empty(), "not all kubelets are {version}: {versions}");
        Ok(())
    }

    /// Two pods that answer requests, and a Service before them.
    pub fn deploy_web(&self) -> anyhow::Result<()> {
        self.apply(WEB)?;
        let limit = self.host.at_most(Duration::from_mins(2)).as_secs();
        self.kubectl(&format!("rollout status deployment/web --timeout={limit}s")).map(drop)
    }

    /// The Service's address.
    pub fn web_address(&self) -> anyhow::Result<String> {
        let service = self.json("get service web")?;
        Ok(service["spec"]["clusterIP"].as_str().context("no cluster IP")?.to_owned())
    }

    /// Both pods answer over the Service, from the host and from a pod.
    pub fn assert_web_answers(&self) -> anyhow::Result<()> {
        let address = self.eventually("the service", || self.web_address())?;
        let often = |request: &str| format!("for i in $(seq 20); do {request} http://{address}/; done");
        let in_pod = format!("{} exec deployment/web -- sh -c '{}'", self.kubectl, often("wget -qO-"));
        for (from, requests) in [("the host", often("curl -sS --max-time 5")), ("a pod", in_pod)] {
            self.eventually(&format!("an answer to {from} by both pods"), || {
                let answers = self.host.sh(&format!("{requests} | sort -u"))?;
                let pods = answers.lines().filter(|line| line.starts_with("served by web-")).count();
                ensure!(pods == 2, "{from} was answered by {pods} pods: {answers}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A pod finds the Service by its name.
    pub fn assert_names_resolve(&self) -> anyhow::Result<()> {
        let address = self.web_address()?;
        self.eventually("a name to resolve in a pod", || {
            let answer = self.kubectl("exec deployment/web -- nslookup web.default.svc.cluster.local")?;
            ensure!(answer.contains(&address), "{answer}");
            let page = self.kubectl("exec deployment/web -- wget -qO- http://web.default.svc.cluster.local/")?;
            ensure!(page.starts_with("served by web-"), "{page}");
            Ok(())
        })
    }

    /// The API server reaches the kubelets.
    pub fn assert_logs_and_exec(&self) -> anyhow::Result<()> {
        // A kubelet that was just restarted may not listen yet.
        self.eventually("logs and exec", || {
            let logs = self.kubectl("logs deployment/web")?;
            ensure!(logs.contains("started"), "{logs}");
            let said = self.kubectl("exec deployment/web -- echo from within")?;
            ensure!(said == "from within", "{said}");
            Ok(())
        })
    }

    /// A secret is not readable in etcd's files.
    pub fn assert_secrets_are_encrypted(&self) -> anyhow::Result<()> {
        self.kubectl("create secret generic probe --from-literal=word=plainly-to-be-seen")?;
        self.kubectl("create configmap probe --from-literal=word=openly-to-be-seen")?;
        let seen = |word: &str| self.host.exec(&["grep", "-rqa", word, "/var/lib/etcd"]);
        ensure!(seen("openly-to-be-seen")?.status.code() == Some(0), "the look into etcd's files sees nothing at all");
        ensure!(seen("plainly-to-be-seen")?.status.code() == Some(1), "a secret lies in etcd's files in plain text");
        Ok(())
    }

    /// No image was requested from anywhere.
    pub fn assert_nothing_was_pulled(&self) -> anyhow::Result<()> {
        let events = self.json("get events --all-namespaces")?;
        let events = events["items"].as_array().context("no items")?;
        ensure!(!events.is_empty(), "no events at all");
        let pulls: Vec<_> = events
            .iter()
            .filter(|event| {
                event["reason"] == "Pulling"
                    || event["reason"].as_str().is_some_and(|reason| reason.contains("PullBackOff"))
            })
            .map(|event| &event["message"])
            .collect();
        ensure!(pulls.is_empty(), "images were pulled: {pulls:?}");
        Ok(())
    }

    /// The site cannot pull an image again: one that is deleted is put back.
    pub fn assert_a_removed_image_comes_back(&self) -> anyhow::Result<()> {
        let image = "docker.io/library/haproxy:2.6.12";
        let listed = || self.host.sh(&format!("ctr -n k8s.io images ls -q name=={image}"));
        ensure!(listed()? == image, "{image} is not there to begin with");
        self.host.sh(&format!("ctr -n k8s.io images rm --sync {image}"))?;
        ensure!(listed()?.is_empty());
        let restored = self.host.sh("kinstall images restore --output json")?;
        let restored = document_of("kinstall", "images restore", &restored)?;
        ensure!(restored["putBack"] == serde_json::json!([image]), "{restored}");
        ensure!(listed()? == image, "{image} did not come back");
        Ok(())
    }

    /// A pod starts with each name that it may use for an image; none of the names can be pulled.
    pub fn assert_images_answer_to_every_name(&self) -> anyhow::Result<()> {
        const REPOSITORY: &str = "docker.io/library/busybox";
        let by_digest = self.host.sh(&format!("ctr -n k8s.io images ls -q | grep '^{REPOSITORY}@'"))?;
        let by_digest: Vec<_> = by_digest.lines().map(str::to_owned).collect();
        ensure!(by_digest.len() == 2, "an index and a manifest, not {by_digest:?}");
        let with_tag = by_digest.iter().map(|name| name.replacen('@', ":1.35.0@", 1));
        let names: Vec<_> = with_tag.chain(by_digest.iter().cloned()).chain([format!("{REPOSITORY}:1.35.0")]).collect();
        for (number, name) in names.iter().enumerate() {
            let pod = format!("by-name-{number}");
            self.kubectl(&format!(
                "run {pod} --image={name} --image-pull-policy=IfNotPresent --restart=Never --command -- true"
            ))?;
            self.eventually(&format!("a pod with image {name}"), || {
                let phase = self.json(&format!("get pod {pod}"))?["status"]["phase"].clone();
                ensure!(phase == "Succeeded", "pod {pod} is {phase}");
                Ok(())
            })?;
            self.kubectl(&format!("delete pod {pod} --wait=false"))?;
        }
        self.assert_nothing_was_pulled()
    }

    /// What was unpacked on this host is whole, as `kinstall status --deep` sees it.
    pub fn assert_unpacked_images_are_whole(&self) -> anyhow::Result<()> {
        let said = self.host.sh("kinstall status --deep")?;
        ensure!(said.contains("unpacked images: whole"), "{said}");
        Ok(())
    }
}
