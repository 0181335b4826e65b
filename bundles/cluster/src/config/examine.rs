//! Finds all errors in the text of a `cluster.yaml`, each with line and column.

use kbundle_cli::yaml::{Finding, Findings, Positions, read_what_is_good};
use kbundle_format::KubeVersion;

use super::{ClusterSpec, ConfigError, SCHEMA, rules};

/// Parts of the file on which rules about other parts depend.
const DEPENDED_ON: [&str; 3] = ["schema", "hosts", "network"];

impl ClusterSpec {
    /// Reads and validates a file's text. If parts cannot be read, the rest is validated all the same.
    ///
    /// # Errors
    /// All errors, in the order of the file.
    pub fn examine(text: &str) -> Result<Self, Findings> {
        Self::examine_for(text, None)
    }

    /// The same for one version of Kubernetes, if it is given: this version has to accept the settings that are passed on to it.
    ///
    /// # Errors
    /// All errors, in the order of the file.
    pub fn examine_for(text: &str, version: Option<KubeVersion>) -> Result<Self, Findings> {
        let (mut findings, spec) =
            if is_empty(text) { (Vec::new(), Some(Self::default())) } else { read_what_is_good(text) };
        let Some(spec) = spec else { return Err(Findings(findings)) };
        let unread: Vec<_> = findings.iter().map(|finding| part(&finding.place).to_owned()).collect();
        let positions = Positions::of(text);
        let broken = broken_rules(&spec, version).into_iter().filter(|found| is_judged(&found.place, &unread));
        findings.extend(broken.map(|found| Finding { position: positions.find(&found.place), ..found }));
        findings.sort_by_key(|finding| finding.position);
        if findings.is_empty() { Ok(spec) } else { Err(Findings(findings)) }
    }
}

/// Whether the text has only comments. That is null in YAML, from which no structure can be read.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

fn broken_rules(spec: &ClusterSpec, version: Option<KubeVersion>) -> Vec<Finding> {
    if spec.schema != SCHEMA {
        return ConfigError::Schema { found: spec.schema }.findings();
    }
    rules::problems(spec, version).into_iter().map(Finding::from).collect()
}

/// Whether a rule's error about `place` counts, although the parts `unread` of the file were not read completely.
fn is_judged(place: &str, unread: &[String]) -> bool {
    let unread = |name: &str| unread.iter().any(|part| part == name);
    !unread(part(place)) && !DEPENDED_ON.into_iter().any(unread)
}

/// The top-level key of the file that contains `place`.
fn part(place: &str) -> &str {
    place.split(['.', '[']).next().unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examined(text: &str) -> String {
        ClusterSpec::examine(text).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_read_and_what_cannot_be_are_told_together() {
        insta::assert_snapshot!(examined("
api: {port: 0, load-balancer: extrenal}
registries: {quay.io: {mirrors: [x]}}
kublet: {}
"), @"
        line 2, column 31: api.load-balancer: unknown value `extrenal`; did you mean `external`?
        line 3, column 13: registries: expected a list, found a map
        line 4, column 1: unknown field `kublet`; did you mean `kubelet`?
        ");
        insta::assert_snapshot!(examined("
hosts:
- {name: a, address: 192.0.2.1, roles: [control-plane, etcd]}
- {name: a, address: 10.96.0.9, roles: [worker], taints: ['x:No']}
"), @"
        line 4, column 10: hosts[0], hosts[1] have the name a; each host needs its own
        line 4, column 22: host a: address 10.96.0.9 lies in service-cidr 10.96.0.0/12; they need addresses of their own
        line 4, column 59: host a: taint `x:No`: effect `No` is none of NoSchedule, PreferNoSchedule, NoExecute
        ");
    }

    #[test]
    fn a_rule_about_what_could_not_be_read_is_silent() {
        insta::assert_snapshot!(examined("hosts: [{name: a, address: 192.0.2.1, roles: [contol-plane, etcd]}]\n"), @"line 1, column 47: hosts[0].roles[0]: unknown value `contol-plane`; did you mean `control-plane`?");
        insta::assert_snapshot!(examined("network: {pod-cidr: 10.0.0.0}\nhosts: [{name: a, address: 10.244.0.1, roles: [control-plane, etcd]}]\n"), @"line 1, column 21: network.pod-cidr: `10.0.0.0` is not a network such as `10.244.0.0/16` (no bits set after the prefix)");
    }

    #[test]
    fn a_file_of_comments_is_a_cluster_of_defaults() {
        assert_eq!(ClusterSpec::examine("# nothing\n").unwrap(), ClusterSpec::default());
        insta::assert_snapshot!(examined("schema: 2\n"), @"line 1, column 9: the configuration has schema 2, this program knows 1");
    }
}
