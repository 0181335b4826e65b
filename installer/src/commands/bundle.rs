//! Opening a bundle the only way there is: signatures first, then every entry's digest.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use kbundle_cli::arguments::is_standard_input;
use kbundle_cli::failure;
use kbundle_cli::keys::{public_key, signature_file};
use kbundle_format::BundleList;
use kbundle_format::head::ReadError;
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::signature::TrustError;
use kbundle_format::source::{BundleSource, SourceError};
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::whole::{DamagedBundle, VerifyError};

use crate::cli::TrustArguments;
use crate::failure::{Advise, Explained};
use crate::report::{Event, Observer, Reporter};
use crate::trust::Trust;

/// Reads keys and detached signatures. Without a key there is nothing to go on.
pub fn read_trust(arguments: &TrustArguments) -> anyhow::Result<Trust> {
    if arguments.keys.is_empty() {
        return Err(failure::usage(
            "no key to verify the bundle with, and an unverified bundle is never used",
            "give the public key of whoever signs your bundles: `--key signing.pub`; get it another way than the bundle",
        ));
    }
    let key = |path: &PathBuf| anyhow::Ok(public_key(path)?.0);
    let keys = arguments.keys.iter().map(key).collect::<anyhow::Result<_>>()?;
    let signatures = &arguments.signatures;
    let detached = signatures.detached.iter().map(|path| signature_file(path)).collect::<anyhow::Result<_>>()?;
    Trust::new(keys, signatures.threshold, detached).explained()
}

/// Opens the bundle at `places` once, checks its signatures once, and then verifies the content on all cores. `accept` looks at the
/// list after the signatures and before the content.
///
/// The bundle that comes back reads from the same open files, and checks each entry again when it is used.
pub fn verify(
    places: &[PathBuf],
    trust: &Trust,
    reporter: &Reporter,
    accept: impl FnOnce(&BundleList) -> anyhow::Result<()>,
) -> anyhow::Result<(IndexedBundle, Summary)> {
    let started = Instant::now();
    let bundle = read(IndexedBundle::open_source(open(places)?, trust.check()))?;
    let list = bundle.list();
    accept(list)?;
    let total = list.size_bytes();
    reporter.event(&Event::Opened {
        kubernetes_version: list.kubernetes_version.to_string(),
        signers: list.signers().iter().map(ToString::to_string).collect(),
        content_bytes: total,
    });
    let summary = match check_content(&bundle, |done| reporter.verified_so_far(done, total)) {
        Err(VerifyError::Damaged(damage)) => refuse_damaged(damage),
        Err(VerifyError::Read(error)) => read(Err(error)),
        summary => Ok(summary?),
    }?;
    let Summary { entries, content_bytes, .. } = summary;
    reporter.event(&Event::Verified { entries, content_bytes, seconds: started.elapsed().as_secs_f64() });
    Ok((bundle, summary))
}

/// Checks all content, and tells `progress` the bytes checked so far.
fn check_content(bundle: &IndexedBundle, mut progress: impl FnMut(u64)) -> Result<Summary, VerifyError> {
    let (counts, counted) = mpsc::channel();
    thread::scope(|scope| {
        // The threads that check only count. The reporter stays in this one, which listens as long as they count.
        let check = scope.spawn(move || {
            bundle.verify(Carriage::Full, &|count| {
                let _ = counts.send(count);
            })
        });
        let mut done = 0;
        for count in counted {
            done += count;
            progress(done);
        }
        check.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn refuse_damaged(damage: DamagedBundle) -> anyhow::Result<Summary> {
    let hint = if damage.volumes.is_empty() {
        "copy the file again from where it was built; `kbundle verify` shows whether it is good there"
    } else {
        "copy the damaged volumes again, or rebuild them from parity with `kbundle repair`"
    };
    Err(damage).context("the bundle was refused; nothing on this host was changed").refused().hint(hint)
}

fn open(places: &[PathBuf]) -> anyhow::Result<BundleSource> {
    if places.iter().any(|place| is_standard_input(place)) {
        return Err(failure::usage(
            "this cannot be done in one pass over standard input",
            "store the bundle in a file first",
        ));
    }
    match BundleSource::open_all(places) {
        Err(error @ SourceError::Open { .. }) => Err(error).explained(),
        result => read(result.map_err(ReadError::from)),
    }
}

/// Says what to do about a bundle that cannot be read.
fn read<T>(result: Result<T, ReadError>) -> anyhow::Result<T> {
    let hint = match &result {
        Ok(_) => "",
        Err(ReadError::Trust(TrustError::Unsigned)) => {
            "have it signed with `kbundle sign`, or give a signature that lies beside it with `--signature`"
        }
        Err(ReadError::Trust(_)) => {
            "check the key with whoever signs your bundles; `kbundle inspect` shows who signed this one"
        }
        Err(ReadError::Source(_)) => "look at the medium that the bundle lies on",
        Err(_) => "run `kbundle verify` on the file where it was built; if it passes there, copy it again",
    };
    result.explained().context("the bundle was refused; nothing on this host was changed").hint(hint)
}
