//! Reads what `nft -j list chains` and `nft -j list table` print, by libnftables-json(5).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Condition, Family, FilterChain, FilterProgram, FilterVerdict, Hook, Protocol, ReadRule, Target, flatten};

/// Family and name of the tables that have a filter chain at one of the hooks.
pub fn filtering_tables(shown: &str) -> serde_json::Result<Vec<[String; 2]>> {
    let shown: Value = serde_json::from_str(shown)?;
    let objects = shown["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let table = |object: &Value| {
        let chain = object.get("chain").filter(|chain| chain["type"] == "filter")?;
        hook(chain)?;
        let [family, table, _] = place(chain, "name");
        Some([family, table].map(str::to_owned))
    };
    let mut found: Vec<_> = objects.iter().filter_map(table).collect();
    found.dedup();
    Ok(found)
}

fn hook(chain: &Value) -> Option<Hook> {
    match chain["hook"].as_str()? {
        "input" => Some(Hook::Input),
        "forward" => Some(Hook::Forward),
        "output" => Some(Hook::Output),
        _ => None,
    }
}

/// The filter chains at hooks.
pub fn chains(shown: &str) -> serde_json::Result<Vec<FilterChain>> {
    let shown: Value = serde_json::from_str(shown)?;
    let objects = shown["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rules: BTreeMap<[&str; 2], BTreeMap<&str, Vec<ReadRule>>> = BTreeMap::new();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [family, table, chain] = place(rule, "chain");
        rules.entry([family, table]).or_default().entry(chain).or_default().extend(read(expressions));
    }
    let chain = |object: &Value| {
        let chain = object.get("chain").filter(|chain| chain["type"] == "filter")?;
        let hook = hook(chain)?;
        let [family, table, name] = place(chain, "name");
        let mut found = Vec::new();
        let of_table = rules.get(&[family, table]);
        let own = |name: &str| of_table.and_then(|rules| rules.get(name)).map(Vec::as_slice);
        flatten(name, &own, &Condition::default(), 0, &mut found);
        Some(FilterChain {
            program: FilterProgram::Nft,
            family: match family {
                "ip" => Family::Ip,
                "ip6" => Family::Ip6,
                "inet" => Family::Inet,
                _ => return None,
            },
            table: table.to_owned(),
            chain: name.to_owned(),
            hook,
            rules: found,
            policy: if chain["policy"] == "drop" { FilterVerdict::Drop } else { FilterVerdict::Accept },
        })
    };
    Ok(objects.iter().filter_map(chain).collect())
}

fn place<'a>(object: &'a Value, name: &str) -> [&'a str; 3] {
    ["family", "table", name].map(|key| object[key].as_str().unwrap_or_default())
}

/// Reads a rule; a verdict map gives several.
fn read(expressions: &[Value]) -> Vec<ReadRule> {
    let mut condition = Condition::default();
    for expression in expressions {
        if let Some(found) = expression.get("match") {
            condition = condition.and(&matched(found));
        } else if expression.get("limit").is_some() || expression.get("xt").is_some() {
            condition.is_narrow = true;
        } else if let Some(map) = expression.get("vmap") {
            return mapped(&condition, map);
        } else if let Some(target) = target(expression) {
            return vec![ReadRule { condition, target }];
        }
    }
    Vec::new()
}

fn target(expression: &Value) -> Option<Target> {
    let to = |key: &str| Some(expression.get(key)?["target"].as_str()?.to_owned());
    let has = |key: &str| expression.get(key).is_some();
    if has("accept") {
        return Some(Target::Verdict(FilterVerdict::Accept));
    }
    if has("drop") || has("reject") {
        return Some(Target::Verdict(FilterVerdict::Drop));
    }
    if has("return") {
        return Some(Target::Return);
    }
    to("jump").map(Target::Jump).or_else(|| to("goto").map(Target::Goto))
}

