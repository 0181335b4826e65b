//! Reads many entries of a bundle file at once: each thread takes the next entry, decodes its frames and hashes them.
//!
//! So decoding and hashing are spread over the cores for any mix of entries. A thread needs the memory of one frame, or of two if it checks
//! two entries at a time. [`stream`](crate::stream) is for input that can be read only in order.

use std::cmp::Reverse;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::diagnosis::Verdict;
use crate::frame;
use crate::head::ReadError;
use crate::indexed::EntryCheck;
use crate::list::Entry;
use crate::stream::{Carriage, Summary};
use crate::{BundleSource, Diagnosis, EntryPath, IndexedBundle};

/// An entry that does not match the signed list, or could not be read.
#[derive(Debug)]
pub struct Damage {
    /// The entry.
    pub path: EntryPath,
    /// What is wrong with it.
    pub error: ReadError,
}

impl Damage {
    /// What is wrong, as a text that can follow the entry's name.
    #[must_use]
    pub fn reason(&self) -> String {
        match &self.error {
            ReadError::Digest { expected, actual, .. } => format!("digest {actual} instead of {expected}"),
            ReadError::Missing { .. } => "in the signed list but not in the file".to_owned(),
            error => error.to_string(),
        }
    }
}

/// Damage, and what the facts show about it. As text: entry and reason, and below them whether it was damaged or changed, and where.
#[derive(Debug)]
pub struct DiagnosedDamage {
    /// The entry and its error.
    pub damage: Damage,
    /// Whether the entry is damaged, was changed or is missing, and where.
    pub diagnosis: Diagnosis,
}

impl DiagnosedDamage {
    fn of(damage: Damage, bundle: &IndexedBundle) -> Self {
        let diagnosis = Diagnosis::of_entry(&damage.error, bundle, &damage.path);
        Self { damage, diagnosis }
    }
}

impl fmt::Display for DiagnosedDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { damage, diagnosis } = self;
        write!(f, "{}: {}", damage.path, damage.reason())?;
        if diagnosis.is_about_content() { write!(f, "\n  {diagnosis}") } else { Ok(()) }
    }
}

/// Some entries of a bundle are damaged.
#[derive(Debug)]
pub struct DamagedBundle {
    /// Volumes that do not match their headers; empty for a single file.
    pub volumes: Vec<PathBuf>,
    /// The number of parity volumes, which do not suffice.
    pub parity: usize,
    /// The damaged entries, in the order of the list.
    pub entries: Vec<DiagnosedDamage>,
}

impl DamagedBundle {
    /// What the owner of the file should do about the content; `None` if the only error is that entries are missing.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        self.entries.iter().find_map(|entry| entry.diagnosis.advice())
    }

    fn judgement(&self) -> &'static str {
        let all = |verdict| self.entries.iter().all(|entry| entry.diagnosis.verdict == verdict);
        if all(Verdict::Incomplete) {
            "missing"
        } else if all(Verdict::Damaged) {
            "damaged"
        } else {
            "not as signed"
        }
    }
}

impl fmt::Display for DamagedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judgement = self.judgement();
        match self.entries.len() {
            1 => write!(f, "1 entry is {judgement}")?,
            count => write!(f, "{count} entries are {judgement}")?,
        }
        for volume in &self.volumes {
            write!(f, "\nvolume {} is damaged", volume.display())?;
        }
        self.entries.iter().try_for_each(|entry| write!(f, "\n{entry}"))
    }
}

impl std::error::Error for DamagedBundle {}

/// Why a bundle could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be read as a bundle.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It can be read, but some of its entries are damaged.
    #[error(transparent)]
    Damaged(DamagedBundle),
}

/// The result of a check of all entries.
#[derive(Debug, Default)]
pub struct Findings {
    /// The good entries, and those that the file does not carry.
    pub summary: Summary,
    /// The damage, in the order of the list.
    pub damage: Vec<Damage>,
}

