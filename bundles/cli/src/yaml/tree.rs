//! A YAML document as a tree whose nodes know their positions.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::Position;

/// How deep a document may be nested. Deeper ones are left to the deciding parser.
const MAX_DEPTH: usize = 64;

/// A value of the document.
#[derive(Debug)]
pub(super) struct Node {
    /// A number that identifies the node.
    pub id: usize,
    /// Where it begins.
    pub position: Position,
    /// Its path from the root, such as `hosts[1].name`.
    pub place: String,
    pub content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// A text, and whether it has no quotes: then it may be a number, a truth value or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file.
    Mapping(Vec<(Node, Node)>),
}

/// Reads the only document in `text`; `None` if it is not YAML, has aliases, or is nested too deep.
pub(super) fn parse(text: &str) -> Option<Node> {
    let mut events = Events { parser: Parser::new_from_str(text), count: 0 };
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (event, span) => return events.node(event, span, String::new(), 0),
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    count: usize,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        self.parser.next_event()?.ok()
    }

    fn node(&mut self, event: Event<'a>, span: Span, place: String, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            return None;
        }
        let id = self.count;
        self.count += 1;
        let content = match event {
            Event::Scalar(text, style, ..) => {
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => self.sequence(&place, depth)?,
            Event::MappingStart(..) => self.mapping(&place, depth)?,
            _ => return None,
        };
        let position = Position { line: span.start.line(), column: span.start.col() + 1 };
        Some(Node { id, position, place, content })
    }

    fn sequence(&mut self, place: &str, depth: usize) -> Option<Content> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(Content::Sequence(items)),
                (event, span) => items.push(self.node(event, span, format!("{place}[{}]", items.len()), depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, place: &str, depth: usize) -> Option<Content> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Some(Content::Mapping(entries));
            }
            let mut key = self.node(event, span, String::new(), depth + 1)?;
            let Content::Scalar { text, .. } = &key.content else { return None };
            key.place = if place.is_empty() { text.clone() } else { format!("{place}.{text}") };
            let (event, span) = self.next()?;
            let value = self.node(event, span, key.place.clone(), depth + 1)?;
            entries.push((key, value));
        }
    }
}

/// The position of each value, by its path from the root.
pub(super) fn positions(node: &Node, found: &mut BTreeMap<String, Position>) {
    found.insert(node.place.clone(), node.position);
    match &node.content {
        Content::Scalar { .. } => {}
        Content::Sequence(items) => items.iter().for_each(|item| positions(item, found)),
        Content::Mapping(entries) => entries.iter().for_each(|(_, value)| positions(value, found)),
    }
}
