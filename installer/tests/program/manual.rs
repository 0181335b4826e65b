//! `kinstall manual`, and that the manual is right about kinstall.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use clap::CommandFactory as _;
use fs_err as fs;
use kbundle_manual::examples;
use kinstall::cli::Cli;
use kinstall::config::ClusterSpec;
use kinstall::preflight::CheckId;

fn kinstall(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kinstall")).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_manual_shows_commands_that_exist() {
    let wrong = examples::wrong_commands(&Cli::command());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clusters_in_the_manual_can_be_read() {
    let blocks = examples::yaml_of("cluster.yaml");
    assert!(blocks.len() > 4, "{blocks:?}");
    for block in blocks {
        ClusterSpec::parse(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    }
}

#[test]
fn the_page_of_checks_has_every_check_and_no_other() {
    let page = kbundle_manual::page("checks").unwrap().text;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: BTreeSet<_> = rows.collect();
    for id in &described {
        id.parse::<CheckId>().unwrap();
    }
    let missing: Vec<_> =
        CheckId::every().map(|id| id.to_string()).filter(|id| !described.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn pages_are_listed_and_printed() {
    let list = said(&kinstall(&["manual"]));
    assert!(list.contains("quick-start") && list.contains("Carry a bundle on sticks"), "{list}");
    assert!(said(&kinstall(&["manual", "carry"])).starts_with("# Carry a bundle on sticks\n"));
    let unknown = kinstall(&["manual", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no page `nothing`"));
}

#[test]
fn it_is_unpacked_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("manual");
    let out = out.to_str().unwrap();
    said(&kinstall(&["manual", "--out", out]));
    let page = fs::read_to_string(format!("{out}/how-to/carry.md")).unwrap();
    assert_eq!(page, kbundle_manual::page("carry").unwrap().text);
    assert!(fs::metadata(format!("{out}/cluster.schema.json")).unwrap().len() > 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside it");

    fs::write(format!("{out}/how-to/carry.md"), "notes").unwrap();
    assert_eq!(kinstall(&["manual", "--out", out]).status.code(), Some(3));
    assert_eq!(fs::read_to_string(format!("{out}/how-to/carry.md")).unwrap(), "notes");
}
