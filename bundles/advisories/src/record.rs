//! The part of an advisory that a file of advisories keeps: one line of JSON for each advisory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::severity::Severity;

/// An advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name in its database, such as `GO-2025-4108`.
    pub id: String,
    /// Other names of the same vulnerability.
    pub aliases: Vec<String>,
    /// The summary in one line.
    pub summary: String,
    /// The time of its last change, from its database.
    pub modified: String,
    /// Its severity, if the record states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The packages that it concerns.
    pub affected: Vec<Affected>,
}

/// A package and its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// OSV's name of the ecosystem, with the release of a distribution.
    pub ecosystem: String,
    /// The package.
    pub name: String,
    /// Ranges of versions.
    pub ranges: Vec<Vec<Event>>,
    /// Single versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Its severity for this package, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// Where a range begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// This version and all later ones; `0` comes before all versions.
    Introduced(String),
    /// All versions before this one.
    Fixed(String),
    /// This version and all earlier ones.
    LastAffected(String),
    /// Nothing is known about versions beyond this one.
    Limit(String),
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Self::Introduced(version) | Self::Fixed(version) | Self::LastAffected(version) | Self::Limit(version) => {
                version
            }
        }
    }
}

impl Affected {
    /// Whether `version` is affected. A range that cannot be read counts as affected: a version is not fixed unless it is known to be.
    ///
    /// Source: the evaluation algorithm of the OSV schema.
    #[must_use]
    pub fn has(&self, order: Order, version: &str) -> bool {
        self.versions.iter().any(|listed| listed == version)
            || self.ranges.iter().any(|events| in_range(order, events, version).unwrap_or(true))
    }

    /// The lowest fixed version above `version`.
    #[must_use]
    pub fn fix(&self, order: Order, version: &str) -> Option<&str> {
        let fixes = self.ranges.iter().flatten().filter_map(|event| match event {
            Event::Fixed(fixed) if order.compare(version, fixed) == Some(Ordering::Less) => Some(fixed.as_str()),
            _ => None,
        });
        fixes.min_by(|a, b| order.compare(a, b).unwrap_or(Ordering::Equal))
    }
}

/// Whether a version is in the range; `None` if an event has no version of this ecosystem.
fn in_range(order: Order, events: &[Event], version: &str) -> Option<bool> {
    // Compares `version` with an event's version.
    let compare = |event: &Event| match event.version() {
        "0" => Some(Ordering::Greater),
        bound => order.compare(version, bound),
    };
    let mut places = Vec::new();
    let (mut limited, mut before_a_limit) = (false, false);
    for event in events {
        let place = compare(event)?;
        match event {
            Event::Limit(_) => {
                limited = true;
                before_a_limit |= place.is_lt();
            }
            event => places.push((event, place)),
        }
    }
    if limited && !before_a_limit {
        return Some(false);
    }
    // Of the events at or below the version, the highest decides.
    let reached = places.into_iter().filter(|(event, place)| match event {
        Event::LastAffected(_) => place.is_gt(),
        _ => place.is_ge(),
    });
    let highest = reached.map(|(event, _)| event).max_by(|a, b| position(order, a, b));
    Some(matches!(highest, Some(Event::Introduced(_))))
}

/// The order of two events. At the same version, the end of a range comes before the beginning of the next one.
fn position(order: Order, a: &Event, b: &Event) -> Ordering {
    let by_version = match (a.version(), b.version()) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        (a, b) => order.compare(a, b).unwrap_or(Ordering::Equal),
    };
    by_version.then_with(|| matches!(a, Event::Introduced(_)).cmp(&matches!(b, Event::Introduced(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(events: &str) -> Affected {
        let text = format!(r#"{{"ecosystem":"Go","name":"m","ranges":[{events}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    /// The ranges of GO-2025-4108, and one range of each kind.
    #[test]
    fn ranges_begin_and_end_where_they_say() {
        let several = go(
            r#"[{"introduced":"0"},{"fixed":"2.0.7"},{"introduced":"2.1.0-beta.0"},{"fixed":"2.1.5"},{"introduced":"2.2.0-beta.0"},{"fixed":"2.2.0"}]"#,
        );
        for (version, affected) in [
            ("v0.0.0-20200101000000-abcdefabcdef", true),
            ("v2.0.6", true),
            ("v2.0.7", false),
            ("v2.0.9", false),
            ("v2.1.0-beta.0", true),
            ("v2.1.4", true),
            ("v2.1.5", false),
            ("v2.2.0-rc.1", true),
            ("v2.2.0", false),
            ("v2.3.0", false),
        ] {
            assert_eq!(several.has(Order::Go, version), affected, "{version}");
        }
        assert_eq!(several.fix(Order::Go, "v2.1.1"), Some("2.1.5"));
        assert_eq!(several.fix(Order::Go, "v2.3.0"), None);
        let last = go(r#"[{"introduced":"1.0.0"},{"last_affected":"1.2.0"}]"#);
        let of = |version| last.has(Order::Go, version);
        assert_eq!([of("0.9.0"), of("1.0.0"), of("1.2.0"), of("1.2.1")], [false, true, true, false]);
        let open = go(r#"[{"introduced":"1.0.0"}]"#);
        assert!(open.has(Order::Go, "9.0.0") && !open.has(Order::Go, "1.0.0-rc.1"));
        let limited = go(r#"[{"introduced":"1.0.0"},{"limit":"2.0.0"}]"#);
        assert!(limited.has(Order::Go, "1.5.0") && !limited.has(Order::Go, "2.0.0"));
    }

    #[test]
    fn events_may_stand_in_any_order() {
        let mixed = go(r#"[{"fixed":"2.0.0"},{"introduced":"3.0.0"},{"introduced":"0"},{"fixed":"3.1.0"}]"#);
        let of = |version| mixed.has(Order::Go, version);
        assert_eq!([of("1.0.0"), of("2.5.0"), of("3.0.1"), of("3.1.0")], [true, false, true, false]);
    }

    #[test]
    fn what_cannot_be_read_counts_and_single_versions_too() {
        assert!(go(r#"[{"introduced":"0"},{"fixed":"not a version"}]"#).has(Order::Go, "1.0.0"));
        let mut listed = go("");
        listed.versions.push("1.0".to_owned());
        assert!(listed.has(Order::Python, "1.0") && !listed.has(Order::Python, "1.1"));
    }
}
