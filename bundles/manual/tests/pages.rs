//! Tests that the manual is consistent: pages, links, examples, and quoted messages of the programs.

#![expect(clippy::unwrap_used, reason = "clippy.toml's allowance reaches test functions, not their helpers")]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use kbundle_manual::{examples, files, pages};

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let listed: Vec<_> = pages().map(|page| page.topic).collect();
    let once: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(listed.len(), once.len(), "a page is listed twice");
    let there: BTreeSet<_> =
        files().filter_map(|file| file.path.strip_suffix(".md")).filter(|topic| *topic != "SUMMARY").collect();
    assert_eq!(once, there);
    assert!(there.len() > 40, "{there:?}");
}

#[test]
fn every_link_leads_to_a_page_and_a_heading_of_it() {
    let files: BTreeSet<_> = files().map(|file| file.path).collect();
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for target in links(page.text) {
            seen += 1;
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            let path = if path.is_empty() { format!("{}.md", page.topic) } else { beside(page.topic, path) };
            let headings =
                || pages().find(|page| Some(page.topic) == path.strip_suffix(".md")).map(|page| anchors(page.text));
            let good = files.contains(path.as_str())
                && anchor.is_none_or(|anchor| headings().is_some_and(|headings| headings.contains(anchor)));
            if !good {
                broken.push(format!("{}: {target}", page.topic));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(seen > 60, "only {seen} links were found");
}

/// Targets of links within the manual.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets.filter(|target| !target.contains("://"))
}

/// The path in the manual of `link` on the page `topic`.
fn beside(topic: &str, link: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(topic).with_file_name(link).components() {
        match part {
            Component::ParentDir if path.pop() => {}
            part => path.push(part),
        }
    }
    path.to_str().expect("made of text").to_owned()
}

/// The ids that mdBook gives to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = text.split("```").step_by(2);
    let headings = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
    let id = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().chars().filter_map(|letter| match letter {
            letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => letter.to_lowercase().next(),
            ' ' => Some('-'),
            _ => None,
        });
        kept.collect()
    };
    headings.map(id).collect()
}

#[test]
fn yaml_examples_name_their_file_and_can_be_read() {
    let yaml: Vec<_> = examples::blocks().into_iter().filter(|block| block.language == "yaml").collect();
    assert!(yaml.len() > 10);
    for block in yaml {
        let first = block.text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("# ").is_some_and(|rest| rest.contains(".yaml"));
        assert!(named, "{}: the first line is not a comment with the file's name: {first}", block.place);
        serde_yaml::from_str::<serde_yaml::Value>(&block.text)
            .unwrap_or_else(|error| panic!("{}: {error}", block.place));
    }
}

#[test]
fn blocks_say_what_they_hold() {
    const KNOWN: [&str; 7] = ["", "console", "yaml", "rego", "rust", "text", "json"];
    for block in examples::blocks() {
        assert!(KNOWN.contains(&block.language.as_str()), "{}: `{}`", block.place, block.language);
    }
}

/// `ci/paths` searches kinstall for paths of the machine that built it, and cannot distinguish them from a page's text.
#[test]
fn no_page_looks_like_a_path_of_the_building_machine() {
    for file in files() {
        let text = String::from_utf8_lossy(file.content);
        for path in ["/root/.", "/rustup/toolchains/"] {
            assert!(!text.contains(path), "{} has `{path}`", file.path);
        }
    }
}

/// The headings of the troubleshooting page quote messages. If a message changes, it has to change there too.
#[test]
fn the_programs_still_say_what_troubleshooting_quotes() {
    let page = kbundle_manual::page("troubleshooting").unwrap();
    let quoted: Vec<_> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .flat_map(|heading| heading.split("`, `"))
        .collect();
    assert!(quoted.len() > 15, "{quoted:?}");
    let sources = ["bundles/src", "builder/src", "installer/src"].map(source_below).concat();
    let gone: Vec<_> = quoted.into_iter().filter(|quoted| !sources.contains(quoted)).collect();
    assert!(gone.is_empty(), "no program says this any more:\n{}", gone.join("\n"));
}

/// All Rust source below a folder of the repository; strings that span lines are joined.
fn source_below(folder: &str) -> String {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let lines: Vec<_> = text.split("\\\n").map(str::trim_start).collect();
    lines.concat()
}
