//! What users do while a cluster is changed: requests to the Service of [`Cluster::deploy_web`], and writes to the API.
//!
//! The pods of the Service end as those of a site should: they answer until kube-proxy on every node has learnt that they go.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::Remote;
use crate::cluster::{Cluster, eventually};

/// Asks the Service ten times a second, and writes to the API about once a second.
const LOAD: &str = r"
mkdir -p /root/load
systemd-run --quiet --unit=load-service sh -c 'while :; do
  if curl -sf -o /dev/null --max-time 2 http://ADDRESS/; then echo ok; else echo fail $(date -u +%T); fi; sleep 0.1; done > /root/load/service'
systemd-run --quiet --unit=load-api --setenv=HOME=/root sh -c 'while :; do
  if kubectl --request-timeout=2s annotate configmap kept tick=$(date +%s%N) --overwrite >/dev/null 2>&1; then date +%s; fi; sleep 0.5; done > /root/load/api'
";

/// What users of the cluster noticed.
#[derive(Debug)]
pub struct Seen {
    /// Requests to the Service.
    pub requests: usize,
    /// When those were made that were not answered.
    pub failed: Vec<String>,
    /// Writes to the API that succeeded.
    pub writes: usize,
    /// The longest time between two of them.
    pub longest_without_write: Duration,
}

/// Evicted pods answer for this many more seconds; `httpd` as the first process of its container ignores SIGTERM.
const GRACE_SECONDS: u32 = 10;

/// Begins on `host`.
pub fn begin_load(host: &Remote, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let template =
        format!(r#"{{"spec": {{"template": {{"spec": {{"terminationGracePeriodSeconds": {GRACE_SECONDS}}}}}}}}}"#);
    cluster.kubectl(&format!("patch deployment web --patch '{template}'"))?;
    cluster.kubectl("rollout status deployment/web --timeout=120s")?;
    // The pods of before end at once, and kube-proxy learns that later.
    eventually("the pods of before to be gone", || {
        let pods = cluster.kubectl("get pods -l app=web -o name")?;
        ensure!(pods.lines().count() == 2, "{pods}");
        Ok(())
    })?;
    cluster.assert_web_answers()?;
    host.sh(&LOAD.replace("ADDRESS", &cluster.web_address()?)).map(drop)
}

/// Ends the load, and returns what was seen.
pub fn end_load(host: &Remote) -> anyhow::Result<Seen> {
    host.sh("systemctl stop load-service load-api")?;
    let answers = host.sh("cat /root/load/service")?;
    let moments = host.sh("cat /root/load/api")?;
    host.sh("rm -r /root/load")?;
    let moments = moments.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let longest = moments.windows(2).map(|pair| pair[1] - pair[0]).max().context("the API was not written to")?;
    Ok(Seen {
        requests: answers.lines().count(),
        failed: answers.lines().filter_map(|line| line.strip_prefix("fail ")).map(str::to_owned).collect(),
        writes: moments.len(),
        longest_without_write: Duration::from_secs(longest),
    })
}
