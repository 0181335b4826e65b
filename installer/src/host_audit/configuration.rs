//! The kubelet's configuration and flags. kubeadm's own configuration is compared by its step, and its objects in the API by
//! [`objects`](super::objects).

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use serde_yaml::{Mapping, Value};

use super::{Finding, Group};
use crate::host::Host;
use crate::inputs::Inputs;
use crate::kubeadm::AUTHORITY_PATH;
use crate::kubeadm::{CRI_SOCKET, MANIFESTS, host_settings};

/// The file that kubeadm writes for the kubelet.
const FILE: &str = "/var/lib/kubelet/config.yaml";
/// Files with flags that the kubelet's unit reads: kubeadm's, and one for an administrator.
const FLAGS: [&str; 2] = ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"];
/// Values that kubeadm adds; `None` if the value depends on the cluster. Source: `cmd/kubeadm/app/componentconfigs/kubelet.go`.
const OF_KUBEADM: [(&str, Option<&str>); 7] = [
    ("authentication.x509.clientCAFile", Some(AUTHORITY_PATH)),
    ("clusterDNS", None),
    ("clusterDomain", None),
    ("containerRuntimeEndpoint", Some(CRI_SOCKET)),
    ("healthzBindAddress", None),
    ("healthzPort", Some("10248")),
    ("staticPodPath", Some(MANIFESTS)),
];
/// Flags that kubeadm adds. Source: `cmd/kubeadm/app/phases/kubelet/flags.go` of Kubernetes 1.25 to 1.36.
const FLAGS_OF_KUBEADM: [&str; 8] = [
    "cgroup-driver",
    "container-runtime",
    "container-runtime-endpoint",
    "hostname-override",
    "node-ip",
    "node-labels",
    "pod-infra-container-image",
    "register-with-taints",
];

/// Compares both with what follows from cluster.yaml.
pub(super) fn look(host: &Host, inputs: &Inputs<'_>, of_site: &BTreeSet<&str>) -> anyhow::Result<Vec<Finding>> {
    let text = host.read_text(FILE)?.with_context(|| format!("{FILE} is not there"))?;
    let found: Mapping = serde_yaml::from_str(&text).map_err(|_| anyhow!("{FILE} is not a mapping in YAML"))?;
    let wanted: Mapping =
        serde_yaml::from_str(&host_settings::whole(inputs)).context("while making the configuration")?;
    let mut findings: Vec<_> = differences(&wanted, &found)
        .into_iter()
        .map(|(key, expected, found)| Finding::drifted(Group::Configuration, format!("{FILE}, {key}"), expected, found))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::as_approved(Group::Configuration, FILE));
    }
    for path in FLAGS.iter().filter(|path| !of_site.contains(*path)) {
        let Some(text) = host.read_text(path)? else { continue };
        let foreign = foreign_flags(&text);
        let found = (!foreign.is_empty()).then(|| foreign.join(" "));
        findings.push(Finding::compared(Group::Configuration, *path, "only flags that kubeadm gives", found));
    }
    Ok(findings)
}

/// The keys whose values in the kubelet's configuration are not the wanted ones, each with both values. kubeadm writes zero or an empty
/// value where it leaves the default to the kubelet.
fn differences(wanted: &Mapping, found: &Mapping) -> Vec<(String, String, String)> {
    let (mut wanted_leaves, mut found_leaves) = (Vec::new(), Vec::new());
    collect("", &Value::Mapping(wanted.clone()), &mut wanted_leaves);
    collect("", &Value::Mapping(found.clone()), &mut found_leaves);
    let of = |leaves: &[(String, Value)], key: &str| {
        leaves.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let mut all = Vec::new();
    for (key, expected) in &wanted_leaves {
        let there = of(&found_leaves, key);
        if !there.as_ref().map_or_else(|| is_zero(expected), |there| is_same(expected, there)) {
            all.push((key.clone(), shown(expected), there.map_or_else(|| "nothing".to_owned(), |value| shown(&value))));
        }
    }
    for (key, there) in &found_leaves {
        let known = OF_KUBEADM.iter().find(|(name, _)| name == key);
        let expected = match known {
            _ if is_zero(there) || of(&wanted_leaves, key).is_some() => continue,
            Some((_, None)) => continue,
            Some((_, Some(value)))
                if text(there).trim_start_matches("unix://").ends_with(value.trim_start_matches("unix://")) =>
            {
                continue;
            }
            Some((_, Some(value))) => (*value).to_owned(),
            None => "nothing".to_owned(),
        };
        all.push((key.clone(), expected, shown(there)));
    }
    all
}

/// Every value that is no map, by its path.
fn collect(path: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Mapping(map) if !map.is_empty() => map.iter().for_each(|(key, value)| {
            let key = key.as_str().unwrap_or_default();
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            collect(&path, value, leaves);
        }),
        value => leaves.push((path.to_owned(), value.clone())),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| shown(value), str::to_owned)
}

