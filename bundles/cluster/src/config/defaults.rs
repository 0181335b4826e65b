//! A description without its defaults.

use serde_json::Value::{self, Object};

use super::{ClusterSpec, Fields};

impl ClusterSpec {
    /// The settings that differ from the defaults.
    #[must_use]
    pub fn without_defaults(&self) -> Fields {
        let fields = |spec: &Self| match serde_json::to_value(spec) {
            Ok(Object(fields)) => fields,
            _ => unreachable!("a structure with names is an object"),
        };
        unlike(fields(self), &fields(&Self::default()))
    }
}

/// The fields that differ from `usual`; maps are compared field by field.
fn unlike(fields: Fields, usual: &Fields) -> Fields {
    let unlike_usual = |(name, value): (String, Value)| match (value, usual.get(&name)) {
        (value, Some(usual)) if value == *usual => None,
        (Object(inner), Some(Object(usual))) => Some((name, Object(unlike(inner, usual)))),
        (value, _) => Some((name, value)),
    };
    fields.into_iter().filter_map(unlike_usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_left() {
        let text = "kubelet:\n  max-pods: 250\nname: plant\nnetwork:\n  kube-proxy:\n    mode: nftables\n";
        let spec = ClusterSpec::parse(text).unwrap();
        assert_eq!(serde_yaml::to_string(&spec.without_defaults()).unwrap(), text);
        assert!(ClusterSpec::default().without_defaults().is_empty());
    }
}
