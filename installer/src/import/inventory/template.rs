//! Ansible's templates that only name other variables: `{{ name }}`. Everything else needs Ansible.

use super::value::{Node, Value};

/// A limit on variables that name each other.
const DEEPEST: usize = 20;
/// The longest text that a template may produce.
const LONGEST: usize = 10_000;

/// Whether a value could be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// It has no templates any more.
    Whole,
    /// It has a template that only Ansible can fill in.
    NeedsAnsible,
}

/// Fills in the values of other variables. `known` returns them unfilled, as they are written.
pub(super) fn fill(value: &Value, known: &dyn Fn(&str) -> Option<Value>) -> (Value, Filled) {
    match filled(value, known, 0) {
        Some(value) => (value, Filled::Whole),
        None => (value.clone(), Filled::NeedsAnsible),
    }
}

fn filled(value: &Value, known: &dyn Fn(&str) -> Option<Value>, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let node = |node: &Node| Some(Node { value: filled(&node.value, known, depth + 1)?, line: node.line });
    match value {
        Value::Text(text) => in_text(text, known, depth),
        Value::List(items) => items.iter().map(node).collect::<Option<_>>().map(Value::List),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, inner)| Some((key.clone(), node(inner)?)));
            entries.collect::<Option<_>>().map(Value::Map)
        }
        other => Some(other.clone()),
    }
}

fn in_text(text: &str, known: &dyn Fn(&str) -> Option<Value>, depth: usize) -> Option<Value> {
    if text.contains("{%") || text.contains("{#") {
        return None;
    }
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, template)) = rest.split_once("{{") {
        let (name, after) = template.split_once("}}")?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|character| character.is_alphanumeric() || character == '_') {
            return None;
        }
        let value = filled(&known(name)?, known, depth + 1)?;
        // A template alone has the type of its variable.
        if before.is_empty() && after.is_empty() && whole.is_empty() {
            return Some(value);
        }
        whole.push_str(before);
        whole.push_str(&value.text()?);
        rest = after;
        if whole.len() > LONGEST {
            return None;
        }
    }
    whole.push_str(rest);
    Some(Value::Text(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Value> {
        let known = |name: &str| match name {
            "user" => Some(Value::Text("ops".to_owned())),
            "port" => Some(Value::Int(22)),
            "deep" => Some(Value::Text("{{ user }}-{{port}}".to_owned())),
            "loop" => Some(Value::Text("x{{ loop }}{{ loop }}".to_owned())),
            _ => None,
        };
        let (value, filled) = fill(&Value::Text(text.to_owned()), &known);
        (filled == Filled::Whole).then_some(value)
    }

    #[test]
    fn names_of_variables_are_filled_in() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        assert_eq!(read("plain"), text("plain"));
        assert_eq!(read("{{ user }}"), text("ops"));
        assert_eq!(read("{{port}}"), Some(Value::Int(22)));
        assert_eq!(read("a.{{ user }}.{{ port }}"), text("a.ops.22"));
        assert_eq!(read("{{ deep }}!"), text("ops-22!"));
    }

    #[test]
    fn what_needs_ansible_is_left() {
        for template in [
            "{{ nothing }}",
            "{{ user | upper }}",
            "{% if x %}",
            "{{ user",
            "{{ loop }}",
            "{{ hostvars['a'].ip }}",
            "{{ '{{' }}",
            "{{}}",
        ] {
            assert_eq!(read(template), None, "{template}");
        }
    }
}
