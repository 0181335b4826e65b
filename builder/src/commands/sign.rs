//! `kbundle sign`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kbundle_format::atomic_file::{AtomicFile, write_atomically};
use kbundle_format::compose::{NewHead, compose};
use kbundle_format::stream::Carriage;
use kbundle_format::volume::is_volume;
use kbundle_format::{BundleSource, BundleStream, IndexedBundle, SignatureCheck, SignatureFile, SigningKey};

use super::keys;
use crate::cli::SignArgs;
use crate::failure::CommandError;
use crate::output;

pub fn run(arguments: &SignArgs) -> anyhow::Result<()> {
    let key = keys::signing_key(&arguments.key)?;
    let bundle = &arguments.bundle;
    let refused = || format!("refused to sign {}", bundle.display());
    // Whose signatures are on it already does not matter to a further signer, but its content does.
    let source = BundleSource::open(bundle)?;
    let stream = BundleStream::open(source.reader(), SignatureCheck::Skipped).with_context(refused)?;
    // The list of a differential bundle can be signed too: it is the list of the full one.
    let stream = stream.carriage(Carriage::Partial);
    let list_bytes = stream.list_bytes().to_vec();
    stream.verify_rest(|_| {}).with_context(refused)?;
    let signature = SignatureFile::sign(&list_bytes, &key);
    let id = key.verifying_key().id();
    if arguments.detached {
        let path = detached_path(bundle, &key);
        write_atomically(&path, &signature.content, 0o644)
            .with_context(|| format!("while writing {}", path.display()))?;
        output::note(&format!("{}: signature by {id}", path.display()))?;
        return Ok(());
    }
    embed(bundle, &list_bytes, signature)
        .with_context(|| format!("while adding a signature to {}", bundle.display()))?;
    output::note(&format!("{}: signed by {id}", bundle.display()))?;
    Ok(())
}

/// `BUNDLE.KEYID.sig` with the first 16 digits of the key's name, so that officers do not replace each other's.
fn detached_path(bundle: &Path, key: &SigningKey) -> PathBuf {
    let id = key.verifying_key().id().to_string();
    let mut name = bundle.as_os_str().to_owned();
    name.push(format!(".{}.sig", &id[..16]));
    name.into()
}

/// Writes the bundle anew with one more signature; the entries' frames are taken over as they are.
fn embed(path: &Path, list_bytes: &[u8], signature: SignatureFile) -> anyhow::Result<()> {
    if path.is_dir() || is_volume(path)? {
        return Err(CommandError::Usage {
            what: "a bundle in volumes cannot be changed".to_owned(),
            hint: "write the signature to a file of its own with `--detached`".to_owned(),
        }
        .into());
    }
    let bundle = IndexedBundle::open(path, SignatureCheck::Skipped)?;
    anyhow::ensure!(bundle.list_bytes() == list_bytes, "the bundle changed while it was signed");
    let mut signatures = bundle.signatures().to_vec();
    signatures.retain(|present| present.name != signature.name);
    signatures.push(signature);
    let head =
        NewHead { list: bundle.list(), list_bytes, signatures: &signatures, attestations: bundle.attestations() };
    compose(head, |entry| bundle.carries(entry), &[&bundle], AtomicFile::create(path, 0o644)?)?.commit()?;
    Ok(())
}
