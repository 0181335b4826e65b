//! What ginkgo reports about a run, and what that says about the tests that were asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Deserialize;

/// The outcome of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its whole name; of a failure outside of any test, the kind of the step.
    pub name: String,
    /// How long it took, its own preparation and cleaning up with it.
    pub seconds: f64,
    /// How it ended.
    pub end: End,
}

/// The end of a test. All but the first are failures: a test that was asked for has to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It ran and found all well.
    Passed,
    /// It ran and did not; ginkgo's state and message.
    Failed(String),
    /// It found that this cluster or version is not for it; its reason.
    Skipped(String),
    /// The suite has no test of that name.
    Missing,
}

/// The part of ginkgo's JSON report that is used here (`types.Report` of github.com/onsi/ginkgo/v2).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    spec_reports: Option<Vec<Spec>>,
}

/// `types.SpecReport`: a test, or a step that all tests share.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    /// In nanoseconds.
    run_time: u64,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    message: String,
}

impl Spec {
    fn is_test(&self) -> bool {
        self.leaf_node_type == "It"
    }

    fn name(&self) -> String {
        let containers = self.container_hierarchy_texts.iter().flatten().map(String::as_str);
        containers.chain([self.leaf_node_text.as_str()]).collect::<Vec<_>>().join(" ")
    }

    fn end(&self) -> End {
        let message = self.failure.as_ref().map_or("", |failure| failure.message.trim());
        match self.state.as_str() {
            "passed" => End::Passed,
            "skipped" | "pending" => End::Skipped(message.to_owned()),
            state => End::Failed(format!("{state}: {message}")),
        }
    }

    fn outcome(&self, name: String) -> Outcome {
        let whole = std::time::Duration::from_nanos(self.run_time);
        Outcome { name, seconds: whole.as_secs_f64(), end: self.end() }
    }
}

fn specs(report: &str) -> anyhow::Result<Vec<Spec>> {
    let suites: Vec<Report> = serde_json::from_str(report).context("this is not a JSON report of ginkgo")?;
    Ok(suites.into_iter().flat_map(|suite| suite.spec_reports.unwrap_or_default()).collect())
}

/// The tests that a run would have run, out of the report of a dry run, in the order of their names.
pub(super) fn selected(report: &str) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> =
        specs(report)?.iter().filter(|spec| spec.is_test() && spec.end() == End::Passed).map(Spec::name).collect();
    names.sort();
    Ok(names)
}

/// How the named tests went, in their order, and after them every step outside of a test that failed.
pub(super) fn outcomes(report: &str, names: &[String]) -> anyhow::Result<Vec<Outcome>> {
    let specs = specs(report)?;
    let tests: BTreeMap<String, &Spec> =
        specs.iter().filter(|spec| spec.is_test()).map(|spec| (spec.name(), spec)).collect();
    let asked_for = names.iter().map(|name| match tests.get(name) {
        Some(spec) => spec.outcome(name.clone()),
        None => Outcome { name: name.clone(), seconds: 0.0, end: End::Missing },
    });
    let steps = specs.iter().filter(|spec| !spec.is_test() && matches!(spec.end(), End::Failed(_)));
    Ok(asked_for.chain(steps.map(|spec| spec.outcome(spec.leaf_node_type.clone()))).collect())
}

/// Tests that failed though they are not known to, and those that are known to fail and passed.
#[must_use]
pub fn surprises<'a>(outcomes: &'a [Outcome], known_failures: &[String]) -> Vec<&'a Outcome> {
    outcomes.iter().filter(|outcome| (outcome.end == End::Passed) == known_failures.contains(&outcome.name)).collect()
}

