use std::collections::BTreeMap;
use std::num::NonZeroU8;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Spec {
    name: Option<String>,
    hosts: Vec<Host>,
    mode: Mode,
    labels: BTreeMap<String, String>,
    level: Option<NonZeroU8>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Host {
    name: String,
    port: u16,
    #[serde(default)]
    roles: Vec<Mode>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    NodeLocal,
    External,
}

fn mistakes(text: &str) -> String {
    read::<Spec>(text).unwrap_err().to_string()
}

#[test]
fn every_mistake_is_told_with_its_place() {
    insta::assert_snapshot!(mistakes("
nmae: x
hosts:
- {name: a, port: 99999, roles: [externl, node-local]}
- {nam: b, port: 1}
- {name: c}
- 5
mode: 7
labels: [a]
level: 0
"), @"
    line 2, column 1: unknown field `nmae`; did you mean `name`?
    line 4, column 19: hosts[0].port: invalid value: integer `99999`, expected u16
    line 4, column 34: hosts[0].roles[0]: unknown value `externl`; did you mean `external`?
    line 5, column 4: hosts[1]: unknown field `nam`; did you mean `name`?
    line 6, column 3: hosts[2]: `port` is missing
    line 7, column 3: hosts[3]: expected a map, found integer `5`
    line 8, column 7: mode: unknown value `7`; known are `node-local`, `external`
    line 9, column 9: labels: expected a map, found a list
    line 10, column 8: level: invalid value: integer `0`, expected a nonzero u8
    ");
}

#[test]
fn a_value_is_what_is_left_without_the_mistakes() {
    let (findings, value) = read_what_is_good::<Spec>("name: 1.10\nhosts: 5\nmode: external\n");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].position, Some(Position { line: 2, column: 8 }));
    let value = value.unwrap();
    assert_eq!((value.name.as_deref(), value.mode), (Some("1.10"), Mode::External));
    assert!(read_what_is_good::<Spec>("- 1\n").1.is_none());
}

#[test]
fn what_is_no_yaml_has_a_position_too() {
    insta::assert_snapshot!(mistakes("hosts: [\nname: a\n"), @"line 2, column 1: hosts[0]: missing field `port`");
    insta::assert_snapshot!(mistakes("mode: &a external\nhosts: *a\n"), @r#"line 1, column 7: hosts: invalid type: string "external", expected a sequence"#);
    insta::assert_snapshot!(mistakes("name: a\nname: b\n"), @"line 1, column 1: duplicate field `name`");
}

#[test]
fn a_value_that_is_absent_stands_where_it_would_be() {
    let positions = Positions::of("name: a\nhosts:\n- name: b\n  roles: [x]\n");
    let at = |place: &str| positions.find(place).map(|found| (found.line, found.column));
    assert_eq!(at("hosts[0].roles[0]"), Some((4, 11)));
    assert_eq!(at("hosts[0].address"), Some((3, 3)));
    assert_eq!(at("network.cni"), None);
}
