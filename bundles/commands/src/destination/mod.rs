//! The destination of a command's file or volumes: checked before the work begins, written under a temporary name, renamed once it is
//! complete.

mod rule;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use kbundle_cli::output;
use kbundle_format::atomic_file::{AtomicFile, parent};
use kbundle_format::volume::{Split, VolumeError, VolumeWriter, is_volume, volumes_beside};

pub use rule::judge;
pub use rule::{DestinationError, Existing, check_name, check_new_folder, check_space, free_bytes, refuse_stdout};

use crate::interrupt::Interrupt;

/// A destination that the rule allows.
#[derive(Clone, Debug)]
pub struct Destination {
    kind: DestinationKind,
    existing: Existing,
}

#[derive(Clone, Debug)]
enum DestinationKind {
    Stdout,
    File(PathBuf),
    /// Volumes named after this bundle.
    Volumes(PathBuf, Split),
}

impl Destination {
    /// Applies the rule to `path`, or to the names of volumes of it. `-` is standard output.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn find(path: &Path, split: Option<Split>, existing: Existing) -> Result<Self, DestinationError> {
        let kind = match split {
            Some(split) => {
                refuse_stdout(path, "volumes")?;
                DestinationKind::Volumes(path.to_owned(), split)
            }
            None if path == Path::new("-") => DestinationKind::Stdout,
            None => DestinationKind::File(path.to_owned()),
        };
        let destination = Self { kind, existing };
        destination.check()?;
        Ok(destination)
    }

    /// The same as [`Self::find`] for a bundle. Unless it is `signed` itself, it must not replace a signed one.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn for_bundle(
        path: &Path,
        split: Option<Split>,
        existing: Existing,
        signed: bool,
    ) -> Result<Self, DestinationError> {
        let destination = Self::find(path, split, existing)?;
        let before = match &destination.kind {
            DestinationKind::Stdout => Vec::new(),
            DestinationKind::File(path) => vec![path.clone()],
            DestinationKind::Volumes(bundle, _) => beside(bundle)?,
        };
        // Every volume shows whether the whole bundle is signed.
        match before.into_iter().next().filter(|path| !signed && rule::is_signed(path)) {
            Some(path) => Err(DestinationError::SignedBefore { path }),
            None => Ok(destination),
        }
    }

    fn check(&self) -> Result<(), DestinationError> {
        match &self.kind {
            DestinationKind::Stdout if io::stdout().is_terminal() => Err(DestinationError::Terminal),
            DestinationKind::Stdout => Ok(()),
            DestinationKind::File(path) => check_name(path, self.existing),
            DestinationKind::Volumes(bundle, _) => self.check_volumes(bundle),
        }
    }

    /// Names all volumes that are in the way at once.
    fn check_volumes(&self, bundle: &Path) -> Result<(), DestinationError> {
        // No file with the bundle's own name is written, but its folder is used.
        let mut in_the_way = Vec::new();
        let volume = bundle.with_added_extension("001");
        for path in [volume].into_iter().chain(if parent(bundle).is_dir() { beside(bundle)? } else { Vec::new() }) {
            match check_name(&path, self.existing) {
                Err(DestinationError::Exists { paths, .. }) => in_the_way.extend(paths),
                judged => judged?,
            }
        }
        in_the_way.sort();
        in_the_way.dedup();
        let force = self.existing == Existing::KeptWithoutForce;
        if in_the_way.is_empty() { Ok(()) } else { Err(DestinationError::Exists { paths: in_the_way, force }) }
    }

    /// Whether it is standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        matches!(self.kind, DestinationKind::Stdout)
    }

    /// The folder of the output; `None` for standard output.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.kind {
            DestinationKind::Stdout => None,
            DestinationKind::File(path) | DestinationKind::Volumes(path, _) => Some(parent(path)),
        }
    }

    /// Checks that it is not the file of `other`, however the path of the folder is written.
    ///
    /// # Errors
    /// [`DestinationError::Twice`].
    pub fn check_apart_from(&self, other: &Self) -> Result<(), DestinationError> {
        let (DestinationKind::File(path), DestinationKind::File(taken)) = (&self.kind, &other.kind) else {
            return Ok(());
        };
        let full =
            |path: &Path| fs::canonicalize(parent(path)).map(|folder| (folder, path.file_name().map(OsStr::to_owned)));
        let same = full(path).map_err(|source| failed(path, source))?
            == full(taken).map_err(|source| failed(taken, source))?;
        if same { Err(DestinationError::Twice { path: path.clone() }) } else { Ok(()) }
    }

    /// Checks that there is room for `bytes`.
    ///
    /// # Errors
    /// [`DestinationError::Full`].
    pub fn check_room(&self, bytes: u64) -> Result<(), DestinationError> {
        self.folder().map_or(Ok(()), |folder| check_space(folder, bytes))
    }

    fn path(&self) -> &Path {
        match &self.kind {
            DestinationKind::Stdout => Path::new("-"),
            DestinationKind::File(path) | DestinationKind::Volumes(path, _) => path,
        }
    }

    /// Starts writing. Writing fails after `interrupt` has received a signal.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn start(self, interrupt: &Interrupt) -> Result<Writing, DestinationError> {
        let output = match &self.kind {
            DestinationKind::Stdout => {
                output::begin_content();
                let descriptor = io::stdout().as_fd().try_clone_to_owned();
                let file = descriptor.map_err(|source| failed(Path::new("-"), source))?;
                Output::Stdout(BufWriter::with_capacity(1 << 18, File::from(file)))
            }
            DestinationKind::File(path) => {
                let file = AtomicFile::create(path, 0o644).map_err(|source| failed(path, source))?;
                Output::File { path: path.clone(), file }
            }
            DestinationKind::Volumes(bundle, split) => {
                let writer = VolumeWriter::new(bundle, *split).map_err(|source| volumes_failed(bundle, source))?;
                Output::Volumes { bundle: bundle.clone(), writer: Box::new(writer) }
            }
        };
        Ok(Writing { destination: self, output, interrupt: interrupt.clone(), bytes: 0 })
    }
}

