//! `kbundle audit`

pub mod judging;
mod text;

use std::collections::BTreeMap;

use anyhow::anyhow;
use kbundle::audit::{Evidence, Waiver, junit, sarif};
use kbundle_advisories::{Finding, Uncompared};
use kbundle_cli::Advise as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::recording::Recorded;
use kbundle_format::audit_record::{
    AppliedPolicy, AuditResult, AuditedAdvisories, BomSource, Outcome, Verdict, auditor,
};
use kbundle_format::key_notes::Day;
use kbundle_format::{AuditRecord, Digest, KeyId, Moment};
use schemars::JsonSchema;
use serde::Serialize;

use self::judging::Judged;
use self::text::text;
use crate::cli::{AuditArgs, AuditFormat};

/// What `--output json` prints, also beside the error of a bundle that the policy refuses.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Audited")]
pub struct Report {
    schema: u32,
    pub bundle: String,
    pub list_digest: Digest,
    /// Trusted keys whose signatures were verified.
    pub signers: Vec<KeyId>,
    pub policy: AppliedPolicy,
    /// The policy allows the bundle.
    pub allowed: bool,
    /// The moment of the audit by this machine's clock.
    pub time: Moment,
    /// Its day, by which waivers and data are judged.
    pub day: Day,
    /// Where the list of packages comes from.
    pub packages_from: BomSource,
    /// The worst first.
    pub verdicts: Vec<Verdict>,
    /// Waivers of the policy that allow nothing, by their rule and item.
    pub unused_waivers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisories: Option<AdvisoriesReport>,
    /// The signed record that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Recorded>,
}

/// What the file of advisories says.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoriesReport {
    pub file: String,
    /// Of its manifest.
    pub digest: Digest,
    /// Trusted keys that signed it; none where nobody asked.
    pub signers: Vec<KeyId>,
    /// The day that its data is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_days: Option<i64>,
    /// Packages that were compared, by ecosystem.
    pub compared: BTreeMap<String, usize>,
    /// Packages that could not be compared.
    pub uncompared: Vec<Uncompared>,
    /// All findings, those that the policy takes and those that VEX takes out included.
    pub findings: Vec<Finding>,
}

pub fn run(arguments: &AuditArgs, output: OutputFormat) -> anyhow::Result<()> {
    let recording = arguments.record.prepare()?;
    let judged = Judged::of(&arguments.judging)?;
    let list = &judged.opened.bundle.head().list_bytes;
    let record =
        recording.map(|recording| recording.write(|key| judged.report.record().sign(list, key))).transpose()?;
    print(&Report { record, ..judged.report }, arguments.format, output)
}

impl Report {
    /// The part of the report that is signed.
    fn record(&self) -> AuditRecord {
        AuditRecord {
            auditor: auditor(env!("CARGO_PKG_VERSION")),
            time: self.time,
            result: AuditResult::of(&self.verdicts),
            policy: self.policy.clone(),
            signers: self.signers.clone(),
            packages_from: self.packages_from,
            advisories: self.advisories.as_ref().map(|advisories| AuditedAdvisories {
                digest: advisories.digest,
                signers: advisories.signers.clone(),
                day: advisories.day,
                age_days: advisories.age_days,
            }),
            verdicts: self.verdicts.clone(),
        }
    }

    /// The report about `evidence`.
    pub fn new(
        bundle: String,
        policy: AppliedPolicy,
        time: Moment,
        verdicts: Vec<Verdict>,
        unused: &[&Waiver],
        evidence: Evidence<'_>,
    ) -> Self {
        let advisories = evidence.advisories.map(|advisories| AdvisoriesReport {
            file: advisories.name,
            digest: advisories.digest,
            signers: advisories.signers,
            day: advisories.day,
            age_days: advisories.day.map(|day| day.days_until(evidence.today)),
            compared: advisories.findings.compared,
            uncompared: advisories.findings.uncompared,
            findings: advisories.findings.findings,
        });
        Self {
            schema: SCHEMA,
            bundle,
            list_digest: evidence.list_digest,
            signers: evidence.signers,
            policy,
            allowed: AuditResult::of(&verdicts) == AuditResult::Passed,
            time,
            day: evidence.today,
            packages_from: evidence.bom_source,
            verdicts,
            unused_waivers: unused.iter().map(|waiver| format!("{} {}", waiver.rule.as_str(), waiver.item)).collect(),
            advisories,
            record: None,
        }
    }
}

/// Prints the verdicts. Of a bundle that is refused, people and programs get them before the error.
fn print(report: &Report, format: AuditFormat, output: OutputFormat) -> anyhow::Result<()> {
    match format {
        AuditFormat::Text if output == OutputFormat::Json && !report.allowed => {}
        AuditFormat::Text => output::result(output, &text(report), report)?,
        AuditFormat::Junit => output::content(&mut junit::document(&report.bundle, &report.verdicts).as_bytes())?,
        AuditFormat::Sarif => {
            let document = sarif::document(&report.bundle, &report.verdicts);
            output::content(&mut format!("{document:#}\n").as_bytes())?;
        }
    }
    if report.allowed {
        return Ok(());
    }
    let refused = report.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Refused).count();
    Err(anyhow!("the policy {} refuses {}: {refused} verdicts", report.policy.name, report.bundle))
        .refused()
        .hint("change the bundle, or have somebody answer for it by a waiver in the policy")
        .details(report)
}
