//! No hint of kinstall names kbundle: a host that is set up has no kbundle.
//!
//! That what kinstall says names no kbundle is checked at each run of the program in these tests (`Folder::kinstall`). Here the rest is looked
//! at: hints that no test brings about, and help.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// What kinstall is made of, beside crates of others.
const SOURCES: [&str; 4] = ["installer/src", "bundles/src", "bundles/cli/src", "bundles/commands/src"];
/// These talk of private keys as well, and kinstall takes only public ones: `Half::Private` is asked for by kbundle alone.
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

/// Whether a line of code, and no comment, names a command of kbundle as something to type.
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
