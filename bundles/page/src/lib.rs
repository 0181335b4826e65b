//! HTML pages of reports: one file that loads nothing from elsewhere and can be read without its script.
//!
//! Text on a page may be anything that a bundle or a host says. The templates escape all of it, and the page's own policy allows only the
//! style and script of this crate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kbundle_format::Digest;
use maud::{DOCTYPE, Markup, PreEscaped, html};

mod table;

pub use table::{Table, listed};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How a reader should take something. Each has a colour, and the words beside it say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// It needs a look.
    Caution,
    /// Not as it should be.
    Bad,
    /// None of these.
    Plain,
}

impl Tone {
    /// The class in the style.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Caution => "caution",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// A part of the page with a heading.
pub struct Section {
    /// The id that links name.
    pub id: &'static str,
    /// The heading.
    pub title: String,
    /// The content below the heading.
    pub content: Markup,
}

impl Section {
    /// A section with this heading.
    #[must_use]
    pub fn new(id: &'static str, title: impl Into<String>, content: Markup) -> Self {
        Self { id, title: title.into(), content }
    }
}

/// The content of a page.
pub struct Page {
    /// The one heading of the first level.
    pub title: String,
    /// The result in a sentence.
    pub answer: (Tone, String),
    /// The most important facts.
    pub summary: Markup,
    /// The rest of the page.
    pub sections: Vec<Section>,
}

impl Page {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let Self { title, answer: (tone, answer), summary, sections } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (title) }
                        p class={ "answer " (tone.class()) } { (answer) }
                        (summary)
                        nav aria-label="Sections" {
                            ul { @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                        }
                    }
                    main {
                        @for section in sections {
                            section id=(section.id) { h2 { (section.title) } (section.content) }
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }
}

/// The page's policy for browsers: only its own style and script are allowed.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Digest::of(text.as_bytes()).as_bytes()));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title><script>alert('x')</script><img src=x onerror=alert(1)>";

    fn page() -> String {
        let table = Table::new(HOSTILE, [HOSTILE]).with([html! { td { (HOSTILE) } }]);
        let sections = vec![Section::new("rows", HOSTILE, table.html())];
        let answer = (Tone::Bad, HOSTILE.to_owned());
        Page { title: HOSTILE.to_owned(), answer, summary: html! { p { (HOSTILE) } }, sections }.html()
    }

    #[test]
    fn names_are_text_and_the_only_script_is_the_pages_own() {
        let page = page();
        assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0), "{page}");
        assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;"), "{page}");
        let text = page.replace("&lt;img src=x", "");
        for outside in ["<link", " src=", "url(", "@import"] {
            assert!(!text.contains(outside), "{outside}");
        }
    }

    /// The hashes in the page's policy are those of the text between the tags; other text would not run.
    #[test]
    fn the_policy_of_the_page_names_its_own_style_and_script_by_digest() {
        let page = page();
        for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
            let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
            let (text, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            let hash = BASE64.encode(Digest::of(text.as_bytes()).as_bytes());
            assert!(page.contains(&format!("{directive} 'sha256-{hash}'")), "{tag}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_table_without_rows_is_a_sentence() {
        assert_eq!(Table::new("images", ["Image"]).html().into_string(), "<p>No images.</p>");
    }
}
