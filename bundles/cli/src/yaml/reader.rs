//! Reads a value again from the tree after it was refused, and skips each error that was found, to find all of them.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_yaml::Value;

use super::tree::{Content, Node};
use crate::similar::nearest;

/// An error, and the innermost node that it belongs to.
#[derive(Debug)]
pub(super) struct Flaw {
    pub message: String,
    pub node: Option<usize>,
    /// Whether something is missing; that is to be expected after a node was skipped.
    pub is_absence: bool,
}

impl Flaw {
    fn new(message: String) -> Self {
        Self { message, node: None, is_absence: false }
    }

    fn at(mut self, node: &Node) -> Self {
        self.node = self.node.or(Some(node.id));
        self
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Flaw {}

impl de::Error for Flaw {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", plain(&expected.to_string()), plain(&found.to_string())))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field `{field}`; {}", instead(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown value `{variant}`; {}", instead(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { is_absence: true, ..Self::new(format!("`{field}` is missing")) }
    }
}

/// serde's name for a kind of value, in YAML's terms.
fn plain(kind: &str) -> &str {
    match kind {
        "a sequence" | "sequence" => "a list",
        "map" => "a map",
        kind if kind.starts_with("struct ") => "a map",
        kind => kind,
    }
}

/// What to write instead of `word`: the nearest of the known words, or all of them.
fn instead(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are `{}`", known.join("`, `")),
    }
}

/// One node for serde. Nodes in `passed_over` count as absent.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub node: &'a Node,
    pub passed_over: &'a BTreeSet<usize>,
}

impl<'a> Reader<'a> {
    fn child(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn is_there(self, node: &Node) -> bool {
        !self.passed_over.contains(&node.id)
    }

    fn entries(self, entries: &'a [(Node, Node)]) -> Entries<'a, impl Iterator<Item = (&'a Node, &'a Node)>> {
        let there = entries.iter().map(|(key, value)| (key, value));
        Entries {
            reader: self,
            rest: there.filter(move |(key, value)| self.is_there(key) && self.is_there(value)),
            value: None,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Flaw;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        let result = match &self.node.content {
            Content::Sequence(items) => {
                let there = items.iter().filter(|item| self.is_there(item));
                visitor.visit_seq(Items { reader: self, rest: there })
            }
            Content::Mapping(entries) => visitor.visit_map(self.entries(entries)),
            Content::Scalar { text, plain: false } => visitor.visit_str(text),
            Content::Scalar { text, plain: true } => match serde_yaml::from_str(text) {
                Ok(Value::Null) => visitor.visit_unit(),
                Ok(Value::Bool(value)) => visitor.visit_bool(value),
                Ok(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
                    (Some(value), _) => visitor.visit_u64(value),
                    (None, Some(value)) => visitor.visit_i64(value),
                    (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
                },
                _ => visitor.visit_str(text),
            },
        };
        result.map_err(|flaw: Flaw| flaw.at(self.node))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &self.node.content {
            // A text may look like a number: `1.25`.
            Content::Scalar { text, .. } => visitor.visit_str(text).map_err(|flaw: Flaw| flaw.at(self.node)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Flaw> {
        match &self.node.content {
            Content::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null") => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Flaw> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Flaw> {
        let result = match &self.node.content {
            Content::Scalar { text, .. } => {
                let text: StrDeserializer<'_, Flaw> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Content::Mapping(entries) => {
                MapAccessDeserializer::new(self.entries(entries)).deserialize_enum(name, variants, visitor)
            }
            Content::Sequence(_) => Err(de::Error::invalid_type(Unexpected::Seq, &"one of the known values")),
        };
        result.map_err(|flaw| flaw.at(self.node))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        ignored_any
    }
}

struct Items<'a, I> {
    reader: Reader<'a>,
    rest: I,
}

impl<'de, 'a, I: Iterator<Item = &'a Node>> SeqAccess<'de> for Items<'a, I> {
    type Error = Flaw;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Flaw> {
        let next = self.rest.next();
        next.map(|node| seed.deserialize(self.reader.child(node)).map_err(|flaw| flaw.at(node))).transpose()
    }
}

struct Entries<'a, I> {
    reader: Reader<'a>,
    rest: I,
    value: Option<&'a Node>,
}

impl<'de, 'a, I: Iterator<Item = (&'a Node, &'a Node)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Flaw;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Flaw> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(self.reader.child(key)).map(Some).map_err(|flaw| flaw.at(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Flaw> {
        let value = self.value.take().expect("serde asks for a key before its value");
        seed.deserialize(self.reader.child(value)).map_err(|flaw| flaw.at(value))
    }
}
