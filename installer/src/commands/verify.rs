//! `kinstall verify`.

use std::process::ExitCode;

use indicatif::HumanBytes;
use kbundle_cli::output;
use schemars::JsonSchema;
use serde::Serialize;

use super::bundle;
use crate::cli::{OutputFormat, VerifyArguments};
use crate::report::{Reporter, SCHEMA};

/// The result for programs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    schema: u32,
    verified: bool,
    kubernetes_version: String,
    list_digest: String,
    signers: Vec<String>,
    platforms: Vec<String>,
    entries: usize,
    content_bytes: u64,
}

pub fn verify(arguments: &VerifyArguments, output: OutputFormat) -> anyhow::Result<ExitCode> {
    let trust = bundle::read_trust(&arguments.bundle.trust)?;
    let reporter = match output {
        OutputFormat::Text => Reporter::new(OutputFormat::Text),
        OutputFormat::Json => Reporter::silent(),
    };
    let (bundle, summary) = bundle::verify(&arguments.bundle.places(), &trust, &reporter, |_| Ok(()))?;
    let list = bundle.list();
    let result = Verification {
        schema: SCHEMA,
        verified: true,
        kubernetes_version: list.kubernetes_version.to_string(),
        list_digest: kbundle_format::Digest::of(&bundle.head().list_bytes).to_string(),
        signers: list.signers().iter().map(ToString::to_string).collect(),
        platforms: list.platforms.iter().map(ToString::to_string).collect(),
        entries: summary.entries,
        content_bytes: summary.content_bytes,
    };
    let text = format!(
        "good: Kubernetes {} for {}\nlist {}\nsigned by {}\n{} entries, {}",
        result.kubernetes_version,
        result.platforms.join(", "),
        result.list_digest,
        result.signers.join(" and "),
        result.entries,
        HumanBytes(result.content_bytes),
    );
    output::result(output, &text, &result)?;
    Ok(ExitCode::SUCCESS)
}
