//! No hint of kinstall names kbundle: a host that is set up has no kbundle.
//!
//! Each run of the program in these tests checks that its output does not name kbundle (`Folder::kinstall`). This file checks the rest:
//! hints that no test produces, and help.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// The source folders of kinstall's own crates.
const SOURCES: [&str; 4] = ["installer/src", "bundles/src", "bundles/cli/src", "bundles/commands/src"];
/// These name private keys as well, but kinstall reads only public ones: only kbundle asks for `Half::Private`.
const OF_PRIVATE_KEYS: &str = "bundles/src/key_file/advice.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line of code, not a comment, names a command of kbundle that a user should type.
fn names_kbundle(line: &str) -> bool {
    !line.trim_start().starts_with("//") && (line.contains("`kbundle ") || line.contains("`kbundle`"))
}

#[test]
fn no_text_in_what_kinstall_is_made_of_tells_to_run_kbundle() {
    assert!(names_kbundle("    \"rebuild it with `kbundle repair`\""), "a check that finds nothing would pass");
    let mut files = Vec::new();
    for folder in SOURCES {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "{files:?}");
    for path in files.iter().filter(|path| !path.ends_with(OF_PRIVATE_KEYS)) {
        let text = fs::read_to_string(path).unwrap();
        let found: Vec<_> = text.lines().filter(|line| names_kbundle(line)).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn no_help_of_kinstall_names_kbundle() {
    let mut seen = 0;
    for item in fs::read_dir(root().join("installer/tests/program/snapshots")).unwrap() {
        let path = item.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("kbundle"), "{}", path.display());
        seen += 1;
    }
    assert!(seen > 10, "every command's help is a snapshot");
}
