//! The help of every command, as users see it.

use std::collections::BTreeMap;

use crate::folder::Folder;

/// The help of the command that `words` lead to, and of all below it.
fn collect(folder: &Folder, words: &[&str], found: &mut BTreeMap<String, String>) {
    let said = folder.kinstall(&[words, &["--help"]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    // Commands are between usage and options, one on each line; a continued description begins further right.
    let after_usage = said.stdout.lines().skip_while(|line| !line.starts_with("Usage:")).skip(1);
    for line in after_usage.take_while(|line| *line != "Options:") {
        let name = line.strip_prefix("  ").filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_lowercase()));
        let name = name.and_then(|rest| rest.split_whitespace().next());
        if let Some(name) = name.filter(|name| *name != "help") {
            collect(folder, &[words, &[name]].concat(), found);
        }
    }
    found.insert(["help"].iter().chain(words).copied().collect::<Vec<_>>().join("-"), said.stdout);
}

#[test]
fn the_help_of_every_command() {
    let mut found = BTreeMap::new();
    collect(&Folder::new(), &[], &mut found);
    for command in ["help-run", "help-verify", "help-config-import", "help-token-create"] {
        assert!(found.contains_key(command), "{:?}", found.keys());
    }
    for (name, help) in found {
        insta::assert_snapshot!(name, help);
    }
}
