//! Steady streams of requests, each written down where it was made: when, and whether it was answered.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use lab::Host;
use lab::cluster::Cluster;

/// Where the streams write. Logs are not part of what a host holds.
const FOLDER: &str = "/var/log/streams";
/// Where the writer keeps its credentials, as on a stick.
const CREDENTIALS: &str = "/media/streams";

const WRITER: &str = r#"
cd /media/streams
url=https://$1:6443/api/v1/namespaces/default/configmaps/stream
while :; do
    read -r at _ </proc/uptime
    code=$(curl -s --max-time 3 --cacert ca.crt --cert admin.crt --key admin.key -o answer -w '%{http_code}' \
        -X PATCH -H 'Content-Type: application/merge-patch+json' -d "{\"data\":{\"written\":\"$at\"}}" $url)
    [ "$code" = 200 ] && word=ok || word="failed $code"
    echo "$at $word" >>/var/log/streams/writes
    sleep 0.2
done
"#;

/// One request after another, and what became of them.
pub struct Stream<'a> {
    host: &'a Host,
    file: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    at: f64,
    answered: bool,
}

/// Seconds on the clock that the streams use.
pub fn now() -> anyhow::Result<f64> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    Ok(uptime.split(' ').next().context("no uptime")?.parse()?)
}

impl<'a> Stream<'a> {
    /// A pod on the node of `host` asks a Service ten times a second.
    pub fn of_requests(cluster: &Cluster<'_>, node: &str, host: &'a Host, address: &str) -> anyhow::Result<Self> {
        cluster.apply(&format!(
            r"
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  containers:
  - name: client
    image: docker.io/library/busybox:1.35.0
    command:
    - sh
    - -c
    - |
      while :; do
        read at _ </proc/uptime
        if timeout 5 wget -qO- http://{address}/ >/dev/null; then word=ok; else word=failed; fi
        echo $at $word >>/streams/requests
        sleep 0.1
      done
    volumeMounts: [{{name: streams, mountPath: /streams}}]
  volumes: [{{name: streams, hostPath: {{path: {FOLDER}, type: DirectoryOrCreate}}}}]
"
        ))?;
        let stream = Self { host, file: "requests" };
        stream.wait_for_answers()?;
        Ok(stream)
    }

    /// A program on `host` changes a `ConfigMap` five times a second through the load balancer that listens there.
    pub fn of_writes(cluster: &Cluster<'_>, host: &'a Host) -> anyhow::Result<Self> {
        Self::of_writes_to(cluster, host, "127.0.0.1")
    }

    /// The same through whoever has `address`.
    pub fn of_writes_to(cluster: &Cluster<'_>, host: &'a Host, address: &str) -> anyhow::Result<Self> {
        cluster.kubectl("create configmap stream --from-literal=written=never")?;
        host.sh(&format!("mkdir -p {FOLDER} {CREDENTIALS} && chmod 700 {CREDENTIALS}"))?;
        let folder = host.root().join(CREDENTIALS.trim_start_matches('/'));
        for (file, field) in [
            ("ca.crt", "clusters[0].cluster.certificate-authority-data"),
            ("admin.crt", "users[0].user.client-certificate-data"),
            ("admin.key", "users[0].user.client-key-data"),
        ] {
            let text = cluster.kubectl(&format!("config view --raw -o jsonpath='{{.{field}}}' | base64 -d"))?;
            fs::write(folder.join(file), text + "\n")?;
        }
        fs::write(folder.join("writer"), WRITER)?;
        host.sh(&format!("systemd-run --quiet --unit=stream-of-writes bash {CREDENTIALS}/writer {address}"))?;
        let stream = Self { host, file: "writes" };
        stream.wait_for_answers()?;
        Ok(stream)
    }

    fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let file = self.host.root().join(FOLDER.trim_start_matches('/')).join(self.file);
        let text = fs::read_to_string(file)?;
        let request = |line: &str| {
            let (at, word) = line.split_once(' ')?;
            Some(Request { at: at.parse().ok()?, answered: word == "ok" })
        };
        Ok(text.lines().filter_map(request).collect())
    }

    fn wait_for_answers(&self) -> anyhow::Result<()> {
        lab::cluster::eventually(&format!("the stream of {}", self.file), || {
            ensure!(self.requests()?.iter().filter(|request| request.answered).count() > 5, "too few answers");
            Ok(())
        })
    }

    /// How many were answered since then, and when those that were not.
    pub fn since(&self, start: f64) -> anyhow::Result<(usize, Vec<f64>)> {
        let requests: Vec<_> = self.requests()?.into_iter().filter(|request| request.at >= start).collect();
        let failed = requests.iter().filter(|request| !request.answered).map(|request| request.at - start);
        Ok((requests.iter().filter(|request| request.answered).count(), failed.collect()))
    }

    /// The longest time since then between two requests that were answered; the last has to be recent.
    pub fn longest_silence(&self, start: f64) -> anyhow::Result<Duration> {
        let mut last = start;
        let mut longest: f64 = 0.0;
        for request in self.requests()?.into_iter().filter(|request| request.at >= start && request.answered) {
            longest = longest.max(request.at - last);
            last = request.at;
        }
        longest = longest.max(now()? - last);
        Ok(Duration::from_secs_f64(longest))
    }

    /// Waits until requests are answered again without a failure for five seconds.
    pub fn wait_until_steady(&self) -> anyhow::Result<()> {
        lab::cluster::eventually(&format!("the stream of {} to be steady", self.file), || {
            let (answered, failed) = self.since(now()? - 5.0)?;
            ensure!(answered > 5 && failed.is_empty(), "{answered} answered, {} failed", failed.len());
            Ok(())
        })
    }
}

/// Ends the writer and removes what it needed.
pub fn end_writes(host: &Host) -> anyhow::Result<()> {
    host.sh(&format!("systemctl stop stream-of-writes; rm -r {CREDENTIALS}"))?;
    Ok(())
}
