//! `e2e.test` of a Kubernetes version and the runner that spreads it over processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use fs_err as fs;

use super::list::focus;
use super::report::{Outcome, outcomes, selected};
use crate::{Lab, command, mirror_tree};

/// Longer than the whole list takes; ginkgo's own limit is an hour.
const TIMEOUT: &str = "--timeout=12h";

/// The conformance tests of a Kubernetes version.
#[derive(Debug)]
pub struct Suite {
    e2e_test: PathBuf,
    ginkgo: PathBuf,
}

/// A cluster on hosts of a lab, as its administrator reaches it from a machine beside them.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// The hosts.
    pub lab: &'a Lab,
    /// The administrator's file, with an address that is reached from there.
    pub kubeconfig: &'a Path,
    /// kubectl of the cluster's version, which tests of the command line run.
    pub kubectl: &'a Path,
}

impl Suite {
    /// The tests that the mirror has for a Kubernetes version.
    ///
    /// # Errors
    /// When the mirror was filled without them.
    pub fn of_mirror(version: &str) -> anyhow::Result<Self> {
        let folder = mirror_tree()?.join("conformance").join(version);
        let suite = Self { e2e_test: folder.join("e2e.test"), ginkgo: folder.join("ginkgo") };
        for program in [&suite.e2e_test, &suite.ginkgo] {
            ensure!(
                program.is_file(),
                "{} is missing; run tests/lab/mirror/fill --conformance {version}",
                program.display()
            );
        }
        Ok(suite)
    }

    /// Names of the tests that match the regular expression `focus` (Go's syntax).
    pub fn names(&self, focus: &str, scratch: &Path) -> anyhow::Result<Vec<String>> {
        let report = fresh(scratch.join("dry-run.json"))?;
        let mut dry_run = Command::new(&self.e2e_test);
        dry_run.args(["--provider=local", "--ginkgo.dry-run"]);
        dry_run.arg(format!("--ginkgo.focus={focus}")).arg(format!("--ginkgo.json-report={}", report.display()));
        command::output(&mut dry_run)?.success().context("e2e.test could not list its tests")?;
        selected(&fs::read_to_string(report)?)
    }

    /// Runs the named tests, those that tolerate others beside them in `processes` at a time. What e2e.test says goes to
    /// files in `scratch`.
    ///
    /// # Errors
    /// When the runner itself does not work; tests that fail are in the answer.
    pub fn run(
        &self,
        names: &[String],
        cluster: &Cluster,
        processes: usize,
        scratch: &Path,
    ) -> anyhow::Result<Vec<Outcome>> {
        let (alone, together): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| name.contains("[Serial]"));
        let mut all = Vec::new();
        for (kind, names, processes) in [("together", together, processes), ("alone", alone, 1)] {
            if !names.is_empty() {
                all.extend(self.run_kind(kind, &names, cluster, processes, scratch)?);
            }
        }
        Ok(all)
    }

    fn run_kind(
        &self,
        kind: &str,
        names: &[String],
        cluster: &Cluster,
        processes: usize,
        scratch: &Path,
    ) -> anyhow::Result<Vec<Outcome>> {
        let report = format!("{kind}.json");
        let path = fresh(scratch.join(&report))?;
        let log = fs::File::create(scratch.join(format!("{kind}.log")))?.into_file();
        let mut ginkgo = cluster.lab.management(&self.ginkgo);
        ginkgo.args(["--no-color", TIMEOUT]).arg(format!("--procs={processes}"));
        ginkgo.arg(format!("--focus={}", focus(names)));
        ginkgo.arg(format!("--output-dir={}", scratch.display())).arg(format!("--json-report={report}"));
        ginkgo.arg(&self.e2e_test).args(["--", "--provider=local"]);
        ginkgo.arg(format!("--kubeconfig={}", cluster.kubeconfig.display()));
        ginkgo.arg(format!("--kubectl-path={}", cluster.kubectl.display()));
        let status = ginkgo.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(scratch).status();
        let status = status.with_context(|| format!("cannot start {}", self.ginkgo.display()))?;
        // A failed test and a runner that broke end alike; only the report tells them apart.
        ensure!(
            path.is_file(),
            "ginkgo ended with {status} and without a report; see {kind}.log in {}",
            scratch.display()
        );
        let outcomes = outcomes(&fs::read_to_string(path)?, names)?;
        let failed = outcomes.iter().any(|outcome| outcome.end != super::End::Passed);
        ensure!(
            status.success() || failed,
            "ginkgo ended with {status}, though every test passed; see {kind}.log in {}",
            scratch.display()
        );
        Ok(outcomes)
    }
}

/// The path, with nothing there: an old report must not be taken for that of a run that left none.
fn fresh(path: PathBuf) -> anyhow::Result<PathBuf> {
    if path.exists() {
        fs::remove_file(&path)?;
    }
    Ok(path)
}
