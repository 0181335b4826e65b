//! Values of variables as Ansible has them: Python's values, from the literals of an INI file, from YAML 1.1 or from JSON.

/// A value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; each key once.
    Map(Vec<(String, Node)>),
    /// Encrypted by `ansible-vault`.
    Vault,
}

/// A value and its line, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub value: Value,
    pub line: usize,
}

impl Value {
    /// The text that Python's `str` makes of a plain value; `None` for lists, mappings, null and encrypted values.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Bool(true) => Some("True".to_owned()),
            Self::Bool(false) => Some("False".to_owned()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(float(*number)),
            Self::Null | Self::List(_) | Self::Map(_) | Self::Vault => None,
        }
    }

    /// The text, if there is one and it is not empty.
    pub(crate) fn filled_text(&self) -> Option<String> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Whether it says nothing: null, or an empty text, list or mapping.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Vault => false,
        }
    }

    /// The truth value, by the words that Ansible's `boolean` knows.
    pub(crate) fn truth(&self) -> Option<bool> {
        let word = match self {
            Self::Float(number) => return [0.0, 1.0].contains(number).then_some(*number != 0.0),
            other => other.text()?.trim().to_ascii_lowercase(),
        };
        match word.as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" => Some(true),
            "n" | "no" | "off" | "0" | "false" | "f" => Some(false),
            _ => None,
        }
    }

    /// A whole number, or the text of one.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => (*number).try_into().ok(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The value as JSON; null for encrypted values and for numbers that JSON cannot express.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::Vault => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Int(number) => serde_json::Number::from_i128(*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(|node| node.value.json()).collect(),
            Self::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(key, node)| (key.clone(), node.value.json())).collect())
            }
        }
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> Option<&[(String, Node)]> {
        if let Self::Map(entries) = self { Some(entries) } else { None }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// A mapping's entry.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }
}

/// A number in Python's form: with a fraction, or with an exponent of at least two digits.
fn float(number: f64) -> String {
    let text = format!("{number:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Puts an entry into a mapping; it replaces an earlier one of this key.
pub(super) fn insert(entries: &mut Vec<(String, Node)>, key: String, node: Node) {
    match entries.iter_mut().find(|(name, _)| *name == key) {
        Some((_, earlier)) => *earlier = node,
        None => entries.push((key, node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_have_pythons_text() {
        let text = |value: Value| value.text().unwrap();
        assert_eq!(text(Value::Bool(true)), "True");
        assert_eq!(text(Value::Float(1.0)), "1.0");
        assert_eq!(text(Value::Float(1e22)), "1e+22");
        assert_eq!(text(Value::Float(-2.5e-7)), "-2.5e-07");
        assert_eq!(Value::Null.text(), None);
    }

    #[test]
    fn truth_has_ansibles_words() {
        let truth = |text: &str| Value::Text(text.to_owned()).truth();
        for word in ["y", "Yes", "ON", "1", "true", " t "] {
            assert_eq!(truth(word), Some(true), "{word}");
        }
        for word in ["n", "no", "Off", "0", "FALSE", "f"] {
            assert_eq!(truth(word), Some(false), "{word}");
        }
        assert_eq!([truth(""), truth("maybe"), Value::Int(2).truth(), Value::Null.truth()], [None; 4]);
        assert_eq!([Value::Int(1).truth(), Value::Float(0.0).truth()], [Some(true), Some(false)]);
    }
}
