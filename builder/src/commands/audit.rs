//! `kbundle audit`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use kbundle::audit::{
    AdvisoriesEvidence, BomSource, Evidence, Outcome, Policy, PolicyError, Verdict, Waiver, judge, junit, sarif,
};
use kbundle::diff::ImageSettings;
use kbundle_advisories::{Finding, Matching, Reader, Uncompared};
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Advise as _, progress};
use kbundle_commands::input::{Asked, Input};
use kbundle_commands::signers::Trusted;
use kbundle_format::bases::Bases;
use kbundle_format::key_notes::Day;
use kbundle_format::oci::Document;
use kbundle_format::{Digest, EntryPath, IndexedBundle, KeyId, ReadError};
use kbundle_sbom::{Bom, CYCLONEDX_PATH};
use schemars::JsonSchema;
use serde::Serialize;

use super::advisories::reading;
use super::sbom;
use crate::cli::{AuditArgs, AuditFormat};

/// What `--output json` prints, also beside the error of a bundle that the policy refuses.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Audited")]
pub struct Report {
    schema: u32,
    bundle: String,
    list_digest: Digest,
    /// Trusted keys whose signatures were verified.
    signers: Vec<KeyId>,
    policy: AppliedPolicy,
    /// The policy allows the bundle.
    allowed: bool,
    /// The day by this machine's clock, by which waivers and data are judged.
    day: Day,
    /// Where the list of packages comes from.
    packages_from: BomSource,
    /// The worst first.
    verdicts: Vec<Verdict>,
    /// Waivers of the policy that allow nothing, by their rule and item.
    unused_waivers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advisories: Option<AdvisoriesReport>,
}

/// The policy.
#[derive(Serialize, JsonSchema)]
struct AppliedPolicy {
    /// A profile, or the file.
    name: String,
    /// Of its text.
    digest: Digest,
}

/// What the file of advisories says.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AdvisoriesReport {
    file: String,
    /// Of its manifest.
    digest: Digest,
    /// The day that its data is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<Day>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_days: Option<i64>,
    /// Packages that were compared, by ecosystem.
    compared: BTreeMap<String, usize>,
    /// Packages that could not be compared.
    uncompared: Vec<Uncompared>,
    /// All findings, those that the policy takes and those that VEX takes out included.
    findings: Vec<Finding>,
}

pub fn run(arguments: &AuditArgs, output: OutputFormat) -> anyhow::Result<()> {
    let (policy, policy_digest) = found(Policy::find(&arguments.policy))?;
    let asked = Asked::of(&arguments.trust)?;
    let reader = arguments.advisories.as_deref().map(|path| open_advisories(path, arguments)).transpose()?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = input.open_completed(asked.check(), &arguments.base)?;
    verify(&input, &bundle)?;
    let (bom, bom_source) = bom(&input, &bundle, policy.asks_for_content())?;
    let evidence = Evidence {
        list: bundle.list(),
        list_digest: Digest::of(&bundle.head().list_bytes),
        signers: bundle.list().signers().to_vec(),
        users: users(&input, &bundle)?,
        advisories: reader.map(|(name, reader)| match_advisories(name, reader, &bom)).transpose()?,
        bom: &bom,
        bom_source,
        today: Day::today(),
    };
    input.warn_of_mended()?;
    let (verdicts, unused) = judge(&policy, &evidence);
    let policy = AppliedPolicy { name: arguments.policy.display().to_string(), digest: policy_digest };
    let report = report(input.name.clone(), policy, verdicts, &unused, evidence);
    print(&report, arguments.format, output)
}

/// What an error of a policy means on a command line.
fn found<T>(result: Result<T, PolicyError>) -> anyhow::Result<T> {
    result.usage().hint("correct the file; `baseline` and `strict` are built in")
}

fn open_advisories(path: &Path, arguments: &AuditArgs) -> anyhow::Result<(String, Reader)> {
    let keys = if arguments.advisories_key.is_empty() { &arguments.trust.key } else { &arguments.advisories_key };
    let signatures =
        SignatureArguments { threshold: 1, strict: arguments.trust.signatures.strict, detached: Vec::new() };
    let trusted = if keys.is_empty() { None } else { Some(Trusted::read(keys, &signatures)?) };
    let name = path.display().to_string();
    let opened = Reader::open(path, trusted.as_ref().map(|trusted| &trusted.policy));
    Ok((name.clone(), reading(opened).with_context(|| format!("refused {name}"))?))
}

fn match_advisories(name: String, reader: Reader, bom: &Bom) -> anyhow::Result<AdvisoriesEvidence> {
    let (digest, manifest) = (reader.digest(), reader.manifest().clone());
    let mut matching = Matching::new(bom);
    let read = reader.read(&mut |record| matching.see(record));
    let documents = reading(read).with_context(|| format!("refused {name}"))?;
    let ecosystems = manifest.ecosystems.into_keys().collect();
    Ok(AdvisoriesEvidence { name, digest, day: manifest.day, ecosystems, findings: matching.finish(&documents) })
}

