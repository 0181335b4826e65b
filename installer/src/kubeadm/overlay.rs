//! Overrides kinstall's fields with those of cluster.yaml, as a JSON merge patch (RFC 7386) does: maps are merged, everything else is
//! replaced.

use serde::Serialize;
use serde_yaml::{Mapping, Value};

/// Merges `over` into `base`. Existing keys keep their order; new keys follow.
pub(super) fn merge(base: &mut Mapping, over: Mapping) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Mapping(inner)), Value::Mapping(over)) => merge(inner, over),
            (Some(there), value) => *there = value,
            (None, value) => drop(base.insert(key, value)),
        }
    }
}

/// Removes from `settings` the keys that `former` has and `wanted` lacks, map by map.
pub(super) fn retract(settings: &mut Mapping, former: &Mapping, wanted: &Mapping) {
    for (key, was) in former {
        let Some(wanted) = wanted.get(key) else {
            settings.remove(key);
            continue;
        };
        if let (Some(Value::Mapping(inner)), Value::Mapping(was), Value::Mapping(wanted)) =
            (settings.get_mut(key), was, wanted)
        {
            retract(inner, was, wanted);
        }
    }
}

/// The first key of `wanted` that `found` lacks, or whose value differs; maps of `found` may have additional keys.
pub(super) fn first_missing(found: &Mapping, wanted: &Mapping) -> Option<String> {
    wanted.iter().find_map(|(key, value)| {
        let fits = match (found.get(key), value) {
            (Some(Value::Mapping(found)), Value::Mapping(wanted)) => first_missing(found, wanted).is_none(),
            (found, value) => found == Some(value),
        };
        (!fits).then(|| key.as_str().unwrap_or_default().to_owned())
    })
}

/// A structure with named fields, or fields of cluster.yaml, as a mapping.
pub(super) fn mapping(value: &impl Serialize) -> Mapping {
    match serde_yaml::to_value(value) {
        Ok(Value::Mapping(values)) => values,
        _ => unreachable!("what has named fields is a mapping"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Mapping {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_wanted_no_longer_goes_and_what_others_wrote_stays() {
        let mut settings = read("a: 1\nb: {x: 1, y: 2, theirs: 3}\nc: {x: 1}\ntheirs: 4");
        retract(&mut settings, &read("a: 1\nb: {x: 1, y: 2}\nc: {x: 1}"), &read("b: {x: 5}"));
        assert_eq!(settings, read("b: {x: 1, theirs: 3}\ntheirs: 4"));
    }

    #[test]
    fn maps_are_merged_and_all_else_is_replaced() {
        let mut base = read("b: {x: 1, y: {z: 2}}\na: [1, 2]\nc: 3");
        let over = read("a: [3]\nb: {y: {w: 4}, x: 5}\nd: {e: 6}");
        assert!(first_missing(&base, &over).is_some());
        merge(&mut base, over.clone());
        assert_eq!(
            serde_yaml::to_string(&base).unwrap(),
            "b:\n  x: 5\n  y:\n    z: 2\n    w: 4\na:\n- 3\nc: 3\nd:\n  e: 6\n"
        );
        assert_eq!(first_missing(&base, &over), None);
        assert_eq!(first_missing(&base, &read("b: {y: {z: 3}}")).unwrap(), "b");
    }
}
