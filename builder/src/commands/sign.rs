//! `kbundle sign`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, failure};
use kbundle_commands::arguments::BundleArgs;
use kbundle_commands::composed::Composition;
use kbundle_commands::destination::{Destination, Existing, check_name};
use kbundle_commands::input::{Bundle, Input, Opened};
use kbundle_commands::signing_key::signing_key;
use kbundle_commands::verify::read_all;
use kbundle_format::atomic_file::write_atomically;
use kbundle_format::compose::NewHead;
use kbundle_format::stream::Carriage;
use kbundle_format::volume::is_volume;
use kbundle_format::{BundleSource, Digest, KeyId, SignatureCheck, SignatureFile};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::SignArgs;

/// What `--output json` prints of a new signature.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Signed")]
pub struct Report {
    schema: u32,
    bundle: String,
    signer: KeyId,
    list_digest: Digest,
    /// The file with a detached signature; absent where the bundle has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_file: Option<String>,
}

/// What `--output json` prints of what is to be signed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ToSign")]
pub struct DigestReport {
    schema: u32,
    bundle: String,
    /// Of bundle.json.
    list_digest: Digest,
}

pub fn run(arguments: &SignArgs, output: OutputFormat) -> anyhow::Result<()> {
    let input = Input::find(&arguments.bundle)?;
    // An additional signer need not care about the existing signatures, but about the content. The list of a differential bundle can be
    // signed too: it is the list of the full one.
    let list_bytes = checked_list(&input).with_context(|| format!("refused to sign {}", input.name))?;
    let list_digest = Digest::of(&list_bytes);
    if arguments.print_digest {
        let report = DigestReport { schema: SCHEMA, bundle: input.name, list_digest };
        output::result(output, &list_digest.hex(), &report)?;
        return Ok(());
    }
    let (signature, signer) = signature(arguments, &list_bytes)?;
    let path = &arguments.bundle.bundle;
    let (text, signature_file) = if arguments.detached {
        let path = detached_path(path, signer);
        // The only file of that name is the same key's earlier signature.
        check_name(&path, Existing::Replaced).explained()?;
        write_atomically(&path, &signature.content, 0o644)
            .with_context(|| format!("while writing {}", path.display()))?;
        (format!("{}: signature by {signer}", path.display()), Some(path.display().to_string()))
    } else {
        embed(&arguments.bundle, &list_bytes, signature)
            .with_context(|| format!("while adding a signature to {}", input.name))?;
        (format!("{}: signed by {signer}", input.name), None)
    };
    output::done(output, &text, &Report { schema: SCHEMA, bundle: input.name, signer, list_digest, signature_file })?;
    Ok(())
}

/// The bytes to sign, after everything that they list was checked.
fn checked_list(input: &Input) -> anyhow::Result<Vec<u8>> {
    let bundle = input.open_indexed(SignatureCheck::Skipped)?;
    let list_bytes = bundle.head().list_bytes.clone();
    read_all(input, Bundle::Indexed(bundle), Carriage::Partial)?;
    Ok(list_bytes)
}

/// Signs, or takes a signature that was made elsewhere.
fn signature(arguments: &SignArgs, list_bytes: &[u8]) -> anyhow::Result<(SignatureFile, KeyId)> {
    if let Some(path) = &arguments.key {
        let key = signing_key(path, &arguments.passphrase)?;
        return Ok((SignatureFile::sign(list_bytes, &key), key.verifying_key().id()));
    }
    let (Some(attached), Some(public)) = (&arguments.attach, &arguments.public_key) else {
        unreachable!("clap demands --key, or --attach with --public-key");
    };
    let key = kbundle_cli::keys::public_key(public)?.0;
    let file = kbundle_cli::keys::signature_file(attached)?;
    let Some(signature) = SignatureFile::made_elsewhere(&file.content, list_bytes, &key) else {
        return Err(failure::refused(
            format!("{} is not a signature of this bundle by {}", attached.display(), public.display()),
            "sign exactly the bytes that `kbundle cat BUNDLE bundle.json --unsigned` writes",
        ));
    };
    Ok((signature, key.id()))
}

/// `BUNDLE.KEYID.sig` with the first 16 digits of the key id, so that signers do not replace each other's files.
fn detached_path(bundle: &Path, signer: KeyId) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(format!(".{}.sig", &signer.to_string()[..16]));
    name.into()
}

/// Writes the bundle again with one more signature; the entries' frames are copied unchanged.
fn embed(bundle: &BundleArgs, list_bytes: &[u8], signature: SignatureFile) -> anyhow::Result<()> {
    let path = &bundle.bundle;
    if path.is_dir() || is_volume(path)? {
        return Err(failure::usage(
            "a bundle in volumes cannot be changed",
            "write the signature to a file of its own with `--detached`",
        ));
    }
    // If it were written again, it would be unencrypted on the disk.
    if BundleSource::open(path).explained()?.is_sealed()? {
        return Err(failure::usage(
            "a sealed bundle cannot be changed",
            "write the signature to a file of its own with `--detached`, or sign the bundle before it is sealed",
        ));
    }
    let source = Opened::of(bundle)?;
    let bundle = &source.bundle;
    anyhow::ensure!(bundle.head().list_bytes == list_bytes, "the bundle changed while it was signed");
    let mut signatures = bundle.head().signatures.clone();
    signatures.retain(|present| present.name != signature.name);
    signatures.push(signature);
    let head = NewHead { signatures: &signatures, ..bundle.head().into() };
    // A link to a bundle stays a link: its target is rewritten.
    let destination = Destination::find(&fs::canonicalize(path)?, None, Existing::Replaced).explained()?;
    Composition { head, sources: &[&source], destination }.copy(|entry| bundle.carries(entry))?;
    Ok(())
}
