//! Labels and taints, as Kubernetes writes them.

use std::collections::BTreeSet;

use super::Problems;
use crate::config::{DnsName, HostSpec};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn check(place: &str, what: &str, host: &HostSpec, problems: &mut Problems) {
    for (key, value) in &host.labels {
        if let Err(reason) = check_key(key).and_then(|()| check_value(value)) {
            problems.add(format!("{place}.labels"), format!("{what} label `{key}: {value}`: {reason}"));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, taint) in host.taints.iter().enumerate() {
        let reason = match key_and_effect(taint) {
            Err(reason) => reason,
            Ok(parts) if !seen.insert(parts) => {
                "a node has one taint of each key and effect; there is another with these".to_owned()
            }
            Ok(_) => continue,
        };
        problems.add(format!("{place}.taints[{index}]"), format!("{what} taint `{taint}`: {reason}"));
    }
}

/// The key and the effect of `key[=value]:Effect`.
fn key_and_effect(taint: &str) -> Result<(&str, &str), String> {
    let Some((rest, effect)) = taint.rsplit_once(':') else {
        return Err("it is written `key=value:Effect` or `key:Effect`".to_owned());
    };
    if !EFFECTS.contains(&effect) {
        return Err(format!("effect `{effect}` is none of {}", EFFECTS.join(", ")));
    }
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    check_key(key)?;
    check_value(value)?;
    Ok((key, effect))
}

/// A key: a name, perhaps after a DNS name and `/`.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| prefix.parse::<DnsName>().is_err()) {
        return Err("what stands before `/` has to be a DNS name".to_owned());
    }
    if name.is_empty() || !is_value(name) {
        return Err(format!("`{name}` is not a name: {SHAPE}"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if is_value(value) { Ok(()) } else { Err(format!("`{value}` is not a value: {SHAPE}")) }
}

const SHAPE: &str = "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last";

fn is_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.len() <= 63 && bytes.iter().all(inner) && outer(bytes.first()) && outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_what_kubernetes_takes() {
        for good in ["a", "A_b.c-9", "example.com/rack", "node-role.kubernetes.io/gpu", &"x".repeat(63)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "/a", "a/", "a/b/c", "Example.com/a", "ä", &"x".repeat(64)] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        assert_eq!(check_value(""), Ok(()));
        assert!(check_value("a/b").is_err());
    }

    #[test]
    fn taints_say_what_is_wrong_with_them() {
        let reason = |taint: &str| key_and_effect(taint).unwrap_err();
        assert_eq!(key_and_effect("x/a=b:NoExecute"), Ok(("x/a", "NoExecute")));
        assert_eq!(key_and_effect("a=:NoSchedule"), Ok(("a", "NoSchedule")));
        insta::assert_snapshot!(reason("dedicated"), @"it is written `key=value:Effect` or `key:Effect`");
        insta::assert_snapshot!(reason("a=b:NoScedule"), @"effect `NoScedule` is none of NoSchedule, PreferNoSchedule, NoExecute");
        insta::assert_snapshot!(reason("a=b=c:NoSchedule"), @"`b=c` is not a value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last");
        insta::assert_snapshot!(reason("A b:NoSchedule"), @"`A b` is not a name: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last");
        insta::assert_snapshot!(reason("a_b/c:NoSchedule"), @"what stands before `/` has to be a DNS name");
    }

    #[test]
    fn every_bad_one_of_a_host_is_told() {
        let mut problems = Problems::default();
        let host = HostSpec {
            labels: [("disk".into(), "s s d".into()), ("a b".into(), String::new())].into(),
            taints: ["a=1:NoSchedule", "a=2:NoExecute", "a=3:NoSchedule"].map(str::to_owned).into(),
            ..HostSpec::new("a".parse().unwrap(), "192.0.2.1".parse().unwrap(), [kbundle_format::Role::Worker].into())
        };
        check("hosts[0]", "host a:", &host, &mut problems);
        let lines: Vec<_> = problems.0.iter().map(|problem| format!("{}: {problem}", problem.place)).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        hosts[0].labels: host a: label `a b: `: `a b` is not a name: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last
        hosts[0].labels: host a: label `disk: s s d`: `s s d` is not a value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last
        hosts[0].taints[2]: host a: taint `a=3:NoSchedule`: a node has one taint of each key and effect; there is another with these
        ");
    }
}
