//! The help of every command, as users see it.

use std::collections::BTreeMap;

use crate::folder::Folder;

/// The help of the command that `words` lead to, and of all below it.
fn collect(folder: &Folder, words: &[&str], found: &mut BTreeMap<String, String>) {
    let said = folder.kinstall(&[words, &["--help"]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    let commands = said.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        // What continues a description begins further right.
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
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
