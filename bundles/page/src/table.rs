//! Tables. The page's script adds a search and buttons for sorting to each.

use maud::{Markup, html};

/// How many of many items a cell shows; the JSON output has all.
const SHOWN_IN_CELL: usize = 10;

/// Rows below headings. If a cell is sorted by something other than its text, that is in the attribute `data-order`.
pub struct Table<'a> {
    what: &'a str,
    headings: Vec<&'a str>,
    rows: Vec<Markup>,
}

impl<'a> Table<'a> {
    /// An empty table. `what` names its rows, in the plural.
    #[must_use]
    pub fn new(what: &'a str, headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { what, headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds these rows: each has one `td` for each heading.
    #[must_use]
    pub fn with(mut self, rows: impl IntoIterator<Item = Markup>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// The table, or a sentence if it has no rows.
    #[must_use]
    pub fn html(&self) -> Markup {
        if self.rows.is_empty() {
            return html! { p { "No " (self.what) "." } };
        }
        html! {
            table {
                caption { (self.rows.len()) " " (self.what) }
                thead { tr { @for heading in &self.headings { th scope="col" { (heading) } } } }
                tbody { @for row in &self.rows { tr { (row) } } }
            }
        }
    }
}

/// A few of many, in a cell.
#[must_use]
pub fn listed(items: &[Markup]) -> Markup {
    html! {
        ul {
            @for item in items.iter().take(SHOWN_IN_CELL) { li { (item) } }
            @if items.len() > SHOWN_IN_CELL { li { "and " (items.len() - SHOWN_IN_CELL) " more" } }
        }
    }
}
