//! Writes content of a bundle to a folder; `extract` and `export` share it.

use std::io;

use indicatif::ProgressBar;
use kbundle_cli::progress;
use kbundle_format::bases::Bases;
use kbundle_format::stream::Carriage;
use kbundle_format::tar_layer::TarHeader;
use kbundle_format::whole::VerifyError;
use kbundle_format::{BundleStream, Entry, IndexedBundle, ReadError};

use crate::input::{Bundle, Input};
use crate::target::{Target, TargetFile};

/// Writes the entries that `wanted` picks to `target`; each is checked before it gets its name. Returns their number.
///
/// `carriage` says whether the bundle has to carry all of them. From standard input, everything else is checked on the way as well.
///
/// # Errors
/// The refusal of the bundle, which names everything that is damaged, or the reason why the folder cannot be written to.
pub fn unpack(
    input: &Input,
    bundle: Bundle,
    target: &Target,
    carriage: Carriage,
    wanted: impl Fn(&Entry) -> bool,
) -> anyhow::Result<usize> {
    let bases = Bases::of(bundle.head());
    let sizes = bundle.head().list.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.size);
    let bar = progress::bar("unpacking", sizes.sum());
    let unpacked = match bundle {
        Bundle::Indexed(bundle) => {
            let there = |entry: &Entry| carriage == Carriage::Full || bundle.carries(entry);
            from_files(&bundle, target, |entry| wanted(entry) && there(entry), &bar)
        }
        Bundle::Stream(stream) => {
            let missed = |entry: &Entry| carriage == Carriage::Full && wanted(entry);
            in_one_pass(stream, target, &wanted, missed, &bar).map_err(VerifyError::Read)
        }
    };
    bar.finish_and_clear();
    let count = unpacked.map_err(|error| input.failure(error, bases.as_ref()))?;
    input.warn_of_mended()?;
    Ok(count)
}

fn from_files(
    bundle: &IndexedBundle,
    target: &Target,
    wanted: impl Fn(&Entry) -> bool,
    bar: &ProgressBar,
) -> Result<usize, VerifyError> {
    bundle.check_layout()?;
    let entries: Vec<_> = bundle.list().entries.iter().filter(|entry| wanted(entry)).collect();
    let damage = bundle.each(&entries, |entry| {
        let failed = |source| ReadError::Sink { path: entry.path.clone(), source };
        let mut file = start(target, entry).map_err(failed)?;
        bundle.copy_entry(entry, &mut file)?;
        file.commit().map_err(failed)?;
        bar.inc(entry.size);
        Ok(())
    });
    bundle.judge(damage)?;
    Ok(entries.len())
}

fn in_one_pass(
    stream: BundleStream,
    target: &Target,
    wanted: impl Fn(&Entry) -> bool,
    missed: impl Fn(&Entry) -> bool,
    bar: &ProgressBar,
) -> Result<usize, ReadError> {
    // A partial bundle gives the entries that it has; wanted entries that it lacks are reported below.
    let mut stream = stream.carriage(Carriage::Partial);
    let mut count = 0;
    loop {
        let mut file = None;
        let next = stream.next_entry(|entry| {
            Ok(if wanted(entry) { Box::new(file.insert(start(target, entry)?)) } else { Box::new(io::sink()) })
        })?;
        let Some(entry) = next else { break };
        if let Some(file) = file {
            file.commit().map_err(|source| ReadError::Sink { path: entry.path.clone(), source })?;
            bar.inc(entry.size);
            count += 1;
        }
    }
    match stream.left_out().iter().find(|entry| missed(entry)) {
        Some(entry) => Err(ReadError::Missing { path: entry.path.clone() }),
        None => Ok(count),
    }
}

fn start(target: &Target, entry: &Entry) -> io::Result<TargetFile> {
    target.file(&entry.path, TarHeader::of_entry(entry).mode())
}
