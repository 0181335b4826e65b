//! `kbundle verify`

use anyhow::Context as _;
use indicatif::HumanBytes;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Advise as _, Explained as _, failure, progress};
use kbundle_format::bases::Bases;
use kbundle_format::diagnosis::Verdict;
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::whole::{DamagedBundle, DiagnosedDamage, VerifyError};
use kbundle_format::{Digest, Entry, EntryPath, IndexedBundle, KeyId, ReadError, SignatureCheck};
use schemars::JsonSchema;
use serde::Serialize;

use super::input::{Bundle, Input};
use super::keys::{self, Signer, Trusted};
use super::provenance::{self, Origin};
use crate::cli::VerifyArgs;

/// What `--output json` prints of a good bundle.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Verified")]
pub struct Report {
    schema: u32,
    bundle: String,
    verified: bool,
    signers: Vec<KeyId>,
    signed_by: Vec<Signer>,
    list_digest: Digest,
    entries: usize,
    content_bytes: u64,
    left_out: usize,
    provenance: Origin,
}

/// What it prints of a damaged one, beside the error.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Damage")]
pub struct DamageDetails<'a> {
    bundle: &'a str,
    verified: bool,
    damaged_volumes: Vec<String>,
    damaged_entries: Vec<DamagedEntry>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DamagedEntry {
    path: String,
    reason: String,
    /// Whether it is damaged, was changed or is missing.
    verdict: Verdict,
    /// The byte of the bundle from which on that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    /// The byte behind the last one that may be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
}

impl DamagedEntry {
    fn of(damage: &DiagnosedDamage) -> Self {
        let DiagnosedDamage { damage, diagnosis } = damage;
        Self {
            path: damage.path.to_string(),
            reason: damage.reason(),
            verdict: diagnosis.verdict,
            from: diagnosis.place.as_ref().map(|place| place.offset),
            to: diagnosis.place.as_ref().and_then(|place| place.end),
        }
    }
}

pub fn run(arguments: &VerifyArgs, output: OutputFormat) -> anyhow::Result<()> {
    let trusted = Trusted::read(&arguments.key, &arguments.signatures)?;
    let detached = keys::detached(&arguments.signatures)?;
    let input = Input::find(&arguments.bundle)?;
    let check = SignatureCheck::Required { trust: &trusted.policy, detached: &detached };
    let partial = !arguments.base.is_empty() || !arguments.role.is_empty();
    let carriage = if partial { Carriage::Partial } else { Carriage::Full };
    let bundle = input.open(check)?;
    let head = bundle.head();
    let signers = head.list.signers().to_vec();
    let list_digest = Digest::of(&head.list_bytes);
    let provenance = provenance::check(head, &trusted).explained().with_context(|| input.refused())?;
    let summary = read_all(&input, bundle, carriage)?;
    check_left_out(&summary.left_out, arguments).with_context(|| input.refused())?;
    let report = Report {
        schema: SCHEMA,
        bundle: input.name,
        verified: true,
        signed_by: trusted.signers(&signers),
        signers,
        list_digest,
        entries: summary.entries,
        content_bytes: summary.content_bytes,
        left_out: summary.left_out.len(),
        provenance,
    };
    output::result(output, &text(&report), &report)?;
    Ok(())
}

/// Reads everything. Damage is reported whole: which volumes, which entries.
pub fn read_all(input: &Input, bundle: Bundle, carriage: Carriage) -> anyhow::Result<Summary> {
    let bar = progress::bar("verifying", bundle.head().list.size_bytes());
    let bases = Bases::of(bundle.head());
    let read = match bundle {
        Bundle::Stream(stream) => {
            stream.carriage(carriage).verify_rest(|bytes| bar.set_position(bytes)).map_err(VerifyError::Read)
        }
        Bundle::Indexed(bundle) => bundle.verify(carriage, &|bytes| bar.inc(bytes)),
    };
    bar.finish_and_clear();
    match read {
        Err(VerifyError::Damaged(damage)) => damaged(input, &damage, bases.as_ref()),
        Err(VerifyError::Read(ReadError::Missing { path })) => Err(missing(input, &path, bases.as_ref())),
        Err(VerifyError::Read(error)) => Err(input.refusal(error)),
        summary => Ok(summary?),
    }
}

