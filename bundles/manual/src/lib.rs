//! The manual: the pages of `docs/`, as kinstall carries them to sites without a network.
//!
//! `docs/` is the one home of the text. mdBook makes a book of it (`./ci/manual`), this crate makes it readable from a program. With the
//! feature `examples` it also returns the pages' commands and YAML, so that tests check them with the programs.

#[cfg(feature = "examples")]
pub mod examples;

use include_dir::{Dir, include_dir};

static DOCS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../docs");

/// The file that names the pages in the order of the book.
const SUMMARY: &str = "SUMMARY.md";

/// A file of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path inside of the manual, such as `how-to/carry.md`.
    pub path: &'static str,
    /// Its content.
    pub content: &'static [u8],
}

/// A page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its path without the ending, such as `how-to/carry`.
    pub topic: &'static str,
    /// The title in the table of contents.
    pub title: &'static str,
    /// Its Markdown.
    pub text: &'static str,
}

/// Why no page was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No page has this name.
    #[error("the manual has no page `{topic}`")]
    Unknown {
        /// The name that was asked for.
        topic: String,
    },
    /// Several pages in different folders have this name.
    #[error("the manual has several pages `{topic}`: {}", topics.join(", "))]
    Ambiguous {
        /// The name that was asked for.
        topic: String,
        /// Their full topics.
        topics: Vec<&'static str>,
    },
}

/// Every file of the manual: pages, and the schemas that they link to.
pub fn files() -> impl Iterator<Item = File> {
    fn below(folder: &'static Dir<'static>) -> Box<dyn Iterator<Item = File>> {
        let here =
            folder.files().filter_map(|file| Some(File { path: file.path().to_str()?, content: file.contents() }));
        Box::new(here.chain(folder.dirs().flat_map(below)))
    }
    below(&DOCS)
}

/// The pages in the order of the book.
pub fn pages() -> impl Iterator<Item = Page> {
    let summary = text(SUMMARY).unwrap_or_default();
    summary.lines().filter_map(|line| {
        let (title, rest) = line.split_once('[')?.1.split_once("](")?;
        let path = rest.strip_suffix(')')?;
        Some(Page { topic: path.strip_suffix(".md")?, title, text: text(path)? })
    })
}

/// The page called `topic`: by its full topic, or by its last part if no other page ends with it.
///
/// # Errors
/// [`TopicError`], with the name that was asked for.
pub fn page(topic: &str) -> Result<Page, TopicError> {
    let wanted = topic.strip_suffix(".md").unwrap_or(topic);
    if let Some(page) = pages().find(|page| page.topic == wanted) {
        return Ok(page);
    }
    let ending: Vec<_> = pages().filter(|page| page.topic.rsplit('/').next() == Some(wanted)).collect();
    match ending.as_slice() {
        [page] => Ok(*page),
        [] => Err(TopicError::Unknown { topic: topic.to_owned() }),
        several => Err(TopicError::Ambiguous {
            topic: topic.to_owned(),
            topics: several.iter().map(|page| page.topic).collect(),
        }),
    }
}

fn text(path: &str) -> Option<&'static str> {
    DOCS.get_file(path)?.contents_utf8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_topic_and_by_its_last_part() {
        for topic in ["how-to/carry", "carry", "carry.md", "how-to/carry.md"] {
            assert_eq!(page(topic).unwrap().topic, "how-to/carry", "{topic}");
        }
        assert_eq!(page("quick-start").unwrap().title, "Quick start");
        assert!(matches!(page("nothing"), Err(TopicError::Unknown { .. })));
    }

    #[test]
    fn the_files_are_pages_and_schemas() {
        let files: Vec<_> = files().map(|file| file.path).collect();
        assert!(files.contains(&"how-to/carry.md") && files.contains(&"cluster.schema.json"), "{files:?}");
    }
}
