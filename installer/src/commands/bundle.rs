//! Opening a bundle for an installation: signatures first, then every entry's digest.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use kbundle_cli::failure;
use kbundle_cli::keys::{signature_file, trusted_key};
use kbundle_cli::revocations::RevocationsFile;
use kbundle_commands::input::Input;
use kbundle_format::bases::Bases;
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::whole::VerifyError;
use kbundle_format::{BundleList, Digest, Platform, Verified};

use crate::agent;
use crate::cli::{BundleArguments, TrustArguments};
use crate::failure::{Advise, Explained};
use crate::report::{Event, Observer, Reporter};
use crate::trust::Trust;

/// The first words of an error about a bundle that is not used.
const REFUSED: &str = "the bundle was refused; nothing on this host was changed";

/// Reads keys, detached signatures and lists of revocations. At least one key is required.
pub fn read_trust(arguments: &TrustArguments) -> anyhow::Result<Trust> {
    if arguments.keys.is_empty() {
        return Err(failure::usage(
            "no key to verify the bundle with, and an unverified bundle is never used",
            "give the public key of whoever signs your bundles: `--key signing.pub`; get it another way than the bundle",
        ));
    }
    let signatures = &arguments.signatures;
    let key = |path: &PathBuf| anyhow::Ok(trusted_key(path, signatures)?.0);
    let keys = arguments.keys.iter().map(key).collect::<anyhow::Result<Vec<_>>>()?;
    let revocations = RevocationsFile::read_all(&signatures.revocations, &keys)?;
    let detached = signatures.detached.iter().map(|path| signature_file(path)).collect::<anyhow::Result<_>>()?;
    let trust = Trust::new(keys, signatures.threshold, detached).explained()?;
    Ok(trust.revoking(revocations.into_iter().map(|file| file.revocations).collect()))
}

/// Opens the bundle once, checks its signatures once, demands the record of an audit if the arguments do, and then verifies the content on
/// all cores, including the content of bases. `accept` sees the list after the signatures and before the content.
///
/// The bundle that comes back reads from the same open files, and checks each entry again when it is used.
pub fn verify(
    arguments: &BundleArguments,
    trust: &Trust,
    reporter: &Reporter,
    accept: impl FnOnce(&BundleList) -> anyhow::Result<()>,
) -> anyhow::Result<IndexedBundle> {
    let started = Instant::now();
    let BundleArguments { bundle, base, trust: TrustArguments { signatures, .. }, audit } = arguments;
    let input = Input::find_refusing(bundle, REFUSED.to_owned())?;
    let required = audit.read(bundle, signatures, trust.policy())?;
    let bundle = input.open_completed(trust.check(), base)?;
    let list = bundle.list();
    accept(list)?;
    let total = list.size_bytes();
    reporter.event(&Event::Opened {
        kubernetes_version: list.kubernetes_version.to_string(),
        signers: list.signers().iter().map(ToString::to_string).collect(),
        content_bytes: total,
    });
    if let Some(required) = required {
        reporter.event(&Event::AuditPassed(required.check(bundle.head()).context(REFUSED)?));
    }
    // After damaged volumes are left out, content is checked again and counted again.
    let checked = check_content(&bundle, |done| reporter.verified_so_far(done.min(total), total));
    let checked = checked.map_err(|error| input.failure(error, Bases::of(bundle.head()).as_ref()));
    let Summary { entries, content_bytes, .. } = checked?;
    reporter.event(&Event::Verified { entries, content_bytes, seconds: started.elapsed().as_secs_f64() });
    input.warn_of_mended()?;
    Ok(bundle)
}

/// The part of a bundle that this host was sent and keeps. Everything that this part has is verified.
pub fn verify_kept(trust: &Trust) -> anyhow::Result<IndexedBundle> {
    if !agent::is_kept() {
        return Err(failure::usage(
            "no bundle is given, and this host keeps no part of one",
            "give the bundle that it was set up from; only hosts that were set up over SSH keep their part",
        ));
    }
    let bundle = agent::open(trust).refused()?;
    bundle.verify(Carriage::Partial, &|_| ()).context("this host's part of the bundle was refused").refused()?;
    Ok(bundle)
}

/// Refuses a bundle for another architecture.
pub fn suits_this_machine(list: &BundleList) -> anyhow::Result<()> {
    let here = Platform::of_this_program();
    if list.platforms.contains(&here) {
        return Ok(());
    }
    let platforms: Vec<_> = list.platforms.iter().map(ToString::to_string).collect();
    Err(anyhow!("the bundle is for {}, this kinstall is for {here}; nothing was changed", platforms.join(", ")))
        .refused()
        .hint(format!("use one that was built with `--arch {}`", here.architecture()))
}

/// The list of a bundle. Its signatures are checked, its content is not.
pub fn signed_list(path: &Path, trust: &Trust) -> anyhow::Result<Verified<BundleList>> {
    let input = Input::find_file(path)?;
    Ok(input.open_indexed(trust.check())?.list().clone())
}

/// The digest of a bundle's list. The bundle's signatures are checked, its content is not.
pub fn signed_digest(arguments: &BundleArguments, trust: &Trust) -> anyhow::Result<Digest> {
    let input = Input::find(&arguments.bundle)?;
    Ok(Digest::of(&input.open_completed(trust.check(), &arguments.base)?.head().list_bytes))
}

/// Checks all content, and reports the bytes checked so far to `progress`.
fn check_content(bundle: &IndexedBundle, mut progress: impl FnMut(u64)) -> Result<Summary, VerifyError> {
    let (counts, counted) = mpsc::channel();
    thread::scope(|scope| {
        // The checking threads only count. The reporter stays in this thread, which listens while they count.
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
