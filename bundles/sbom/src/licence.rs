//! Licences as people state them, turned into SPDX expressions if possible.

use spdx::{Expression, ParseMode};

/// Deprecated identifiers such as `GPL-2.0` are common, and the licence list still has them.
const MODE: ParseMode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };

/// Longer texts are whole licences.
const MAX_NAME_BYTES: usize = 200;

/// The licences of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Licences {
    /// All stated licences, as one SPDX expression.
    Expression(String),
    /// The stated licences, if not all of them are SPDX.
    Names(Vec<String>),
}

/// The licences that are `stated`; `None` if there are none.
#[must_use]
pub fn licences(stated: &[String]) -> Option<Licences> {
    let mut names: Vec<String> = stated.iter().filter_map(|text| name(text)).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    if names.iter().any(|name| !is_expression(name)) {
        return Some(Licences::Names(names));
    }
    let parts: Vec<String> = match names.as_slice() {
        [only] => vec![only.clone()],
        several => {
            several.iter().map(|name| if name.contains(' ') { format!("({name})") } else { name.clone() }).collect()
        }
    };
    Some(Licences::Expression(parts.join(" AND ")))
}

/// Whether `text` is an SPDX expression of the licence list.
#[must_use]
pub fn is_expression(text: &str) -> bool {
    Expression::parse_mode(text, MODE).is_ok()
}

/// Whether the licences in `allowed` satisfy an SPDX expression; `None` if the text is not one. Exceptions after `WITH` are ignored.
pub fn is_satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let parsed = Expression::parse_mode(expression, MODE).ok()?;
    Some(parsed.evaluate(|required| match required.license.id() {
        Some(id) => allowed(id.name),
        None => allowed(&required.license.to_string()),
    }))
}

/// One line of limited length.
fn name(text: &str) -> Option<String> {
    let line = text.lines().next()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line
        .char_indices()
        .map(|(place, letter)| place + letter.len_utf8())
        .take_while(|end| *end <= MAX_NAME_BYTES)
        .last()?;
    Some(line[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_satisfied_by_one_of_its_choices() {
        let by = |expression: &str| is_satisfied(expression, &|name| name == "MIT");
        assert_eq!(by("MIT OR GPL-3.0-only"), Some(true));
        assert_eq!(by("MIT AND GPL-3.0-only"), Some(false));
        assert_eq!(by("GPL-3.0-only WITH GCC-exception-3.1"), Some(false));
        assert_eq!(by("GPL-2+"), None);
    }

    fn of(stated: &[&str]) -> Option<Licences> {
        licences(&stated.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn expressions_are_joined_and_names_stay_names() {
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&["MIT", "Apache-2.0 OR MIT", "MIT"]),
            Some(Licences::Expression("(Apache-2.0 OR MIT) AND MIT".to_owned()))
        );
        assert_eq!(of(&["GPL-2.0"]), Some(Licences::Expression("GPL-2.0".to_owned())));
        assert_eq!(of(&["MIT", "GPL-2+"]), Some(Licences::Names(vec!["GPL-2+".to_owned(), "MIT".to_owned()])));
        assert_eq!(of(&["Copyright\nall rights"]), Some(Licences::Names(vec!["Copyright".to_owned()])));
    }
}
