//! Lets kubeadm itself read the configuration that kinstall writes: each of the lab's versions validates configurations with settings of
//! every kind.
//!
//! `KINSTALL_KUBEADM` names the programs, separated by colons; ci/test takes them from the lab's cache.

use std::path::Path;
use std::process::Command;

use kbundle_format::KubeVersion;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::arbitrary;
use crate::fixture;
use crate::inputs::Inputs;
use crate::kubeadm::configuration;
use crate::topology::Topology;

/// How many clusters each version validates.
const CLUSTERS: usize = 25;

/// kubeadm's objection to a configuration; `None` if kubeadm accepts it without a message.
fn objection(kubeadm: &Path, file: &Path) -> Option<String> {
    let config = |arguments: &[&str]| Command::new(kubeadm).arg("config").args(arguments).arg(file).output().unwrap();
    let can_validate =
        String::from_utf8_lossy(&Command::new(kubeadm).args(["config", "--help"]).output().unwrap().stdout)
            .lines()
            .any(|line| line.trim_start().starts_with("validate "));
    // `validate` came with 1.26. Before that, `migrate` read a file in the same way, and warned about unknown fields.
    let output = if can_validate {
        config(&["validate", "--config"])
    } else {
        config(&["migrate", "--new-config=/dev/null", "--old-config"])
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warned = said.contains("unknown field") || said.contains("strict decoding");
    (!output.status.success() || warned).then_some(said)
}

#[test]
#[ignore = "needs kubeadm: ./ci/test one-host"]
fn kubeadm_takes_what_is_written_for_it() {
    let programs = std::env::var_os("KINSTALL_KUBEADM").expect("KINSTALL_KUBEADM names no kubeadm");
    let programs: Vec<_> = std::env::split_paths(&programs).collect();
    assert!(!programs.is_empty(), "KINSTALL_KUBEADM is empty");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeadm.yaml");
    for kubeadm in programs {
        let version = Command::new(&kubeadm).args(["version", "--output=short"]).output().unwrap();
        let version: KubeVersion = String::from_utf8(version.stdout).unwrap().trim().parse().unwrap();
        let (facts, list) = (fixture::facts(), fixture::list(&version.to_string()));
        let mut runner = TestRunner::deterministic();
        let mut judged = 0;
        while judged < CLUSTERS {
            let spec = arbitrary::spec().new_tree(&mut runner).unwrap().current();
            if spec.validate_for(version).is_err() {
                continue;
            }
            judged += 1;
            let topology = Topology::single(&spec, &facts).unwrap();
            let inputs = Inputs { spec: &spec, facts: &facts, list: &list, topology: &topology };
            let text = configuration(&inputs).unwrap();
            fs_err::write(&file, &text).unwrap();
            if let Some(objection) = objection(&kubeadm, &file) {
                panic!("kubeadm {version} objects: {objection}\n{text}");
            }
        }
        // kubeadm does not accept everything.
        let text = fs_err::read_to_string(&file).unwrap().replacen("controlPlaneEndpoint:", "controlPlaneEndpont:", 1);
        fs_err::write(&file, text).unwrap();
        assert!(objection(&kubeadm, &file).is_some(), "kubeadm {version} takes a field that it does not know");
        println!("kubeadm {version} takes {CLUSTERS} configurations");
    }
}