/// Compares all content with the list.
fn verify(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<()> {
    let entries: Vec<_> = bundle.list().entries.iter().collect();
    if let Some(missing) = entries.iter().find(|entry| !bundle.carries(entry)) {
        let error = ReadError::Missing { path: missing.path.clone() };
        return Err(input.failure(error.into(), Bases::of(bundle.head()).as_ref()));
    }
    let bar = progress::bar("verifying", bundle.list().size_bytes());
    let damage = bundle.check_each(&entries, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    input.refuse_damage(bundle, damage)
}

/// The list of packages, made from the content where the bundle carries none or the policy asks for that.
fn bom(input: &Input, bundle: &IndexedBundle, from_content: bool) -> anyhow::Result<(Bom, BomSource)> {
    let carried = sbom::carried(input, bundle, CYCLONEDX_PATH)?;
    match carried {
        None => Ok((sbom::computed(input, bundle)?, BomSource::Computed)),
        Some(bytes) if from_content => {
            let made = sbom::computed(input, bundle)?;
            let source = if made.to_bytes() == bytes { BomSource::MadeAgain } else { BomSource::Differs };
            Ok((made, source))
        }
        Some(bytes) => {
            let read = Bom::parse(&bytes).with_context(|| format!("cannot read {CYCLONEDX_PATH} of {}", input.name))?;
            Ok((read, BomSource::Carried))
        }
    }
}

/// The user of each image, as its config states it.
fn users(input: &Input, bundle: &IndexedBundle) -> anyhow::Result<BTreeMap<Digest, String>> {
    let blob = |digest: &Digest| {
        let path = EntryPath::blob(digest);
        let entry = bundle.list().entry(path.as_str()).ok_or_else(|| anyhow!("{} does not list {path}", input.name))?;
        bundle.read_entry(entry).map_err(|error| input.refusal(error))
    };
    let mut users = BTreeMap::new();
    for image in &bundle.list().images {
        if let Ok(Document::Manifest { config, .. }) = Document::parse(&blob(&image.manifest)?) {
            let mut settings = ImageSettings::of(Vec::new(), &blob(&config.digest)?).settings;
            users.insert(image.manifest, settings.remove("user").unwrap_or_default());
        }
    }
    Ok(users)
}

fn report(
    bundle: String,
    policy: AppliedPolicy,
    verdicts: Vec<Verdict>,
    unused: &[&Waiver],
    evidence: Evidence<'_>,
) -> Report {
    let advisories = evidence.advisories.map(|advisories| AdvisoriesReport {
        file: advisories.name,
        digest: advisories.digest,
        day: advisories.day,
        age_days: advisories.day.map(|day| day.days_until(evidence.today)),
        compared: advisories.findings.compared,
        uncompared: advisories.findings.uncompared,
        findings: advisories.findings.findings,
    });
    Report {
        schema: SCHEMA,
        bundle,
        list_digest: evidence.list_digest,
        signers: evidence.signers,
        policy,
        allowed: verdicts.iter().all(|verdict| verdict.outcome != Outcome::Refused),
        day: evidence.today,
        packages_from: evidence.bom_source,
        verdicts,
        unused_waivers: unused.iter().map(|waiver| format!("{} {}", waiver.rule.as_str(), waiver.item)).collect(),
        advisories,
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

/// How many of the places of a verdict people are shown.
const SHOWN_PLACES: usize = 5;

fn text(report: &Report) -> String {
    let mut text = String::new();
    let allowed = if report.allowed { "allowed" } else { "REFUSED" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {allowed} by the policy {}", report.bundle, report.policy.name);
    let _ = writeln!(text, "  list       {}", report.list_digest);
    let _ = writeln!(text, "  policy     {}", report.policy.digest);
    if let Some(advisories) = &report.advisories {
        let age = match (advisories.day, advisories.age_days) {
            (Some(day), Some(age)) => format!("of {day}, {age} days old"),
            _ => "of a day that is not known".to_owned(),
        };
        let compared: usize = advisories.compared.values().sum();
        let left: usize = advisories.uncompared.iter().map(|left| left.packages).sum();
        let _ = writeln!(text, "  advisories {}", advisories.digest);
        let _ = writeln!(text, "             data {age}; {compared} packages compared, {left} not");
    }
    for verdict in &report.verdicts {
        let _ = writeln!(text, "\n{:<8} {:<15} {}", word(verdict.outcome), verdict.rule.as_str(), verdict.subject);
        let _ = writeln!(text, "  expected {}\n  found    {}", verdict.expected, verdict.found);
        if let Some(waiver) = &verdict.waiver {
            let _ = writeln!(text, "  waived   by {} until {}: {}", waiver.name, waiver.until, waiver.reason);
        }
        for looked in verdict.evidence.iter().take(SHOWN_PLACES) {
            let _ = writeln!(text, "  looked   {} {}", looked.name, looked.digest);
        }
        let more = verdict.evidence.len().saturating_sub(SHOWN_PLACES);
        if more > 0 {
            let _ = writeln!(text, "           and {more} more; `--output json` has all");
        }
    }
    for excluded in report.advisories.iter().flat_map(|advisories| &advisories.findings) {
        for out in &excluded.excluded {
            let status = serde_json::to_value(out.status).unwrap_or_default();
            let status = status.as_str().unwrap_or_default().replace('_', " ");
            let _ = writeln!(text, "\nVEX      {} {}: {status}, {}", excluded.id, out.place.name, out.reason);
        }
    }
    for waiver in &report.unused_waivers {
        let _ = writeln!(text, "\nNOTE     the waiver of {waiver} allows nothing here");
    }
    text
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "REFUSED",
        Outcome::Waived => "waived",
        Outcome::Skipped => "skipped",
        Outcome::Passed => "passed",
    }
}
