//! `kbundle push`

use std::fmt::Write as _;
use std::sync::Arc;

use indicatif::HumanBytes;
use kbundle::fetch::progress::{Audience, Progress};
use kbundle::fetch::{FetchSettings, RetryPolicy};
use kbundle::push::{ImageOutcome, IndexKept, Naming, Outcome, Pusher, State, Writing};
use kbundle::spec::SpecFile;
use kbundle_cli::Explained as _;
use kbundle_cli::output::{self, OutputFormat};
use kbundle_commands::input::{Asked, Input};
use kbundle_commands::interrupt::{Interrupt, interrupted};

use super::source::{caught, http_settings, keyring, runtime};
use crate::cli::PushArgs;

pub fn run(arguments: &PushArgs, output: OutputFormat) -> anyhow::Result<()> {
    let asked = Asked::of(&arguments.trust)?;
    let no_file = SpecFile::default();
    let connection = &arguments.connection;
    let settings = FetchSettings {
        http: http_settings(connection, &no_file),
        retry: RetryPolicy { retries: connection.retries, first_pause: connection.retry_pause },
        jobs: connection.jobs.into(),
    };
    let keyring = keyring(connection, &no_file)?;
    let input = Input::find(&arguments.bundle)?;
    let bundle = Arc::new(input.open_indexed(asked.check())?);
    let naming = if arguments.scoped { Naming::WithRegistry } else { Naming::Path };
    let target = arguments.target.clone().with_naming(naming);
    let writing = if arguments.dry_run { Writing::DryRun } else { Writing::Allowed };
    let progress = Arc::new(Progress::new(Audience::of_stderr()));
    let pusher = Pusher::new(&settings, keyring, Arc::clone(&progress), writing).explained()?;
    let interrupt = Interrupt::watch()?;
    let pushed = runtime()?.block_on(async {
        tokio::select! {
            pushed = pusher.push(bundle, &target) => pushed.explained(),
            () = caught(&interrupt) => {
                let stopped = Err(anyhow::anyhow!("the uploads were stopped"));
                interrupted(&interrupt, stopped, || "what was uploaded is kept, and the next run continues there".to_owned())
            }
        }
    });
    progress.finish();
    let outcome = Outcome { dry_run: arguments.dry_run, ..pushed? };
    if arguments.dry_run {
        output::note("dry run: nothing is written to the registry")?;
    }
    output::result(output, &text(&outcome), &outcome)?;
    Ok(())
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for image in &outcome.images {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(image));
    }
    let [created, updated, unchanged] =
        [State::Created, State::Updated, State::Unchanged].map(|state| outcome.count(state));
    let Outcome { registry, uploaded_bytes, uploaded_blobs, mounted_blobs, .. } = outcome;
    let _ = write!(
        text,
        "{registry}: {created} created, {updated} updated, {unchanged} unchanged; {uploaded_blobs} blobs uploaded ({}), {mounted_blobs} mounted",
        HumanBytes(*uploaded_bytes)
    );
    text
}

fn line(image: &ImageOutcome) -> String {
    let state = match image.state {
        State::Created => "created",
        State::Updated => "updated",
        State::Unchanged => "unchanged",
    };
    let ImageOutcome { name, digest, .. } = image;
    let digest = if name.contains('@') { String::new() } else { format!("@{digest}") };
    let before = image.previous.map(|previous| format!(", was {previous}")).unwrap_or_default();
    let index = match image.index {
        IndexKept::Reduced => " (without the platforms that the bundle does not carry)",
        IndexKept::None | IndexKept::Whole | IndexKept::Unknown => "",
    };
    format!("{state:<10} {name}{digest}{before}{index}")
}
