//! YAML and JSON as Ansible reads them: the scalars of YAML 1.1 (`yes` is true, `0755` is octal), merge keys, the last of two
//! equal keys, `!vault`.
//!
//! Source of the forms of scalars: `resolver.py` of `PyYAML` 6, which Ansible loads files with; a JSON text is read as JSON first.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde::de::IgnoredAny;

use super::value::{Node, Value, insert};

const DEEPEST: usize = 100;
/// A limit that keeps aliases of aliases from filling the memory.
const MOST_NODES: usize = 1_000_000;

/// Why a text cannot be read, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub line: usize,
    pub message: String,
}

/// Reads a text of one document; `None` if it is empty.
pub(crate) fn load(text: &str) -> Result<Option<Node>, YamlError> {
    let mut documents = load_all(text)?;
    let first = (!documents.is_empty()).then(|| documents.remove(0));
    match documents.first() {
        Some(second) => {
            Err(YamlError { line: second.line, message: "there is more than one YAML document".to_owned() })
        }
        None => Ok(first.filter(|node| node.value != Value::Null)),
    }
}

/// Reads every document of a text.
pub(crate) fn load_all(text: &str) -> Result<Vec<Node>, YamlError> {
    let json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let mut loader = Loader { parser: Parser::new_from_str(text), json, anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match loader.event()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, span) => documents.push(loader.node(event, span, 0)?),
        }
    }
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    json: bool,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Loader<'a> {
    fn event(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        let broken = |error: &ScanError| YamlError { line: error.marker().line(), message: error.info().to_owned() };
        match self.parser.next_event() {
            Some(event) => event.map_err(|error| broken(&error)),
            None => Err(YamlError { line: 0, message: "the text ends too early".to_owned() }),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        let refuse = |message: &str| YamlError { line, message: message.to_owned() };
        if depth > DEEPEST {
            return Err(refuse("it is nested too deeply"));
        }
        let before = self.nodes;
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), line)?, anchor),
            Event::SequenceStart(anchor, _) => (Value::List(self.items(depth)?), anchor),
            Event::MappingStart(anchor, _) => (Value::Map(self.entries(depth)?), anchor),
            Event::Alias(anchor) => {
                let (node, size) = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| refuse("an alias refers to a node that contains it"))?;
                self.count(size, line)?;
                return Ok(node);
            }
            _ => return Err(refuse("a value is missing")),
        };
        let node = Node { value, line };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), YamlError> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return Err(YamlError { line, message: format!("it has more than {MOST_NODES} values") });
        }
        Ok(())
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Node)>, YamlError> {
        let (mut merged, mut own) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.event()?;
            let mut node = self.node(event, span, depth + 1)?;
            if is_merge && !self.json {
                merge(&mut merged, node)?;
                continue;
            }
            let name = if key.value == Value::Null { Some(String::new()) } else { key.value.text() };
            let Some(name) = name else {
                return Err(YamlError { line: key.line, message: "a key is a list or a mapping".to_owned() });
            };
            // The line of the key, where a person looks for the entry.
            node.line = key.line;
            insert(&mut own, name, node);
        }
        for (key, node) in own {
            insert(&mut merged, key, node);
        }
        Ok(merged)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&saphyr_parser::Tag>,
        line: usize,
    ) -> Result<Value, YamlError> {
        let tag = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
        match tag {
            Some((false, "vault" | "vault-encrypted")) => Ok(Value::Vault),
            Some((false, "unsafe") | (true, "str")) => Ok(Value::Text(text.to_owned())),
            Some((_, other)) => {
                Err(YamlError { line, message: format!("the tag `{other}` is not one that Ansible's files have") })
            }
            None if style != ScalarStyle::Plain => Ok(Value::Text(text.to_owned())),
            None if self.json => Ok(json_scalar(text)),
            // In YAML 1.1 `=` has a type of its own, which loaders do not implement.
            None if text == "=" => Err(YamlError { line, message: "`=` alone is not a value; quote it".to_owned() }),
            None => Ok(plain(text)),
        }
    }
}

/// Adds the entries of the mappings that a merge key names; the first of several wins.
fn merge(merged: &mut Vec<(String, Node)>, node: Node) -> Result<(), YamlError> {
    let line = node.line;
    match node.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                if !merged.iter().any(|(name, _)| *name == key) {
                    merged.push((key, node));
                }
            }
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| merge(merged, item)),
        _ => Err(YamlError { line, message: "`<<` takes a mapping".to_owned() }),
    }
}

fn json_scalar(text: &str) -> Value {
    match text {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match (text.parse(), text.parse()) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(number)) => Value::Float(number),
            _ => Value::Text(text.to_owned()),
        },
    }
}

/// The value of a scalar without quotation marks in YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    integer(text)
        .map(Value::Int)
        .or_else(|| float(text).map(Value::Float))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn integer(text: &str) -> Option<i128> {
    let (sign, rest) = sign(text);
    let digits = rest.replace('_', "");
    if rest.starts_with('_') || digits.is_empty() {
        return None;
    }
    let radix =
        |digits: &str, radix| i128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']));
    let number = if let Some(binary) = digits.strip_prefix("0b") {
        radix(binary, 2)?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        radix(hexadecimal, 16)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        radix(&digits[1..], 8)?
    } else if digits.contains(':') {
        base_sixty(&digits)?
    } else {
        radix(&digits, 10)?
    };
    Some(if sign == '-' { -number } else { number })
}