fn failed(path: &Path, source: io::Error) -> DestinationError {
    DestinationError::Write { path: path.to_owned(), source }
}

fn volumes_failed(bundle: &Path, source: VolumeError) -> DestinationError {
    DestinationError::Volumes { path: bundle.to_owned(), source }
}

fn beside(bundle: &Path) -> Result<Vec<PathBuf>, DestinationError> {
    volumes_beside(bundle).map_err(|source| failed(bundle, source))
}

/// Unfinished output; if it is dropped before [`Writing::commit`], nothing is left.
pub struct Writing {
    destination: Destination,
    output: Output,
    interrupt: Interrupt,
    bytes: u64,
}

enum Output {
    Stdout(BufWriter<File>),
    File { path: PathBuf, file: AtomicFile },
    Volumes { bundle: PathBuf, writer: Box<VolumeWriter> },
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, in order; none for standard output.
    pub files: Vec<PathBuf>,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// Volumes from an earlier run under the same name, which were removed.
    pub removed: Vec<PathBuf>,
    /// Volumes of other bundles in the same folder. A command that is given the folder finds both bundles and refuses.
    pub others: Vec<PathBuf>,
}

impl Writing {
    /// Renames the files to their final names, and syncs that.
    ///
    /// # Errors
    /// [`DestinationError`], also when something took the name in the meantime.
    pub fn commit(self) -> Result<Written, DestinationError> {
        let Self { destination, output, interrupt, bytes } = self;
        interrupt.check().map_err(|source| failed(destination.path(), source))?;
        destination.check()?;
        match output {
            Output::Stdout(mut stdout) => {
                stdout.flush().map_err(|source| failed(destination.path(), source))?;
                Ok(Written { size_bytes: bytes, ..Written::default() })
            }
            Output::File { path, file } => {
                let replaced = destination.existing == Existing::Replaced;
                let committed = if replaced { file.commit() } else { file.commit_new() };
                committed.map_err(|source| failed(&path, source))?;
                Ok(Written { files: vec![path], size_bytes: bytes, ..Written::default() })
            }
            Output::Volumes { bundle, writer } => {
                let before = beside(&bundle)?;
                let files = writer.finish().map_err(|source| volumes_failed(&bundle, source))?;
                tidy(&bundle, files, &before).map_err(|source| failed(&bundle, source))
            }
        }
    }
}

/// Removes volumes of an earlier run that were not replaced, and looks for volumes of other bundles.
fn tidy(bundle: &Path, files: Vec<PathBuf>, before: &[PathBuf]) -> io::Result<Written> {
    let mut written = Written { files, ..Written::default() };
    for path in &written.files {
        written.size_bytes += fs::metadata(path)?.len();
    }
    for path in before {
        if !written.files.contains(path) && is_volume(path)? {
            fs::remove_file(path)?;
            written.removed.push(path.clone());
        }
    }
    for item in fs::read_dir(parent(bundle))? {
        let path = bundle.with_file_name(item?.file_name());
        if !written.files.contains(&path) && path.is_file() && is_volume(&path)? {
            written.others.push(path);
        }
    }
    written.others.sort();
    Ok(written)
}

impl Write for Writing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        let count = match &mut self.output {
            Output::Stdout(stdout) => stdout.write(buffer),
            Output::File { file, .. } => file.write(buffer),
            Output::Volumes { writer, .. } => writer.write(buffer),
        }?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.output {
            Output::Stdout(stdout) => stdout.flush(),
            Output::File { file, .. } => file.flush(),
            Output::Volumes { writer, .. } => writer.flush(),
        }
    }
}