fn shown(value: &Value) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|_| "a value that cannot be shown".to_owned())
        .trim_matches('"')
        .to_owned()
}

/// Whether the kubelet replaces the value with its own default.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(text) => ["", "0", "0s"].contains(&text.as_str()),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(map) => map.is_empty(),
        Value::Tagged(_) => false,
    }
}

/// Whether both mean the same. kubeadm writes times in its own form: `60s` as `1m0s`.
fn is_same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(nanoseconds);
    one == other || text(one) == text(other) || time(one).is_some_and(|one| time(other) == Some(one))
}

/// A time as Go writes it, such as `1h2m3.5s`.
fn nanoseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let number = rest.find(|letter: char| !letter.is_ascii_digit()).filter(|length| *length > 0)?;
        let unit_end =
            rest[number..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |end| number + end);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[number..unit_end])?;
        total = total.checked_add(rest[..number].parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// The flags in a unit's file that kubeadm does not add.
fn foreign_flags(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let values = lines.flat_map(|line| line.split_once('=').map_or(line, |(_, value)| value).split_whitespace());
    let flags = values.map(|word| word.trim_matches(['"', '\''])).filter(|word| word.starts_with('-'));
    let name = |flag: &str| flag.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    flags.filter(|flag| !FLAGS_OF_KUBEADM.contains(&name(flag).as_str())).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(wanted: &str, there: &str) -> Vec<String> {
        let read = |text| serde_yaml::from_str::<Mapping>(text).unwrap();
        let all = differences(&read(wanted), &read(there));
        all.into_iter().map(|(key, expected, found)| format!("{key}: {expected}, {found}")).collect()
    }

    /// In the form of kubeadm 1.25.
    const WRITTEN: &str = "kind: K\nauthentication: {anonymous: {enabled: false}, x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}\n\
        clusterDNS: [10.96.0.10]\nlogging: {flushFrequency: 0, options: {json: {infoBufferSize: '0'}}}\nmemorySwap: {}\nreadOnlyPort: 0\n\
        staticPodPath: /etc/kubernetes/manifests\nsyncFrequency: 1m0s\nfileCheckFrequency: 0s\n";
    const WANTED: &str =
        "kind: K\nauthentication: {anonymous: {enabled: false}}\nreadOnlyPort: 0\nsyncFrequency: 60s\n";

    #[test]
    fn what_kubeadm_adds_and_how_it_writes_times_is_no_drift() {
        assert_eq!(found(WANTED, WRITTEN), [""; 0]);
        // Newer kubelets leave out zero values.
        assert_eq!(found(WANTED, &WRITTEN.replace("readOnlyPort: 0\n", "")), [""; 0]);
    }

    #[test]
    fn a_value_that_was_changed_and_one_that_was_added_are_drifts() {
        let changed = WRITTEN.replace("enabled: false", "enabled: true") + "staticPodURL: http://192.0.2.9/pod\n";
        assert_eq!(
            found(WANTED, &changed),
            ["authentication.anonymous.enabled: false, true", "staticPodURL: nothing, http://192.0.2.9/pod"]
        );
        let moved = WRITTEN.replace("/etc/kubernetes/manifests", "/tmp/manifests");
        assert_eq!(found(WANTED, &moved), ["staticPodPath: /etc/kubernetes/manifests, /tmp/manifests"]);
        assert_eq!(found(WANTED, &WRITTEN.replace("1m0s", "2m0s")), ["syncFrequency: 60s, 2m0s"]);
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        let seconds = |text| nanoseconds(text).map(|found| found / 1_000_000_000);
        assert_eq!([seconds("1h2m3s"), seconds("90s"), seconds("0s")], [Some(3723), Some(90), Some(0)]);
        assert!(["", "5", "s", "1x", "1.5s", "text"].iter().all(|text| nanoseconds(text).is_none()));
    }

    #[test]
    fn flags_that_kubeadm_does_not_give_are_named() {
        let own = "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=192.0.2.1\"\n";
        assert_eq!(foreign_flags(own), [""; 0]);
        assert_eq!(
            foreign_flags("# --a\nKUBELET_EXTRA_ARGS=--read-only-port=10255 --v 4\n"),
            ["--read-only-port=10255", "--v"]
        );
    }
}