/// The rules of a verdict map: one for each of its elements.
fn mapped(condition: &Condition, map: &Value) -> Vec<ReadRule> {
    let elements = map["data"]["set"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rule = |element: &Value| {
        let found = matched(&serde_json::json!({ "op": "==", "left": map["key"], "right": element[0] }));
        Some(ReadRule { condition: condition.and(&found), target: target(&element[1])? })
    };
    elements.iter().filter_map(rule).collect()
}

/// The condition that a comparison expresses.
fn matched(comparison: &Value) -> Condition {
    let (left, right) = (&comparison["left"], &comparison["right"]);
    let is_negated = comparison["op"] == "!=";
    let narrow = Condition { is_narrow: true, ..Condition::default() };
    let never = |is_never| Condition { is_never, ..Condition::default() };
    let has = |word: &str| values(right).iter().any(|value| *value == word);
    let key = left["meta"]["key"].as_str().or(left["ct"]["key"].as_str());
    match (key, left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str()) {
        (Some("state"), ..) => never(has("new") == is_negated),
        (Some("iifname" | "iif"), ..) if has("lo") => never(!is_negated),
        (Some("nfproto"), ..) => narrow,
        (Some("l4proto"), ..) | (_, Some("ip"), Some("protocol")) | (_, Some("ip6"), Some("nexthdr"))
            if !is_negated =>
        {
            protocols(&values(right))
        }
        (_, Some(protocol @ ("tcp" | "udp" | "th")), Some("dport")) if !is_negated => {
            let of_protocol = protocols(&[Value::from(protocol)]);
            match ports(right) {
                Some(ports) => Condition { ports, ..if protocol == "th" { Condition::default() } else { of_protocol } },
                None => Condition { is_narrow: true, ..of_protocol },
            }
        }
        (_, Some("icmp" | "icmpv6"), _) => never(true),
        _ => narrow,
    }
}

fn protocols(names: &[Value]) -> Condition {
    let known = |name: &Value| match name.as_str()? {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    let protocols: std::collections::BTreeSet<_> = names.iter().filter_map(known).collect();
    Condition { is_never: protocols.is_empty(), protocols, ..Condition::default() }
}

/// A value, or the values of a list or set.
fn values(right: &Value) -> Vec<Value> {
    match right.get("set").unwrap_or(right) {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    }
}

/// The ports of a comparison; `None` if they are in a set that is defined elsewhere.
fn ports(right: &Value) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let range = |value: &Value| match value.get("range") {
        Some(range) => Some((port(&range[0])?, port(&range[1])?)),
        None => Some((port(value)?, port(value)?)),
    };
    values(right).iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;

    fn object(kind: &str, rest: &str) -> String {
        format!(r#"{{"{kind}": {{"family": "inet", "table": "filter", {rest}}}}}"#)
    }

    fn rule(chain: &str, expressions: &str) -> String {
        object("rule", &format!(r#""chain": "{chain}", "handle": 1, "expr": [{expressions}]"#))
    }

    const SSH: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, {"range": [6440, 6443]}]}}}, {"accept": null}"#;
    const STATES: &str = r#"{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], ["invalid", {"drop": null}]]}}}"#;
    const LOOPBACK: &str =
        r#"{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}"#;
    const PEER: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.7"}}, {"jump": {"target": "peers"}}"#;
    const ALL: &str = r#"{"accept": null}"#;

    fn access(objects: &[String]) -> Vec<Access> {
        let shown = format!(r#"{{"nftables": [{}]}}"#, objects.join(","));
        let chains = chains(&shown).unwrap();
        [22, 6443, 10250].map(|port| chains[0].access(Some((Protocol::Tcp, port)))).to_vec()
    }

    #[test]
    fn a_ruleset_of_a_hardened_host_is_read() {
        let base = r#""name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop""#;
        let mut objects = vec![object("chain", base), object("chain", r#""name": "peers", "handle": 2"#)];
        objects.extend([STATES, LOOPBACK].map(|rule_text| rule("input", rule_text)));
        assert_eq!(access(&objects), [Access::Closed; 3]);
        objects.push(rule("input", SSH));
        assert_eq!(access(&objects), [Access::Open, Access::Open, Access::Closed]);
        objects.extend([rule("peers", ALL), rule("input", PEER)]);
        assert_eq!(access(&objects), [Access::Open, Access::Open, Access::Narrow]);
    }

    /// What nft 1.0.6 of Debian 12 prints of a ruleset with kinstall's own chain in it.
    #[test]
    fn the_output_of_nft_itself_is_read() {
        let chains = chains(include_str!("nft-1.0.6.json")).unwrap();
        let input = chains.iter().find(|chain| chain.hook == Hook::Input).unwrap();
        let access = |protocol, port| input.access(Some((protocol, port)));
        let tcp = [22, 85, 6443, 10250, 2379].map(|port| access(Protocol::Tcp, port));
        assert_eq!(tcp, [Access::Open, Access::Open, Access::Open, Access::Narrow, Access::Closed]);
        assert_eq!([53, 4789].map(|port| access(Protocol::Udp, port)), [Access::Narrow, Access::Closed]);
        assert_eq!(input.name(), "chain input of nft's table inet filter");
    }

    #[test]
    fn what_is_no_ruleset_is_an_error_and_an_empty_one_has_no_chains() {
        assert!(chains("table inet filter {}").is_err());
        assert!(chains(r#"{"nftables": []}"#).unwrap().is_empty());
    }
}