/// The refusal of a bundle without `path`, which may be completed from others.
fn missing(input: &Input, path: &EntryPath, bases: Option<&Bases>) -> anyhow::Error {
    let what = format!("{}: entry {path} is in the signed list but not in the file", input.refused());
    failure::refused(what, completion(bases))
}

/// What to do about a bundle that does not carry all of its list.
fn completion(bases: Option<&Bases>) -> String {
    match bases {
        Some(bases) => format!("it is a differential bundle; give its base with `--base`, or complete it with `kbundle join`: {bases}"),
        None => "a differential bundle needs its base (`--base`, or `kbundle join`), one for a role `--role`; if it is neither, copy it again"
            .to_owned(),
    }
}

/// The error for damaged entries, with all of them for scripts.
fn damaged(input: &Input, damage: &DamagedBundle, bases: Option<&Bases>) -> anyhow::Result<Summary> {
    let volumes = damage.volumes.iter().map(|path| path.display().to_string()).collect();
    let what = format!("{}: {damage}", input.refused());
    let hint = if damage.volumes.is_empty() {
        damage.advice().map_or_else(|| completion(bases), str::to_owned)
    } else {
        "copy the damaged volumes again, or rebuild them from parity with `kbundle repair`".to_owned()
    };
    let damaged_entries = damage.entries.iter().map(DamagedEntry::of).collect();
    let details = DamageDetails { bundle: &input.name, verified: false, damaged_volumes: volumes, damaged_entries };
    Err(failure::refused(what, hint)).details(&details)
}

/// Makes sure that what the bundle leaves out is what it may leave out.
fn check_left_out(left_out: &[Entry], arguments: &VerifyArgs) -> anyhow::Result<()> {
    if !arguments.role.is_empty() {
        let needed = left_out.iter().find(|entry| arguments.role.iter().any(|role| entry.roles.contains(role)));
        return match needed {
            Some(entry) => Err(ReadError::Missing { path: entry.path.clone() }).explained(),
            None => Ok(()),
        };
    }
    let mut wanted: Vec<&Entry> = left_out.iter().collect();
    for path in &arguments.base {
        // Who signed the base does not matter: what is taken from it is compared with this bundle's list.
        let base = Input::find_file(path)?.open_indexed(SignatureCheck::Skipped)?;
        let carried = base.carried();
        let theirs: Vec<_> = wanted.iter().filter_map(|entry| carried.get(&entry.digest).copied()).collect();
        check_entries(&base, &theirs).explained().with_context(|| format!("refused the base {}", path.display()))?;
        wanted.retain(|entry| !carried.contains_key(&entry.digest));
    }
    match wanted.first() {
        Some(entry) => Err(ReadError::Missing { path: entry.path.clone() }).explained(),
        None => Ok(()),
    }
}

/// Compares the content of some entries with their digests.
pub fn check_entries(bundle: &IndexedBundle, entries: &[&Entry]) -> Result<(), ReadError> {
    let bar = progress::bar("verifying", entries.iter().map(|entry| entry.size).sum());
    let damage = bundle.check_each(entries, &|count| bar.inc(count));
    bar.finish_and_clear();
    damage.into_iter().next().map_or(Ok(()), |damage| Err(damage.error))
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!("{}: verified", report.bundle)];
    lines.extend(report.signed_by.iter().map(|signer| format!("  signed by  {signer}")));
    lines.push(format!("  list       {}", report.list_digest));
    lines.push(format!("  entries    {} ({} of content)", report.entries, HumanBytes(report.content_bytes)));
    if report.left_out > 0 {
        lines.push(format!("  left out   {}, as was asked", report.left_out));
    }
    lines.push(format!("  provenance {}", report.provenance));
    lines.join("\n")
}
