//! Lists of tests by their exact names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use fs_err as fs;

use crate::repository;

/// What `e2e.test` calls itself, which ginkgo puts before each name when it looks for a match.
const SUITE: &str = "Kubernetes e2e suite";

/// The names that `tests/conformance` has for a Kubernetes version, and for a CNI whose own tests are chosen too.
///
/// # Errors
/// When there is no list for the version's minor, or a list is not well formed.
pub fn chosen(version: &str, cni: &str) -> anyhow::Result<Vec<String>> {
    let mut text = fs::read_to_string(file(version, "txt")?)?;
    let of_cni = file(version, &format!("{cni}.txt"))?;
    if of_cni.exists() {
        text.push_str(&fs::read_to_string(of_cni)?);
    }
    parse(&text)
}

/// The tests that are known not to pass in the lab when all are run. The list says why.
///
/// # Errors
/// When the list is not well formed.
pub fn known_failures(version: &str) -> anyhow::Result<Vec<String>> {
    let list = file(version, "failing.txt")?;
    if list.exists() { parse(&fs::read_to_string(list)?) } else { Ok(Vec::new()) }
}

/// Lists are for a minor version: patch releases do not change upstream's tests.
fn file(version: &str, kind: &str) -> anyhow::Result<PathBuf> {
    let minor = version.rsplit_once('.').with_context(|| format!("`{version}` is not a version"))?.0;
    Ok(repository().join("tests/conformance").join(format!("{minor}.{kind}")))
}

/// Reads a list: one name a line, as `e2e.test` has it. Empty lines and those that begin with `#` are for people.
///
/// # Errors
/// When there is no name, or one is there twice.
pub fn parse(text: &str) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    ensure!(!names.is_empty(), "the list names no test");
    let mut seen = BTreeSet::new();
    for name in &names {
        ensure!(seen.insert(name), "the list names a test twice: {name}");
    }
    Ok(names)
}

/// A regular expression for `--focus` that matches these tests and no others.
pub(super) fn focus(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    format!("^{SUITE} ({})$", quoted.join("|"))
}

/// A text as Go's regular expressions match it, letter by letter.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_names_and_words_for_people() {
        let names = parse("# DNS\n[sig-network] DNS a  [Conformance]\n\n# Pods\n[sig-node] Pods b\n").unwrap();
        assert_eq!(names, ["[sig-network] DNS a  [Conformance]", "[sig-node] Pods b"]);
    }

    #[test]
    fn empty_lists_and_repeated_names_are_refused() {
        assert_eq!(parse("# nothing\n").unwrap_err().to_string(), "the list names no test");
        assert_eq!(parse("a\nb\na\n").unwrap_err().to_string(), "the list names a test twice: a");
    }

    #[test]
    fn the_expression_matches_whole_names() {
        let names = ["[sig-node] should *not* (x) \"a|b\"".to_owned(), "b.c".to_owned()];
        assert_eq!(focus(&names), r#"^Kubernetes e2e suite (\[sig-node\] should \*not\* \(x\) "a\|b"|b\.c)$"#);
    }

    #[test]
    fn every_list_in_the_repository_is_well_formed_and_long_enough() {
        for version in ["1.25.2", "1.36.3"] {
            let names = chosen(version, "bridge").unwrap();
            assert!(names.len() >= 40, "{version} has {} tests", names.len());
            assert!(names.iter().all(|name| name.contains("[Conformance]")), "{version} has a test of another kind");
            let failing = known_failures(version).unwrap();
            assert!(failing.iter().all(|name| !names.contains(name)), "{version} chooses a test that is known to fail");
            chosen(version, "calico").unwrap();
        }
    }
}