/// The outcomes for people: a line each, and below them why tests failed.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { name, seconds, end } in outcomes {
        let word = match end {
            End::Passed => "passed",
            End::Failed(_) => "FAILED",
            End::Skipped(_) => "NOT RUN",
            End::Missing => "MISSING",
        };
        writeln!(text, "{seconds:>7.1} s  {word:<7}  {name}").expect("a string takes every text");
    }
    for Outcome { name, end, .. } in outcomes {
        let reason = match end {
            End::Passed => continue,
            End::Failed(message) => message.as_str(),
            End::Skipped(reason) => reason.as_str(),
            End::Missing => "the suite has no test of this name",
        };
        write!(text, "\n{name}\n").expect("a string takes every text");
        for line in reason.lines().take(12) {
            writeln!(text, "    {line}").expect("a string takes every text");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"[{"SuiteDescription": "Kubernetes e2e suite", "SpecReports": [
        {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "State": "passed", "RunTime": 5},
        {"ContainerHierarchyTexts": ["[sig-node] Pods", "deep"], "LeafNodeType": "It", "LeafNodeText": "run [Conformance]",
         "State": "passed", "RunTime": 2500000000},
        {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "fail", "State": "failed",
         "RunTime": 1000000000, "Failure": {"Message": "timed out\nafter 1 s"}},
        {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "want two nodes", "State": "skipped",
         "RunTime": 0, "Failure": {"Message": "requires >= 2 nodes"}},
        {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "of no interest", "State": "skipped", "RunTime": 0},
        {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedAfterSuite", "LeafNodeText": "", "State": "panicked",
         "RunTime": 5, "Failure": {"Message": "boom"}}]}]"#;

    #[test]
    fn every_test_asked_for_is_told_of() {
        let names = [
            "[sig-node] Pods fail",
            "[sig-node] Pods deep run [Conformance]",
            "[sig-node] Pods renamed",
            "[sig-node] Pods want two nodes",
        ];
        let outcomes = outcomes(REPORT, &names.map(str::to_owned)).unwrap();
        let ends: Vec<&End> = outcomes.iter().map(|outcome| &outcome.end).collect();
        assert_eq!(
            ends,
            [
                &End::Failed("failed: timed out\nafter 1 s".to_owned()),
                &End::Passed,
                &End::Missing,
                &End::Skipped("requires >= 2 nodes".to_owned()),
                &End::Failed("panicked: boom".to_owned()),
            ]
        );
        assert_eq!(
            table(&outcomes),
            "    1.0 s  FAILED   [sig-node] Pods fail\n    2.5 s  passed   [sig-node] Pods deep run [Conformance]\n    \
             0.0 s  MISSING  [sig-node] Pods renamed\n    0.0 s  NOT RUN  [sig-node] Pods want two nodes\n    \
             0.0 s  FAILED   SynchronizedAfterSuite\n\
             \n[sig-node] Pods fail\n    failed: timed out\n    after 1 s\n\
             \n[sig-node] Pods renamed\n    the suite has no test of this name\n\
             \n[sig-node] Pods want two nodes\n    requires >= 2 nodes\n\
             \nSynchronizedAfterSuite\n    panicked: boom\n"
        );
    }

    #[test]
    fn a_known_failure_is_no_surprise_and_its_end_is_one() {
        let names = ["[sig-node] Pods fail", "[sig-node] Pods deep run [Conformance]"].map(str::to_owned);
        let outcomes = outcomes(REPORT, &names).unwrap();
        let surprising = |known: &[String]| -> Vec<&str> {
            surprises(&outcomes, known).into_iter().map(|outcome| outcome.name.as_str()).collect()
        };
        assert_eq!(surprising(&[]), [names[0].as_str(), "SynchronizedAfterSuite"]);
        assert_eq!(surprising(&names), [names[1].as_str(), "SynchronizedAfterSuite"]);
    }

    #[test]
    fn a_dry_run_names_what_it_would_run() {
        assert_eq!(selected(REPORT).unwrap(), ["[sig-node] Pods deep run [Conformance]"]);
    }

    #[test]
    fn what_is_no_report_is_an_error_and_not_an_empty_run() {
        assert_eq!(selected("{}").unwrap_err().to_string(), "this is not a JSON report of ginkgo");
    }
}
