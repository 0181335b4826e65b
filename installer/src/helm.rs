//! `helm` with the administrator's credential: releases of charts, as an administrator sees them with `helm list`.

use serde::Deserialize;

use crate::host::{Command, Host, HostError};
use crate::kubectl::{ADMIN_KUBECONFIG, Kubectl};

/// The path of the bundle's helm.
pub const PROGRAM: &str = "/usr/local/bin/helm";
/// The directory of helm's cache of API resources.
const HOME: &str = "/var/lib/kinstall/helm";
/// How long helm waits until everything that a chart starts is ready.
const WAIT: &str = "10m0s";
/// The states of a release when helm was ended while it worked; helm then refuses to continue. Source: Helm's package `release`, `Status`.
const PENDING: [&str; 3] = ["pending-install", "pending-upgrade", "pending-rollback"];

/// Runs helm against the cluster.
#[derive(Clone, Copy)]
pub struct Helm<'a> {
    host: &'a Host,
}

/// The newest revision of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `deployed`, `failed`, `pending-upgrade` and so on.
    pub status: String,
    /// The description that was given when the revision was made.
    pub description: String,
}

/// The wanted state of a release.
pub struct ReleaseRequest<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace, which is created if it is missing.
    pub namespace: &'a str,
    /// The path of the chart's archive on the host.
    pub chart: &'a str,
    /// Paths of files of values on the host; later ones override earlier ones.
    pub values: &'a [String],
    /// The description of the new revision.
    pub description: &'a str,
}

impl<'a> Helm<'a> {
    /// helm on this host, which has to be a control plane.
    #[must_use]
    pub fn on(host: &'a Host) -> Self {
        Self { host }
    }

    /// Whether helm is installed.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.host.exists(PROGRAM)
    }

    fn command(arguments: &[&str]) -> Command {
        // Without an environment: the administrator's settings and plugins are for the administrator's own calls of helm.
        let before = ["-i".to_owned(), format!("HOME={HOME}"), PROGRAM.to_owned()];
        let kubeconfig = format!("--kubeconfig={ADMIN_KUBECONFIG}");
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        Command::new("/usr/bin/env", before.into_iter().chain(arguments).chain([kubeconfig]))
    }

    /// The newest revision of a release; `None` if there is none.
    ///
    /// # Errors
    /// Also when the API does not answer.
    pub fn release(&self, name: &str, namespace: &str) -> anyhow::Result<Option<Release>> {
        #[derive(Deserialize)]
        struct Status {
            info: Info,
        }
        #[derive(Deserialize)]
        struct Info {
            status: String,
            #[serde(default)]
            description: String,
        }
        let command = Self::command(&["status", name, &format!("--namespace={namespace}"), "--output=json"]);
        let output = self.host.try_run(&command)?;
        if output.code != Some(0) && output.stderr.contains("release: not found") {
            return Ok(None);
        }
        let output = output.success(&command).map_err(HostError::from)?;
        let Status { info: Info { status, description } } = serde_json::from_str(&output.stdout)?;
        Ok(Some(Release { status, description }))
    }

    /// Installs or upgrades the release as requested, and waits until everything that it starts is ready.
    ///
    /// # Errors
    /// helm's own error. The revision then stays as `failed`, and a repeat makes another one.
    pub fn upgrade(&self, request: &ReleaseRequest<'_>) -> anyhow::Result<()> {
        let namespace = format!("--namespace={}", request.namespace);
        let (timeout, description) = (format!("--timeout={WAIT}"), format!("--description={}", request.description));
        let mut arguments = vec!["upgrade", request.name, request.chart, "--install", &namespace, "--create-namespace"];
        arguments.extend(["--wait", &timeout, &description]);
        let values: Vec<_> = request.values.iter().map(|file| format!("--values={file}")).collect();
        arguments.extend(values.iter().map(String::as_str));
        self.host.run(&Self::command(&arguments))?;
        Ok(())
    }

    /// Forgets the revision that helm was making when it was ended. The objects that it had applied stay, and the next revision takes them
    /// over.
    pub fn forget_pending(&self, name: &str, namespace: &str) -> anyhow::Result<()> {
        let selector = format!("--selector=owner=helm,name={name},status in ({})", PENDING.join(","));
        Kubectl::on(self.host).run(&["delete", "secret", &format!("--namespace={namespace}"), &selector])?;
        Ok(())
    }
}

impl Release {
    /// Whether helm was ended while it made this revision.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        PENDING.contains(&self.status.as_str())
    }

    /// Whether the release is deployed as the revision with this description.
    #[must_use]
    pub fn is(&self, description: &str) -> bool {
        self.status == "deployed" && self.description == description
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::bench::{Bench, FAILS, Script};

    #[test]
    fn a_release_is_what_helm_says() {
        let with = |script: Script| Helm::on(&Bench::with_programs(script).host()).release("shop", "web");
        let found = with(|_, _| {
            Some(
                r#"{"name": "shop", "info": {"status": "deployed", "description": "by kinstall"}, "version": 2}"#
                    .into(),
            )
        });
        let found = found.unwrap().unwrap();
        assert!(found.is("by kinstall") && !found.is("Rollback to 1") && !found.is_pending());
        assert_eq!(with(|_, _| Some(format!("{FAILS}Error: release: not found"))).unwrap(), None);
        let error = with(|_, _| Some(format!("{FAILS}Error: Kubernetes cluster unreachable"))).unwrap_err();
        assert!(error.to_string().contains("cluster unreachable"), "{error}");
    }

    #[test]
    fn helm_is_run_without_the_administrators_settings() {
        let bench = Bench::new();
        let host = bench.host();
        let request = ReleaseRequest {
            name: "shop",
            namespace: "web",
            chart: "/c/chart.tgz",
            values: &["/c/values-01.yaml".to_owned()],
            description: "by kinstall",
        };
        Helm::on(&host).upgrade(&request).unwrap();
        Helm::on(&host).forget_pending("shop", "web").unwrap();
        insta::assert_snapshot!(bench.ran().join("\n"), @r"
        /usr/bin/env -i HOME=/var/lib/kinstall/helm /usr/local/bin/helm upgrade shop /c/chart.tgz --install --namespace=web --create-namespace --wait --timeout=10m0s --description=by kinstall --values=/c/values-01.yaml --kubeconfig=/etc/kubernetes/admin.conf
        /usr/local/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf --cache-dir=/var/lib/kinstall/kubectl-cache --request-timeout=20s delete secret --namespace=web --selector=owner=helm,name=shop,status in (pending-install,pending-upgrade,pending-rollback)
        ");
    }
}