impl IndexedBundle {
    /// Checks layout and content of everything that the file carries, as [`check_entries`](Self::check_entries) does. Damage is an
    /// error that names every damaged entry and volume.
    ///
    /// # Errors
    /// [`VerifyError::Damaged`], or the reason why the bundle cannot be read.
    pub fn verify(&self, carriage: Carriage, progress: &(dyn Fn(u64) + Sync)) -> Result<Summary, VerifyError> {
        let Findings { summary, damage } = self.check_entries(carriage, progress)?;
        self.judge(damage)?;
        Ok(summary)
    }

    /// Turns the damage of entries into an error that names all of it. An error of writing is reported alone: nothing is known about the
    /// bundle then.
    ///
    /// # Errors
    /// [`VerifyError`], unless there is no damage.
    pub fn judge(&self, mut damage: Vec<Damage>) -> Result<(), VerifyError> {
        if let Some(sink) = damage.iter().position(|damage| matches!(damage.error, ReadError::Sink { .. })) {
            return Err(damage.swap_remove(sink).error.into());
        }
        if damage.is_empty() {
            return Ok(());
        }
        let volumes = self.all_sources().flat_map(BundleSource::damaged_volumes).collect();
        let parity = self.all_sources().map(BundleSource::parity_volumes).sum();
        let entries = damage.into_iter().map(|damage| DiagnosedDamage::of(damage, self)).collect();
        Err(VerifyError::Damaged(DamagedBundle { volumes, parity, entries }))
    }

    /// Checks layout and content of everything that the file carries, and reports the number of checked bytes to `progress`.
    ///
    /// Continues after damage, to find all of it.
    ///
    /// # Errors
    /// When the layout is not a bundle's and no damaged entry explains that.
    pub fn check_entries(&self, carriage: Carriage, progress: &(dyn Fn(u64) + Sync)) -> Result<Findings, ReadError> {
        let layout = self.check_layout();
        let (carried, left_out): (Vec<_>, Vec<_>) = self.list().entries.iter().partition(|entry| self.carries(entry));
        let mut damage = self.check_each(&carried, progress);
        if carriage == Carriage::Full {
            damage.extend(left_out.iter().map(|entry| {
                let path = entry.path.clone();
                Damage { path: path.clone(), error: ReadError::Missing { path } }
            }));
        }
        if damage.is_empty() {
            layout?;
        }
        let summary = Summary {
            entries: carried.len(),
            content_bytes: carried.iter().map(|entry| entry.size).sum(),
            left_out: left_out.into_iter().cloned().collect(),
        };
        Ok(Findings { summary, damage })
    }

    /// Checks the content of `entries`, and reports the number of checked bytes to `progress`. Returns the damaged ones in the order of
    /// `entries`.
    ///
    /// If volumes are damaged and others can replace them, damaged entries are checked again.
    pub fn check_each(&self, entries: &[&Entry], progress: &(dyn Fn(u64) + Sync)) -> Vec<Damage> {
        self.mending(entries, |entries| self.check_once(entries, progress))
    }

    fn check_once(&self, entries: &[&Entry], progress: &(dyn Fn(u64) + Sync)) -> Vec<Damage> {
        // The largest first, so that no thread is still busy with one at the end.
        let mut by_size = entries.to_vec();
        by_size.sort_by_key(|entry| Reverse(entry.size));
        in_order(entries, on_all_cores(&by_size, |work| self.check_in_pairs(work, progress)))
    }