/// Minutes and seconds, or hours too: each part but the first below sixty.
fn base_sixty(text: &str) -> Option<i128> {
    let mut parts = text.split(':');
    let first: i128 = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    parts.try_fold(first, |whole, part| {
        let sound = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let part: i128 = part.parse().ok().filter(|&part| sound && part < 60)?;
        whole.checked_mul(60)?.checked_add(part)
    })
}

/// A fraction: YAML 1.1 wants a point, and a sign in the exponent.
fn float(text: &str) -> Option<f64> {
    let (sign, rest) = sign(text);
    let positive = match rest {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if text == rest => f64::NAN,
        _ => {
            let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
            let (whole, fraction) = mantissa.split_once('.')?;
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
            let starts = |part: &str| part.starts_with(|character: char| character.is_ascii_digit());
            let sound = digits(whole)
                && digits(fraction)
                && if whole.is_empty() { text == rest && starts(fraction) } else { starts(whole) };
            let exponent_sound = exponent.is_none_or(|exponent| {
                let digits = exponent.strip_prefix(['+', '-']);
                digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            });
            if !sound || !exponent_sound {
                return None;
            }
            rest.replace('_', "").parse().ok()?
        }
    };
    Some(if sign == '-' { -positive } else { positive })
}

fn sign(text: &str) -> (char, &str) {
    match text.chars().next() {
        Some(sign @ ('+' | '-')) => (sign, &text[1..]),
        _ => ('+', text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        fn shown(value: &Value) -> String {
            match value {
                Value::List(items) => {
                    format!("[{}]", items.iter().map(|node| shown(&node.value)).collect::<Vec<_>>().join(", "))
                }
                Value::Map(entries) => {
                    let entries =
                        entries.iter().map(|(key, node)| format!("{key}@{}: {}", node.line, shown(&node.value)));
                    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
                }
                other => format!("{other:?}"),
            }
        }
        match load(text) {
            Ok(Some(node)) => shown(&node.value),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("line {}: {}", error.line, error.message),
        }
    }

    // The right sides follow `yaml.safe_load` of PyYAML 6.
    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        let all = [
            ("yes", "Bool(true)"),
            ("Off", "Bool(false)"),
            ("y", "Text(\"y\")"),
            ("'yes'", "Text(\"yes\")"),
            ("~", "Null"),
            ("12", "Int(12)"),
            ("-1_000", "Int(-1000)"),
            ("0755", "Int(493)"),
            ("0x1f", "Int(31)"),
            ("0b11", "Int(3)"),
            ("0o17", "Text(\"0o17\")"),
            ("089", "Text(\"089\")"),
            ("22:30", "Int(1350)"),
            ("1:60", "Text(\"1:60\")"),
            ("1.5", "Float(1.5)"),
            ("1e3", "Text(\"1e3\")"),
            ("1.0e+3", "Float(1000.0)"),
            ("1.", "Float(1.0)"),
            (".5", "Float(0.5)"),
            ("-.inf", "Float(-inf)"),
            ("192.0.2.1", "Text(\"192.0.2.1\")"),
            ("10.0.0.0/8", "Text(\"10.0.0.0/8\")"),
            ("v1.28.3", "Text(\"v1.28.3\")"),
            ("_1", "Text(\"_1\")"),
            ("+", "Text(\"+\")"),
            ("!!str 12", "Text(\"12\")"),
            ("!unsafe 'a'", "Text(\"a\")"),
            ("!vault |\n  $ANSIBLE_VAULT;1.1\n", "Vault"),
        ];
        for (text, expected) in all {
            assert_eq!(read(&format!("x: {text}")), format!("{{x@1: {expected}}}"), "{text}");
        }
    }

    #[test]
    fn mappings_keep_their_order_and_lines() {
        assert_eq!(read("b: 1\na:\n- x\n- {c: }\nb: 2\n"), "{b@5: Int(2), a@2: [Text(\"x\"), {c@4: Null}]}");
        assert_eq!(
            read("x: &x {a: 1, b: 1}\ny: {b: 2, <<: *x}\n"),
            "{x@1: {a@1: Int(1), b@1: Int(1)}, y@2: {a@1: Int(1), b@2: Int(2)}}"
        );
        assert_eq!(
            read("{\"a\": [1e3, true, null, \"no\"]}"),
            "{a@1: [Float(1000.0), Bool(true), Null, Text(\"no\")]}"
        );
        assert_eq!(read("{\n\t\"a\": 1\n}"), "{a@2: Int(1)}");
    }

    #[test]
    fn what_is_not_read_is_told() {
        assert_eq!(read(""), "nothing");
        insta::assert_snapshot!(read("a: 1\n--- \nb: 2\n"), @"line 3: there is more than one YAML document");
        insta::assert_snapshot!(read("a: !ruby/object x\n"), @"line 1: the tag `ruby/object` is not one that Ansible's files have");
        insta::assert_snapshot!(read("[a]: b\n"), @"line 1: a key is a list or a mapping");
        let laugh = |n: usize| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", "));
        let laughs = (1..12).map(laugh).collect::<Vec<_>>().concat();
        assert!(read(&format!("l0: &l0 x\n{laughs}")).ends_with("it has more than 1000000 values"));
        assert_eq!(read(&format!("{}{}", "[".repeat(200), "]".repeat(200))), "line 1: it is nested too deeply");
        assert!(read(&"[".repeat(100_000)).starts_with("line 1: "));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}|([-:\\[\\]{}&*!|>'\"a1, ]{0,8}\n){0,6}") {
            let _ = load_all(&text);
        }
    }
}
