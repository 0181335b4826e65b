//! Text of other people, made fit for a report.

use crate::limits::MAX_TEXT_CHARS;

/// Whether `text` is a name that a report can show as it is.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first line, without what a terminal would obey, and not too long.
pub fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|letter| !letter.is_control()).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_what_can_be_shown() {
        assert_eq!(one_line("\n  a\u{1b}[31m b \nc"), "a[31m b");
        assert_eq!(one_line(&"a".repeat(1000)).len(), MAX_TEXT_CHARS);
        assert!(is_name("CVE-2025-0001") && !is_name("") && !is_name("a b") && !is_name("a\n"));
    }
}
