//! Opening a bundle the only way there is: signatures first, then every entry's digest.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use kbundle_cli::arguments::is_standard_input;
use kbundle_cli::failure::{self, explained};
use kbundle_cli::keys::{signature_file, trusted_key};
use kbundle_format::bases::Bases;
use kbundle_format::diagnosis::Diagnosed;
use kbundle_format::head::ReadError;
use kbundle_format::indexed::IndexedBundle;
use kbundle_format::list::ListError;
use kbundle_format::signature::TrustError;
use kbundle_format::source::{BundleSource, SourceError};
use kbundle_format::stream::{Carriage, Summary};
use kbundle_format::volume::VolumeError;
use kbundle_format::whole::{DamagedBundle, VerifyError};
use kbundle_format::{BundleList, Diagnosis, Platform, Verified};

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
    let signatures = &arguments.signatures;
    let key = |path: &PathBuf| anyhow::Ok(trusted_key(path, signatures)?.0);
    let keys = arguments.keys.iter().map(key).collect::<anyhow::Result<_>>()?;
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
    let source = open(places)?;
    let of_source = |error: &ReadError| Diagnosis::of_source(error, &source);
    let bundle = read(IndexedBundle::open_source(source.clone(), trust.check()), of_source)?;
    let list = bundle.list();
    accept(list)?;
    let total = list.size_bytes();
    reporter.event(&Event::Opened {
        kubernetes_version: list.kubernetes_version.to_string(),
        signers: list.signers().iter().map(ToString::to_string).collect(),
        content_bytes: total,
    });
    let summary = match check_content(&bundle, |done| reporter.verified_so_far(done, total)) {
        Err(VerifyError::Damaged(damage)) => refuse_damaged(damage, Bases::of(bundle.head()).as_ref()),
        Err(VerifyError::Read(error)) => read(Err(error), of_source),
        summary => Ok(summary?),
    }?;
    let Summary { entries, content_bytes, .. } = summary;
    reporter.event(&Event::Verified { entries, content_bytes, seconds: started.elapsed().as_secs_f64() });
    Ok((bundle, summary))
}

/// Refuses a bundle for other machines.
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

/// The list of the bundle at `places`, whose signatures are checked and whose content is not.
pub fn signed_list(places: &[PathBuf], trust: &Trust) -> anyhow::Result<Verified<BundleList>> {
    let source = open(places)?;
    let of_source = |error: &ReadError| Diagnosis::of_source(error, &source);
    Ok(read(IndexedBundle::open_source(source.clone(), trust.check()), of_source)?.list().clone())
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

/// Says which entries are damaged, and what to do. This host has no kbundle.
fn refuse_damaged(damage: DamagedBundle, bases: Option<&Bases>) -> anyhow::Result<Summary> {
    let hint = if damage.volumes.is_empty() {
        damage.advice().map_or_else(|| completion(bases), str::to_owned)
    } else {
        "copy the damaged volumes again from where the bundle was built".to_owned()
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
        result => read(result.map_err(ReadError::from), Diagnosis::of_stream),
    }
}

/// What to do about a bundle that does not carry all of its list.
fn completion(bases: Option<&Bases>) -> String {
    match bases {
        Some(bases) => {
            format!("it is a differential bundle; have it completed where it was built, from its base {bases}")
        }
        None => "give the full bundle: this one is differential or for one role".to_owned(),
    }
}

/// Says what is wrong with a bundle that cannot be read, and what to do. This host has no kbundle.
fn read<T>(result: Result<T, ReadError>, diagnose: impl FnOnce(&ReadError) -> Diagnosis) -> anyhow::Result<T> {
    let error = match result {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let diagnosis = diagnose(&error);
    let hint = match &error {
        ReadError::Trust(TrustError::Unsigned) => {
            "have it signed where it was built, or give a signature that lies beside it with `--signature`"
        }
        ReadError::Trust(_) => "check the key with whoever signs your bundles",
        ReadError::Source(SourceError::Volume(error)) => volume_hint(error),
        error => diagnosis.advice().unwrap_or(match error {
            ReadError::List(ListError::Version { .. }) => {
                "use a kinstall of the same release as the kbundle that built it"
            }
            _ => "look at the medium that the bundle lies on",
        }),
    };
    let error = Diagnosed::new(diagnosis, error).map_or_else(explained, explained);
    Err(error).context("the bundle was refused; nothing on this host was changed").hint(hint)
}

fn volume_hint(error: &VolumeError) -> &'static str {
    match error {
        VolumeError::Missing { .. } => "name every folder or stick with volumes (`--volumes DIR`)",
        VolumeError::Header { .. } | VolumeError::Length { .. } => {
            "copy the volume again from where the bundle was built"
        }
        VolumeError::Mixed { .. } => {
            "name one volume of the bundle that is meant, or keep bundles in folders of their own"
        }
        VolumeError::Recut { .. } => "remove the volumes of the older cut, or name one volume of the cut that is meant",
        VolumeError::None { .. } => "give the bundle file, one of its volumes, or the folder with them",
        _ => "look at the medium that the bundle lies on",
    }
}