    /// Two entries at a time, because two messages are hashed faster together than one after the other.
    fn check_in_pairs<'a>(&'a self, work: &Work<'a>, progress: &(dyn Fn(u64) + Sync)) {
        let mut pair = [None, None];
        loop {
            for check in &mut pair {
                self.make_ready(check, work);
            }
            progress(match &mut pair {
                [Some(one), Some(other)] => EntryCheck::hash_pair([one, other]),
                [Some(only), None] | [None, Some(only)] => only.hash(),
                [None, None] => return,
            });
        }
    }

    /// Ensures that `check` has something to hash: from its entry, or from the next one that no thread has taken. `None` when none is left.
    fn make_ready<'a>(&'a self, check: &mut Option<EntryCheck<'a>>, work: &Work<'a>) {
        loop {
            let Some(mut begun) = check.take().or_else(|| self.begin_next(work)) else { return };
            let entry = begun.entry();
            match begun.decode() {
                Ok(true) => {
                    *check = Some(begun);
                    return;
                }
                Ok(false) => work.note(entry, begun.finish()),
                Err(error) => work.note(entry, Err(error)),
            }
        }
    }

    fn begin_next<'a>(&'a self, work: &Work<'a>) -> Option<EntryCheck<'a>> {
        loop {
            let entry = work.next()?;
            match EntryCheck::begin(self, entry) {
                Ok(check) => return Some(check),
                Err(error) => work.note(entry, Err(error)),
            }
        }
    }

    /// Calls `task` for each of `entries`, several at a time, and returns the failures in the order of `entries`.
    ///
    /// If volumes are damaged and others can replace them, it is called again for entries that it found damaged.
    pub fn each(&self, entries: &[&Entry], task: impl Fn(&Entry) -> Result<(), ReadError> + Sync) -> Vec<Damage> {
        self.mending(entries, |entries| {
            in_order(
                entries,
                on_all_cores(entries, |work| {
                    while let Some(entry) = work.next() {
                        work.note(entry, task(entry));
                    }
                }),
            )
        })
    }

    /// Does `work`; if other volumes can replace damaged ones, does it again for the damaged entries.
    fn mending(&self, entries: &[&Entry], work: impl Fn(&[&Entry]) -> Vec<Damage>) -> Vec<Damage> {
        let damage = work(entries);
        let (damaged, other): (Vec<_>, _) = damage.into_iter().partition(|damage| damage.error.may_be_damage());
        if damaged.is_empty() || !self.mend() {
            return in_order(entries, damaged.into_iter().chain(other).collect());
        }
        let again: Vec<_> =
            entries.iter().copied().filter(|entry| damaged.iter().any(|damage| damage.path == entry.path)).collect();
        in_order(entries, work(&again).into_iter().chain(other).collect())
    }

    /// See [`BundleSource::mend`]; also for bases.
    fn mend(&self) -> bool {
        // Every source, whatever the result for the previous one.
        self.all_sources().filter(|source| source.mend()).count() > 0
    }
}

/// Entries that threads take, and their results.
struct Work<'a> {
    entries: &'a [&'a Entry],
    taken: AtomicUsize,
    failures: Mutex<Vec<Damage>>,
}

impl<'a> Work<'a> {
    /// The next entry that no thread has taken.
    fn next(&self) -> Option<&'a Entry> {
        self.entries.get(self.taken.fetch_add(1, Ordering::Relaxed)).copied()
    }

    fn note(&self, entry: &Entry, result: Result<(), ReadError>) {
        if let Err(error) = result {
            let damage = Damage { path: entry.path.clone(), error };
            self.failures.lock().expect("no thread panics while it holds the lock").push(damage);
        }
    }
}

/// Calls `task` in a thread for each core; returns the failures that the threads recorded.
fn on_all_cores<'a>(entries: &'a [&'a Entry], task: impl Fn(&Work<'a>) + Sync) -> Vec<Damage> {
    let work = Work { entries, taken: AtomicUsize::new(0), failures: Mutex::default() };
    thread::scope(|scope| {
        for _ in 0..frame::threads() {
            scope.spawn(|| task(&work));
        }
    });
    work.failures.into_inner().expect("no thread panics while it holds the lock")
}

/// Sorts `damage` in the order of `entries`.
fn in_order(entries: &[&Entry], mut damage: Vec<Damage>) -> Vec<Damage> {
    damage.sort_by_key(|damage| entries.iter().position(|entry| entry.path == damage.path));
    damage
}
