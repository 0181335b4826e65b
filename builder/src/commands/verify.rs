//! `kbundle verify`

use anyhow::Context as _;
use indicatif::{HumanBytes, ProgressBar};
use kbundle_format::{BundleSource, BundleStream, KeyId, SignatureCheck};
use serde::Serialize;

use super::keys;
use crate::cli::VerifyArgs;
use crate::output;

/// What `--output json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: u32,
    bundle: String,
    verified: bool,
    signers: Vec<KeyId>,
    list_digest: kbundle_format::Digest,
    entries: usize,
    content_bytes: u64,
}

pub fn run(arguments: &VerifyArgs) -> anyhow::Result<()> {
    let trust = keys::trust(&arguments.key, arguments.signatures.threshold)?;
    let detached = keys::detached(&arguments.signatures)?;
    let source = BundleSource::open(&arguments.bundle)?;
    let name = arguments.bundle.display();
    let check = SignatureCheck::Required { trust: &trust, detached: &detached };
    let stream = BundleStream::open(source.reader(), check).with_context(|| format!("refused {name}"))?;
    let signers = stream.list().signers().to_vec();
    let list_digest = kbundle_format::Digest::of(stream.list_bytes());
    // indicatif draws on a terminal only.
    let bar = ProgressBar::new(stream.list().size_bytes()).with_message("verifying");
    let summary = stream.verify_rest(|bytes| bar.set_position(bytes)).with_context(|| format!("refused {name}"))?;
    bar.finish_and_clear();
    let text = format!(
        "{name}: verified\n  signed by  {}\n  list       {list_digest}\n  entries    {} ({} of content)",
        signers.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", "),
        summary.entries,
        HumanBytes(summary.content_bytes),
    );
    let report = Report {
        schema: 1,
        bundle: name.to_string(),
        verified: true,
        signers,
        list_digest,
        entries: summary.entries,
        content_bytes: summary.content_bytes,
    };
    output::result(arguments.output, &text, &report)?;
    Ok(())
}
