//! The differences between the cluster.yaml of an existing cluster and a new one, and what a run does about each.
//!
//! Every key has exactly one rule in [`rules`]; a test walks the schema and fails for a key without one. A key that has no rule all the
//! same is refused, so that nothing is ignored in silence.

mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClusterSpec, HostSpec, Ssh};

/// The longest value that is shown completely, in characters.
const LONGEST_VALUE: usize = 120;

/// What a run makes of a setting that differs on a standing cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "effect", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[schemars(rename = "SettingEffect")]
pub enum Effect {
    /// The run brings it to the hosts.
    RolledOut {
        /// What is changed, for people.
        how: Cow<'static, str>,
        /// What restarts, for people; absent where nothing does.
        restarts: Option<Cow<'static, str>>,
    },
    /// The run is refused.
    Refused {
        /// Why it cannot change.
        reason: Cow<'static, str>,
        /// What people can do instead.
        by_hand: Cow<'static, str>,
    },
    /// Hosts that stand keep what they have.
    NewHosts {
        /// What that means.
        note: Cow<'static, str>,
    },
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SettingChange")]
pub struct Change {
    /// Where in the file, such as `network.pod-cidr`, or `labels.disk of host w1`.
    pub setting: String,
    /// The value that the cluster stands by, for people.
    pub standing: String,
    /// The wanted value, for people.
    pub wanted: String,
    /// What the run makes of it.
    #[serde(flatten)]
    pub effect: Effect,
}

/// How much of the cluster the two descriptions know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All hosts: a host in only one of the descriptions is added or removed.
    AllHosts,
    /// Some hosts, as in the description for a host that does not lead: only hosts in both are compared.
    HostsOfBoth,
}

impl Change {
    /// Whether the change refuses the run.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.effect, Effect::Refused { .. })
    }

    /// Whether the change restarts something.
    #[must_use]
    pub fn restarts_something(&self) -> bool {
        matches!(self.effect, Effect::RolledOut { restarts: Some(_), .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {} now: ", self.setting, self.standing, self.wanted)?;
        match &self.effect {
            Effect::RolledOut { how, restarts: None } => write!(f, "{how}; nothing restarts"),
            Effect::RolledOut { how, restarts: Some(what) } => write!(f, "{how}; restarts {what}"),
            Effect::Refused { reason, by_hand } => write!(f, "cannot change, since {reason}; {by_hand}"),
            Effect::NewHosts { note } => write!(f, "{note}"),
        }
    }
}

/// What a run does about a change of the key `place`, such as `hosts[].labels`, in an existing cluster; `None` if the keys inside of it
/// have their own rules.
#[must_use]
pub fn effect_of(place: &str) -> Option<Effect> {
    let covers = |rule: &str| {
        place.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("[]"))
    };
    rules::RULES.iter().find(|(rule, _)| covers(rule)).map(|(_, effect)| effect.clone())
}

/// Everything in which `wanted` differs from `standing`, in the order of keys; hosts come last.
///
/// SSH settings are left out, since hosts keep no record of them.
#[must_use]
pub fn changes(standing: &ClusterSpec, wanted: &ClusterSpec, scope: Scope) -> Vec<Change> {
    let mut found = Comparison::default();
    let [before, after] = [standing, wanted].map(settings);
    found.compare("", "", "", &before, &after);
    if standing.hosts.is_empty() == wanted.hosts.is_empty() {
        found.hosts(&standing.hosts, &wanted.hosts, scope);
    } else {
        let listed = |spec: &ClusterSpec| if spec.hosts.is_empty() { "absent" } else { "given" }.to_owned();
        let effect = rules::LIST_OF_HOSTS.clone();
        found.0.push(Change {
            setting: "hosts".to_owned(),
            standing: listed(standing),
            wanted: listed(wanted),
            effect,
        });
    }
    found.0
}

/// All settings except hosts.
fn settings(spec: &ClusterSpec) -> Value {
    json(&ClusterSpec { hosts: Vec::new(), ssh: Ssh::default(), ..spec.filled_in() })
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a description is plain data")
}

#[derive(Default)]
struct Comparison(Vec<Change>);

impl Comparison {
    fn hosts(&mut self, standing: &[HostSpec], wanted: &[HostSpec], scope: Scope) {
        let before: BTreeMap<_, _> = standing.iter().map(|host| (&host.name, host)).collect();
        let after: BTreeMap<_, _> = wanted.iter().map(|host| (&host.name, host)).collect();
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for name in names {
            match (before.get(name), after.get(name)) {
                (Some(before), Some(after)) => {
                    let [before, after] =
                        [before, after].map(|host| json(&HostSpec { ssh: Ssh::default(), ..(*host).clone() }));
                    self.compare("hosts[]", "", &format!(" of host {name}"), &before, &after);
                }
                (before, _) if scope == Scope::AllHosts => {
                    let (effect, standing, wanted) = match before {
                        None => (&rules::HOST_ADDED, "absent", "listed"),
                        Some(_) => (&rules::HOST_GONE, "listed", "absent"),
                    };
                    let (standing, wanted) = (standing.to_owned(), wanted.to_owned());
                    let setting = format!("host {name}");
                    self.0.push(Change { setting, standing, wanted, effect: effect.clone() });
                }
                _ => {}
            }
        }
    }

    /// `rule` is the place in the form of rules, `place` is the place for people, without ` of host NAME`.
    fn compare(&mut self, rule: &str, place: &str, suffix: &str, standing: &Value, wanted: &Value) {
        if standing == wanted {
            return;
        }
        let before = self.0.len();
        if let Some((standing, wanted)) = both_maps(standing, wanted) {
            let keys: BTreeSet<_> = standing.keys().chain(wanted.keys()).collect();
            for key in keys {
                let inner = |of: &str| if of.is_empty() { key.clone() } else { format!("{of}.{key}") };
                let [standing, wanted] = [&standing, &wanted].map(|map| map.get(key).unwrap_or(&Value::Null));
                self.compare(&inner(rule), &inner(place), suffix, standing, wanted);
            }
        }
        // A map without a key is not the same as no map.
        if self.0.len() == before {
            let effect = effect_of(rule).unwrap_or_else(|| rules::UNKNOWN.clone());
            let setting = format!("{place}{suffix}");
            self.0.push(Change { setting, standing: shown(standing), wanted: shown(wanted), effect });
        }
    }
}

/// Both values as maps, if each is a map or absent.
fn both_maps(
    standing: &Value,
    wanted: &Value,
) -> Option<(serde_json::Map<String, Value>, serde_json::Map<String, Value>)> {
    match (standing, wanted) {
        (Value::Object(standing), Value::Object(wanted)) => Some((standing.clone(), wanted.clone())),
        (Value::Object(standing), Value::Null) => Some((standing.clone(), serde_json::Map::new())),
        (Value::Null, Value::Object(wanted)) => Some((serde_json::Map::new(), wanted.clone())),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "absent".to_owned(),
        Value::String(text) if text.trim_end().contains('\n') => {
            return format!("a text of {} lines", text.lines().count());
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    text.chars().take(LONGEST_VALUE).chain(['…']).collect()
}
