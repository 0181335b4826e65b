//! `kbundle timestamp`

use anyhow::Context as _;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat, SCHEMA};
use kbundle_commands::input::Input;
use kbundle_commands::small_file::SmallFile;
use kbundle_commands::timestamp::{TIMESTAMP, VerifiedTimestamp, authorities};
use kbundle_format::timestamp::{TimestampToken, request};
use kbundle_format::{Digest, SignatureCheck};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::{TimestampAddArgs, TimestampCommand, TimestampRequestArgs};

/// What `--output json` prints of a request.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TimestampRequest")]
pub struct Requested {
    schema: u32,
    bundle: String,
    /// What a time stamp is requested for.
    list_digest: Digest,
    /// The file with the request.
    request: String,
}

/// What `--output json` prints of a time stamp that was added.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AddedTimestamp")]
pub struct Added {
    schema: u32,
    bundle: String,
    list_digest: Digest,
    timestamp: VerifiedTimestamp,
}

pub fn run(command: &TimestampCommand, output: OutputFormat) -> anyhow::Result<()> {
    match command {
        TimestampCommand::Request(arguments) => ask(arguments, output),
        TimestampCommand::Add(arguments) => add(arguments, output),
    }
}

fn ask(arguments: &TimestampRequestArgs, output: OutputFormat) -> anyhow::Result<()> {
    let file = SmallFile::prepare(&arguments.out, arguments.force.existing())?;
    let input = Input::find(&arguments.bundle)?;
    let stream = input.open_stream(SignatureCheck::Skipped)?;
    let list = &stream.head().list_bytes;
    let (list_digest, name) = (Digest::of(list), file.name().to_owned());
    file.write(&request(list).context("the request cannot be written in DER")?)?;
    let report = Requested { schema: SCHEMA, bundle: input.name, list_digest, request: name };
    let text = format!("{}: requests a time stamp for the list {list_digest}", report.request);
    Ok(output::result(output, &text, &report)?)
}

fn add(arguments: &TimestampAddArgs, output: OutputFormat) -> anyhow::Result<()> {
    let input = Input::find(&arguments.bundle)?;
    input.source()?;
    let authorities = authorities(&arguments.timestamp_authority)?;
    let (answered, answer) = TIMESTAMP.find(Some(&arguments.answer), &arguments.bundle)?.read()?;
    let places = TIMESTAMP.beside(&arguments.bundle)?;
    let place = places.first().context("there is no folder for the time stamp")?;
    let file = SmallFile::beside_output(place, "a time stamp", arguments.force.existing())?;
    let stream = input.open_stream(SignatureCheck::Skipped)?;
    let list = &stream.head().list_bytes;
    let verified = TimestampToken::read(&answered.display().to_string(), &answer)
        .and_then(|token| token.verify(list, &authorities));
    let timestamp = verified.explained().context("the time stamp was not added")?;
    let (list_digest, name) = (Digest::of(list), file.name().to_owned());
    file.write(&answer)?;
    let timestamp = VerifiedTimestamp { file: name, timestamp };
    let report = Added { schema: SCHEMA, bundle: input.name, list_digest, timestamp };
    let text = format!("{}: time stamp {}", report.timestamp.file, report.timestamp);
    Ok(output::result(output, &text, &report)?)
}
