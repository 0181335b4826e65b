//! The same mistakes have the same exit codes in both programs; kbundle's tests run the same lines.

use crate::folder::Folder;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundles/fixtures");

#[test]
fn exit_codes_are_those_that_both_programs_have() {
    let folder = Folder::new();
    let lines = fs_err::read_to_string(format!("{FIXTURES}/mistakes.txt")).unwrap();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let (code, words) = line.split_once(' ').unwrap();
        let words = words.replace("V1", &format!("{FIXTURES}/v1"));
        let said = folder.kinstall(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(said.code.map(|code| code.to_string()).as_deref(), Some(code), "{line}: {said}");
    }
}
