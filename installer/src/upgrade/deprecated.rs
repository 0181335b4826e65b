//! APIs that are still requested and that a later Kubernetes does not have, as the API server counts them.
//!
//! Source: the metric `apiserver_requested_deprecated_apis`, staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go. It counts
//! requests since the API server started.

use std::fmt;

use kbundle_format::KubeVersion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const METRIC: &str = "apiserver_requested_deprecated_apis{";

/// An API that is deprecated and was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedApi {
    /// Group and version, such as `policy/v1beta1`.
    pub api: String,
    /// The resource, such as `podsecuritypolicies`.
    pub resource: String,
    /// The minor that does not have it any more; absent where that is not decided.
    pub removed_in: Option<String>,
    /// Whether the new version lacks it.
    pub goes_now: bool,
}

impl fmt::Display for DeprecatedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: ", self.resource, self.api)?;
        match (&self.removed_in, self.goes_now) {
            (Some(minor), true) => write!(f, "Kubernetes {minor} does not have it; whoever asks for it will fail"),
            (Some(minor), false) => write!(f, "goes with Kubernetes {minor}"),
            (None, _) => f.write_str("deprecated"),
        }
    }
}

/// Reads them from the API server's metrics, for an upgrade to Kubernetes `to`.
#[must_use]
pub fn read(metrics: &str, to: KubeVersion) -> Vec<DeprecatedApi> {
    let mut found: Vec<_> = metrics.lines().filter_map(|line| read_line(line, to)).collect();
    found.sort();
    found.dedup();
    found
}

/// A line such as `apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",
/// subresource="",version="v1beta1"} 1`.
fn read_line(line: &str, to: KubeVersion) -> Option<DeprecatedApi> {
    let (labels, value) = line.strip_prefix(METRIC)?.rsplit_once('}')?;
    if value.trim() == "0" {
        return None;
    }
    let label = |name: &str| {
        let mut labels = labels.split(',').filter_map(|pair| pair.split_once('='));
        labels.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let (group, version) = (label("group")?, label("version")?);
    let removed_in = label("removed_release").filter(|release| !release.is_empty());
    let removed: Option<KubeVersion> = removed_in.as_ref().and_then(|release| format!("{release}.0").parse().ok());
    Some(DeprecatedApi {
        api: if group.is_empty() { version } else { format!("{group}/{version}") },
        resource: label("resource")?,
        removed_in,
        goes_now: removed.is_some_and(|removed| removed.minor() <= to.minor()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_read_with_the_minor_that_lacks_it() {
        let metrics = "# HELP apiserver_requested_deprecated_apis [STABLE] Gauge\n\
            apiserver_requested_deprecated_apis{group=\"policy\",removed_release=\"1.25\",resource=\"podsecuritypolicies\",subresource=\"\",version=\"v1beta1\"} 1\n\
            apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"componentstatuses\",subresource=\"\",version=\"v1\"} 1\n\
            apiserver_requested_deprecated_apis{group=\"batch\",removed_release=\"1.25\",resource=\"cronjobs\",subresource=\"\",version=\"v1beta1\"} 0\n\
            apiserver_requested_deprecated_apis{group=\"flowcontrol.apiserver.k8s.io\",removed_release=\"1.32\",resource=\"flowschemas\",subresource=\"status\",version=\"v1beta3\"} 1\n\
            apiserver_request_total{code=\"200\"} 7\n";
        let found = read(metrics, "1.25.16".parse().unwrap());
        let lines: Vec<_> = found
            .iter()
            .map(|api| format!("{} {} {:?} {}", api.api, api.resource, api.removed_in.as_deref(), api.goes_now))
            .collect();
        assert_eq!(
            lines,
            [
                "flowcontrol.apiserver.k8s.io/v1beta3 flowschemas Some(\"1.32\") false",
                "policy/v1beta1 podsecuritypolicies Some(\"1.25\") true",
                "v1 componentstatuses None false",
            ]
        );
        assert!(read(metrics, "1.33.0".parse().unwrap())[0].goes_now);
    }
}
