//! The completions that bash offers for a command line of kbundle.

use std::path::Path;
use std::process::Command;

use kbundle::catalog::Catalog;

use crate::upstream::{Upstream, success};

/// The completions that bash offers for the last of `words`.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    const SCRIPT: &str = r#"
        source <(kbundle completion bash) || exit 1
        COMP_WORDS=(kbundle "$@") COMP_CWORD=$# COMP_TYPE=9
        _clap_complete_kbundle kbundle "${@: -1}" "" || exit 1
        printf '%s\n' "${COMPREPLY[@]}""#;
    let programs = Path::new(env!("CARGO_BIN_EXE_kbundle")).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", SCRIPT, "bash"]).args(words).current_dir(folder).env("PATH", path);
    success(&bash.output().unwrap()).lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn values_of_the_catalog_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let offered = |words: &str| offered(folder.path(), &words.split(' ').collect::<Vec<_>>());
    let catalog = Catalog::built_in().unwrap();
    let newest = catalog.releases.keys().next_back().unwrap().to_string();
    assert!(offered("build --k8s 1.").contains(&newest));
    assert_eq!(offered("lock --k8s 1.25.2"), ["1.25.2"]);
    assert_eq!(offered("build --cni fl"), ["flannel"]);
    assert_eq!(offered("build --load-balancer n"), ["none"]);
    assert_eq!(offered("build --arch ar"), ["arm64"]);
    assert!(offered("build --addon ").contains(&"metallb".to_owned()));
    assert_eq!(offered("subset x --role con"), ["control-plane"]);
    assert_eq!(offered("keygen --algorithm ed"), ["ed25519"]);
    assert_eq!(offered("ver"), ["verify"]);
    assert_eq!(offered("verify --thr"), ["--threshold"]);
}

#[test]
fn entries_of_the_bundle_on_the_command_line_and_files_are_offered() {
    let upstream = Upstream::new();
    success(&upstream.build(&["--unsigned", "--out=site.tar.zst"]));
    let offered = |words: &str| offered(upstream.directory.path(), &words.split(' ').collect::<Vec<_>>());
    assert_eq!(offered("cat site"), ["site.tar.zst"]);
    let found = offered("cat site.tar.zst artifacts/linux-amd64/kubel");
    assert_eq!(found, ["artifacts/linux-amd64/kubelet"]);
    assert_eq!(offered("extract site.tar.zst artifacts/linux-amd64/kubel"), found);
}
