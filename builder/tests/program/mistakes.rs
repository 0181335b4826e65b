//! The same mistakes have the same exit codes in both programs; kinstall's tests run the same lines.

use std::process::Stdio;

use crate::upstream::{failure, kbundle_in};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures");

#[test]
fn exit_codes_are_those_that_both_programs_have() {
    let folder = tempfile::tempdir().unwrap();
    let lines = fs_err::read_to_string(format!("{FIXTURES}/mistakes.txt")).unwrap();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let (code, words) = line.split_once(' ').unwrap();
        let words = words.replace("V1", &format!("{FIXTURES}/v1"));
        let output = kbundle_in(folder.path()).args(words.split(' ')).stdin(Stdio::null()).output().unwrap();
        let (found, said) = failure(&output);
        assert_eq!(found.to_string(), code, "{line}: {said}");
    }
}
