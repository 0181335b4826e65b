//! Python's literals. Ansible reads a value of an INI inventory as a literal if it is one (`ast.literal_eval`), or else as
//! text.

use super::value::{Node, Value, insert};

/// A limit on nesting; values in inventories are less deep.
const DEEPEST: usize = 64;

/// The value of `text` as a literal, or `text` itself if it is not one.
pub(super) fn value(text: &str, line: usize) -> Value {
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']), line, depth: 0 };
    let read = reader.expression().filter(|_| reader.is_at_end());
    read.unwrap_or_else(|| Value::Text(text.to_owned()))
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\x0c']);
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// The leading text for whose characters `is` holds.
    fn while_is(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !is(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn expression(&mut self) -> Option<Value> {
        self.skip_spaces();
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = match self.rest.chars().next()? {
            '+' | '-' => self.signed(),
            '.' if self.rest.starts_with("...") => {
                self.takes("...");
                Some(Value::Text("...".to_owned()))
            }
            '0'..='9' | '.' => self.number(),
            '[' => {
                self.takes("[");
                self.items("]").map(|(items, _)| Value::List(items))
            }
            '(' => self.tuple(),
            '{' => self.braces(),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    fn signed(&mut self) -> Option<Value> {
        let negative = self.rest.starts_with('-');
        self.rest = &self.rest[1..];
        self.skip_spaces();
        match self.number()? {
            Value::Int(number) if negative => Some(Value::Int(-number)),
            Value::Float(number) if negative => Some(Value::Float(-number)),
            other => Some(other),
        }
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |character: char| character.is_ascii_alphanumeric() || ['_', '.'].contains(&character);
        let mut text = self.while_is(is_part).to_owned();
        let is_hexadecimal = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if text.ends_with(['e', 'E']) && !is_hexadecimal && self.rest.starts_with(['+', '-']) {
            text.push_str(&self.rest[..1]);
            self.rest = &self.rest[1..];
            text.push_str(self.while_is(is_part));
        }
        number(&text)
    }

    /// The items between commas up to `close`, and whether the last token was a comma.
    fn items(&mut self, close: &str) -> Option<(Vec<Node>, bool)> {
        let mut items = Vec::new();
        let mut comma_last = false;
        while !self.takes(close) {
            if !items.is_empty() && !comma_last {
                return None;
            }
            items.push(Node { value: self.expression()?, line: self.line });
            comma_last = self.takes(",");
        }
        Some((items, comma_last))
    }

    /// A tuple, or one value in parentheses.
    fn tuple(&mut self) -> Option<Value> {
        self.takes("(");
        let (mut items, comma_last) = self.items(")")?;
        if items.len() == 1 && !comma_last {
            return items.pop().map(|node| node.value);
        }
        Some(Value::List(items))
    }

    /// A dictionary, or a set, which is a list to Ansible.
    fn braces(&mut self) -> Option<Value> {
        self.takes("{");
        if self.takes("}") {
            return Some(Value::Map(Vec::new()));
        }
        let first = self.expression()?;
        if !self.takes(":") {
            let mut items = vec![Node { value: first, line: self.line }];
            if self.takes(",") {
                items.extend(self.items("}")?.0);
            } else if !self.takes("}") {
                return None;
            }
            return Some(Value::List(items));
        }
        let mut entries = Vec::new();
        let mut key = first;
        loop {
            let node = Node { value: self.expression()?, line: self.line };
            insert(&mut entries, key.text()?, node);
            let comma = self.takes(",");
            if self.takes("}") {
                return Some(Value::Map(entries));
            }
            if !comma {
                return None;
            }
            key = self.expression()?;
            if !self.takes(":") {
                return None;
            }
        }
    }

    /// A constant by its name, or adjacent texts.
    fn word(&mut self) -> Option<Value> {
        let before = self.rest;
        let name = self.while_is(|character| character.is_alphanumeric() || character == '_');
        if self.rest.starts_with(['\'', '"']) {
            self.rest = before;
            return self.texts();
        }
        match name {
            "None" => Some(Value::Null),
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "set" if self.takes("(") && self.takes(")") => Some(Value::List(Vec::new())),
            _ => None,
        }
    }

    fn texts(&mut self) -> Option<Value> {
        let mut whole = String::new();
        let mut bytes = None;
        loop {
            let prefix = self.while_is(|character| character.is_ascii_alphabetic()).to_ascii_lowercase();
            if !["", "r", "u", "b", "br", "rb"].contains(&prefix.as_str()) {
                return None;
            }
            // Python does not join texts and bytes.
            let are_bytes = prefix.contains('b');
            if bytes.is_some_and(|earlier| earlier != are_bytes) {
                return None;
            }
            bytes = Some(are_bytes);
            self.text(prefix.contains('r'), &mut whole)?;
            self.skip_spaces();
            let next = self.rest.trim_start_matches(|character: char| character.is_ascii_alphabetic());
            if !next.starts_with(['\'', '"']) {
                return Some(Value::Text(whole));
            }
        }
    }

    fn text(&mut self, raw: bool, whole: &mut String) -> Option<()> {
        let quote = self.rest.get(..3).filter(|quote| ["'''", "\"\"\""].contains(quote));
        let quote = quote.or_else(|| self.rest.get(..1))?;
        self.rest = &self.rest[quote.len()..];
        loop {
            if let Some(after) = self.rest.strip_prefix(quote) {
                self.rest = after;
                return Some(());
            }
            let character = self.next()?;
            match character {
                '\\' if raw => {
                    whole.push('\\');
                    whole.push(self.next()?);
                }
                '\\' => self.escape(whole)?,
                _ => whole.push(character),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn escape(&mut self, whole: &mut String) -> Option<()> {
        let character = self.next()?;
        let plain = match character {
            '\\' | '\'' | '"' => character,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let digits = format!("{character}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32)?
            }
            'N' => return None,
            other => {
                whole.push('\\');
                other
            }
        };
        whole.push(plain);
        Some(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let text = self.rest.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        self.rest = &self.rest[digits..];
        u32::from_str_radix(text, radix).ok().and_then(char::from_u32)
    }
}

/// A number in Python's form: `_` only between digits, no leading zeros.
fn number(text: &str) -> Option<Value> {
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some((_, digits)) = text.split_at_checked(2).filter(|(start, _)| start.eq_ignore_ascii_case(prefix)) {
            let digits = plain_digits(digits.strip_prefix('_').unwrap_or(digits))?;
            return i128::from_str_radix(&digits, radix).ok().map(Value::Int);
        }
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        let digits = plain_digits(text)?;
        let zeros_in_front = digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0');
        return (!zeros_in_front).then(|| digits.parse().ok().map(Value::Int)).flatten();
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let decimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    if !decimal(whole) || !decimal(fraction) || exponent.is_some_and(|digits| !decimal(digits) || digits.is_empty()) {
        return None;
    }
    for part in [whole, fraction, exponent.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()) {
        plain_digits(part)?;
    }
    text.replace('_', "").parse().ok().map(Value::Float)
}

/// The digits without `_`; each `_` has to be between two digits.
fn plain_digits(text: &str) -> Option<String> {
    let sound = !text.is_empty() && text.split('_').all(|part| !part.is_empty());
    sound.then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value in Rust's notation, or `text` if it is not a literal.
    fn read(text: &str) -> String {
        fn shown(value: &Value) -> String {
            match value {
                Value::List(items) => {
                    format!("[{}]", items.iter().map(|node| shown(&node.value)).collect::<Vec<_>>().join(", "))
                }
                Value::Map(entries) => {
                    let entries: Vec<_> =
                        entries.iter().map(|(key, node)| format!("{key}: {}", shown(&node.value))).collect();
                    format!("{{{}}}", entries.join(", "))
                }
                Value::Text(text) => format!("{text:?}"),
                other => format!("{other:?}"),
            }
        }
        match value(text, 1) {
            Value::Text(same) if same == text => "text".to_owned(),
            value => shown(&value),
        }
    }

    // The right sides follow Python 3.11's `ast.literal_eval`; if it raises an error, the text stays.
    #[test]
    fn literals_are_pythons() {
        let all = [
            ("''", r#""""#),
            ("00", "Int(0)"),
            ("0x1F", "Int(31)"),
            ("0o17", "Int(15)"),
            ("0b11", "Int(3)"),
            ("1_000", "Int(1000)"),
            ("1e3", "Float(1000.0)"),
            (".5", "Float(0.5)"),
            ("1.", "Float(1.0)"),
            ("1e-2", "Float(0.01)"),
            ("-1", "Int(-1)"),
            ("- 1", "Int(-1)"),
            ("+1.5", "Float(1.5)"),
            ("b'x'", r#""x""#),
            ("'a' \"b\"", r#""ab""#),
            ("u'x'", r#""x""#),
            (r"r'\n'", r#""\\n""#),
            (r"'\x41\102\u0043\n\q'", r#""ABC\n\\q""#),
            ("'''x'''", r#""x""#),
            ("[1,2]", "[Int(1), Int(2)]"),
            ("[1 ,]", "[Int(1)]"),
            ("(1,)", "[Int(1)]"),
            ("(1)", "Int(1)"),
            ("()", "[]"),
            ("{'a': 1, \"b\": [True, None]}", "{a: Int(1), b: [Bool(true), Null]}"),
            ("{'a':1,}", "{a: Int(1)}"),
            ("{'a':1,'a':2}", "{a: Int(2)}"),
            ("{}", "{}"),
            ("{1}", "[Int(1)]"),
            ("set()", "[]"),
            ("None # c", "Null"),
            ("'x' # y", r#""x""#),
            ("  5", "Int(5)"),
            ("22 # as usual", "Int(22)"),
            ("True", "Bool(true)"),
            ("False#x", "Bool(false)"),
        ];
        for (text, expected) in all {
            assert_eq!(read(text), expected, "{text}");
        }
        for text in [
            "",
            "a",
            "true",
            "yes",
            "010",
            "0777",
            "1_",
            "_1",
            "0x",
            "1a",
            "'a'b",
            "'a",
            "-'a'",
            "not True",
            "--1",
            "-True",
            "{**{}}",
            "f'x'",
            "1 2",
            "1;",
            "192.0.2.1",
            "{\"a\": true}",
            "[1 2]",
            "{'a' 1}",
            "1,2]",
            "'a' b'c'",
            "1e",
            "set",
            "+",
            "{'a': 1 'b': 2}",
            "r",
            r"'\N{BULLET}'",
            "'\\",
        ] {
            assert_eq!(read(text), "text", "{text}");
        }
        assert_eq!(read(&"[".repeat(1_000)), "text");
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,30}|[-+'\"\\\\\\[\\](){}:,.0-9_eExbrN #a]{0,30}") {
            let _ = value(&text, 1);
        }
    }
}
