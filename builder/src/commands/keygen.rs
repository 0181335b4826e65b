//! `kbundle keygen`

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_cli::{Explained as _, failure};
use kbundle_commands::destination::{DestinationError, Existing, check_name, refuse_stdout};
use kbundle_commands::signing_key::new_passphrase;
use kbundle_format::atomic_file::AtomicFile;
use kbundle_format::key::Algorithm;
use kbundle_format::{KeyId, KeyNotes, SigningKey};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::KeygenArgs;

/// What `--output json` prints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "KeyPair")]
pub struct Report {
    schema: u32,
    /// The file with the private key.
    private_key: String,
    /// The file with the public key.
    public_key: String,
    key_id: KeyId,
    algorithm: Algorithm,
}

pub fn run(arguments: &KeygenArgs, output: OutputFormat) -> anyhow::Result<()> {
    let private = &arguments.out;
    let public = private.with_extension("pub");
    if public == *private {
        return Err(failure::usage(
            format!("the private key cannot be called {}", private.display()),
            "choose a name that does not end in `.pub`",
        ));
    }
    refuse_stdout(private, "a pair of keys").explained()?;
    for path in [private, &public] {
        check_name(path, Existing::Kept).explained()?;
    }
    let notes = KeyNotes::new(arguments.comment.clone(), arguments.valid_from, arguments.valid_until)
        .map_err(|error| failure::usage(error.to_string(), "see `kbundle keygen --help`"))?;
    let key = SigningKey::generate(arguments.algorithm.into())?;
    let verifying = key.verifying_key();
    let pem =
        if arguments.encrypt { key.to_encrypted_pem(&new_passphrase(&arguments.passphrase)?)? } else { key.to_pem()? };
    write_new(private, &pem, 0o600)?;
    write_new(&public, &format!("{notes}{}", verifying.to_pem()), 0o644)?;
    let report = Report {
        schema: SCHEMA,
        private_key: private.display().to_string(),
        public_key: public.display().to_string(),
        key_id: verifying.id(),
        algorithm: verifying.algorithm(),
    };
    let text = format!(
        "{}: private key, {}; keep it secret\n{}: public key {}; kinstall and `kbundle verify` need it",
        report.private_key, report.algorithm, report.public_key, report.key_id,
    );
    output::done(output, &text, &report)?;
    Ok(())
}

/// Writes a file that must not exist yet, with `mode` from the first moment, so that others can read it only if `mode` allows that.
fn write_new(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let write = || {
        let mut file = AtomicFile::create(path, mode)?;
        file.write_all(content.as_bytes())?;
        file.commit_new()
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(DestinationError::Exists { paths: vec![path.to_owned()], force: false }).explained()
        }
        written => written.with_context(|| format!("while writing {}", path.display())),
    }
}
