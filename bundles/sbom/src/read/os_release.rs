//! `os-release`: the distribution of an image. Source: os-release(5).

use crate::package::{Finding, OsRelease};

/// The content of the file; `None` without an `ID`.
#[must_use]
pub fn os_release(text: &str) -> Option<Finding> {
    let mut os = OsRelease::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once('=') else { continue };
        let value = unquoted(value);
        match name {
            "ID" => os.id = value,
            "VERSION_ID" => os.version = Some(value).filter(|value| !value.is_empty()),
            "PRETTY_NAME" => os.pretty_name = Some(value),
            "CPE_NAME" => os.cpe = Some(value),
            _ => {}
        }
    }
    (!os.id.is_empty()).then_some(Finding::Os(os))
}

fn unquoted(text: &str) -> String {
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(text).replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_quoted() {
        let Some(Finding::Os(os)) = os_release("PRETTY_NAME=\"Alpine Linux v3.16\"\nID=alpine\nVERSION_ID='3.16.2'\n")
        else {
            panic!()
        };
        assert_eq!((os.id.as_str(), os.version.as_deref()), ("alpine", Some("3.16.2")));
        assert_eq!(os_release("NAME=x\n"), None);
    }
}
