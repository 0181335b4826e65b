//! `verify`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use indicatif::HumanBytes;
use kbundle_cli::arguments::SignatureArguments;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::revocations::AppliedRevocations;
use kbundle_cli::{Explained as _, progress};
use kbundle_format::bases::Bases;
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::whole::VerifyError;
use kbundle_format::{Digest, Entry, KeyId, KubeVersion, Platform, ReadError, Role, SignatureCheck};
use schemars::JsonSchema;
use serde::Serialize;

use crate::arguments::{BaseArgs, BundleArgs};
use crate::input::{Bundle, Input, Opened};
use crate::provenance::{self, ProvenanceCheck};
use crate::required_audit::{PassedAudit, RequiredAuditArgs};
use crate::signers::{self, Signer, Trusted};
use crate::timestamp::{RequiredTimestampArgs, VerifiedTimestamp};

/// What `--output json` prints of a good bundle.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Verified")]
pub struct Report {
    schema: u32,
    bundle: String,
    verified: bool,
    kubernetes_version: KubeVersion,
    platforms: Vec<Platform>,
    signers: Vec<KeyId>,
    signed_by: Vec<Signer>,
    list_digest: Digest,
    entries: usize,
    content_bytes: u64,
    left_out: usize,
    /// Volumes that are missing or damaged and that others stand in for.
    mended_volumes: Vec<String>,
    provenance: ProvenanceCheck,
    /// Lists of revocations that were applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocations: Vec<AppliedRevocations>,
    /// The audit that was demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<PassedAudit>,
    /// The time stamp that was demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<VerifiedTimestamp>,
}

/// Check the signatures and every digest of a bundle
///
/// Reads the whole file once with bounded memory, on all cores. Exits with 0 only when enough trusted keys signed the list, and every entry
/// is there and matches the list. Damage is named by volume and entry.
///
/// A differential bundle is checked against its base with --base, a bundle for one role with --role.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Trust this public key; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// Which signatures count.
    #[command(flatten)]
    pub signatures: SignatureArguments,
    /// Bundles that complete it.
    #[command(flatten)]
    pub base: BaseArgs,
    /// Check only what hosts of this role need, control-plane, etcd or worker; repeatable
    #[arg(long, value_name = "ROLE", conflicts_with = "base")]
    pub role: Vec<Role>,
    /// Whether it has to have passed an audit.
    #[command(flatten)]
    pub audit: RequiredAuditArgs,
    /// Whether it has to have a time stamp.
    #[command(flatten)]
    pub timestamp: RequiredTimestampArgs,
}

/// Does what the command line says.
pub fn run(arguments: &VerifyArgs, output: OutputFormat) -> anyhow::Result<()> {
    let trusted = Trusted::read(&arguments.key, &arguments.signatures)?;
    let detached = signers::detached(&arguments.signatures)?;
    let input = Input::find(&arguments.bundle)?;
    let required = arguments.audit.read(&arguments.bundle, &arguments.signatures, &trusted.policy)?;
    let stamp = arguments.timestamp.read(&arguments.bundle)?;
    let check = SignatureCheck::Required { trust: &trusted.policy, detached: &detached };
    let partial = !arguments.base.base.is_empty() || !arguments.role.is_empty();
    let carriage = if partial { Carriage::Partial } else { Carriage::Full };
    let bundle = input.open(check, &BaseArgs::default())?;
    let head = bundle.head();
    let signers = head.list.signers().to_vec();
    let list_digest = Digest::of(&head.list_bytes);
    let (kubernetes_version, platforms) = (head.list.kubernetes_version, head.list.platforms.iter().cloned().collect());
    let provenance = provenance::check(head, &trusted).explained().with_context(|| input.refused())?;
    let audit = required.map(|required| required.check(head)).transpose().with_context(|| input.refused())?;
    let timestamp = stamp.map(|stamp| stamp.check(head)).transpose().with_context(|| input.refused())?;
    let summary = read_all(&input, bundle, carriage)?;
    check_left_out(&input, &summary.left_out, arguments)?;
    let mended_volumes = input.mended().iter().map(ToString::to_string).collect();
    let report = Report {
        schema: SCHEMA,
        mended_volumes,
        bundle: input.name,
        verified: true,
        kubernetes_version,
        platforms,
        signed_by: trusted.signers(&signers),
        signers,
        list_digest,
        entries: summary.entries,
        content_bytes: summary.content_bytes,
        left_out: summary.left_out.len(),
        provenance,
        revocations: trusted.revocations(),
        audit,
        timestamp,
    };
    output::result(output, &text(&report), &report)?;
    Ok(())
}

/// Reads everything. Reports all damage together: which volumes, which entries.
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
    let summary = read.map_err(|error| input.failure(error, bases.as_ref()))?;
    input.warn_of_mended()?;
    Ok(summary)
}

/// Checks that the bundle leaves out only what it may leave out.
fn check_left_out(input: &Input, left_out: &[Entry], arguments: &VerifyArgs) -> anyhow::Result<()> {
    let missing = |entry: &Entry| {
        let error = ReadError::Missing { path: entry.path.clone() };
        Err(input.failure(error.into(), None))
    };
    if !arguments.role.is_empty() {
        let needed = left_out.iter().find(|entry| arguments.role.iter().any(|role| entry.roles.contains(role)));
        return needed.map_or(Ok(()), missing);
    }
    let mut wanted: Vec<&Entry> = left_out.iter().collect();
    for path in &arguments.base.base {
        // The base's signatures do not matter: its content is compared with this bundle's list.
        let base = Opened::file(path)?;
        let carried = base.bundle.carried();
        let theirs: Vec<_> = wanted.iter().filter_map(|entry| carried.get(&entry.digest).copied()).collect();
        base.check(&theirs)?;
        wanted.retain(|entry| !carried.contains_key(&entry.digest));
    }
    wanted.first().copied().map_or(Ok(()), missing)
}

fn text(report: &Report) -> String {
    let platforms: Vec<_> = report.platforms.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("{}: verified", report.bundle),
        format!("  kubernetes {} for {}", report.kubernetes_version, platforms.join(", ")),
    ];
    lines.extend(report.signed_by.iter().map(|signer| format!("  signed by  {signer}")));
    lines.push(format!("  list       {}", report.list_digest));
    lines.push(format!("  entries    {} ({} of content)", report.entries, HumanBytes(report.content_bytes)));
    if report.left_out > 0 {
        lines.push(format!("  left out   {} entries, which --base has or --role does not need", report.left_out));
    }
    lines.push(format!("  provenance {}", report.provenance));
    lines.extend(report.revocations.iter().map(|list| format!("  revoked    nothing of {list}")));
    lines.extend(report.audit.iter().map(|audit| format!("  audit      {audit}").replace('\n', "\n           ")));
    lines.extend(report.timestamp.iter().map(|stamp| format!("  time stamp {stamp}")));
    lines.join("\n")
}
