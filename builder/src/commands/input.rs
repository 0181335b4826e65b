//! The bundle that a command reads: from files in any order, or from standard input in one pass.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kbundle_cli::arguments::{VolumeArguments, is_standard_input};
use kbundle_cli::failure::explained;
use kbundle_cli::{Explained as _, failure};
use kbundle_format::diagnosis::Diagnosed;
use kbundle_format::{
    BundleHead, BundleSource, BundleStream, Diagnosis, IndexedBundle, ReadError, SignatureCheck, SignatureFile,
};

use super::keys::{self, Trusted};
use crate::cli::{BundleArgs, TrustArgs};

/// A bundle that is not opened yet.
pub struct Input {
    /// What to call it in messages.
    pub name: String,
    source: Option<BundleSource>,
}

impl Input {
    /// Finds the files; for `-`, nothing yet.
    pub fn find(arguments: &BundleArgs) -> anyhow::Result<Self> {
        let name = arguments.bundle.display().to_string();
        if is_standard_input(&arguments.bundle) {
            if !arguments.volumes.volumes.is_empty() {
                return Err(failure::usage(
                    "`--volumes` cannot be combined with standard input",
                    "name a volume or a folder with volumes instead of `-`",
                ));
            }
            return Ok(Self { name: "standard input".to_owned(), source: None });
        }
        let places: Vec<PathBuf> = [&arguments.bundle].into_iter().chain(&arguments.volumes.volumes).cloned().collect();
        let source = BundleSource::open_all(&places).explained().with_context(|| format!("refused {name}"))?;
        Ok(Self { name, source: Some(source) })
    }

    /// Finds a bundle that was named without further folders.
    pub fn find_file(path: &Path) -> anyhow::Result<Self> {
        Self::find(&BundleArgs { bundle: path.to_owned(), volumes: VolumeArguments::default() })
    }

    /// The files, for commands that cannot do with one pass.
    pub fn source(&self) -> anyhow::Result<&BundleSource> {
        self.source.as_ref().ok_or_else(|| {
            failure::usage("this cannot be done in one pass over standard input", "store the bundle in a file first")
        })
    }

    /// Opens the files for reading in any order, or standard input for one pass.
    pub fn open(&self, check: SignatureCheck<'_>) -> anyhow::Result<Bundle> {
        let opened = match &self.source {
            Some(source) => IndexedBundle::open_source(source.clone(), check).map(Bundle::Indexed),
            None => BundleStream::open(io::stdin(), check).map(Bundle::Stream),
        };
        opened.map_err(|error| self.refusal(error))
    }

    /// Opens the files for reading in any order.
    pub fn open_indexed(&self, check: SignatureCheck<'_>) -> anyhow::Result<IndexedBundle> {
        IndexedBundle::open_source(self.source()?.clone(), check).map_err(|error| self.refusal(error))
    }

    /// Opens for one pass, which is enough to look at the head.
    pub fn open_stream(&self, check: SignatureCheck<'_>) -> anyhow::Result<BundleStream> {
        let opened = match &self.source {
            Some(source) => BundleStream::open(source.reader(), check),
            None => BundleStream::open(io::stdin(), check),
        };
        opened.map_err(|error| self.refusal(error))
    }

    /// The refusal of the bundle for `error`: whether it is damaged or was changed, where, and how that was met.
    pub fn refusal(&self, error: ReadError) -> anyhow::Error {
        let diagnosis = match &self.source {
            Some(source) => Diagnosis::of_source(&error, source),
            None => Diagnosis::of_stream(&error),
        };
        let error = Diagnosed::new(diagnosis, error).map_or_else(explained, explained);
        error.context(self.refused())
    }

    /// How an error about it begins.
    pub fn refused(&self) -> String {
        format!("refused {}", self.name)
    }
}

/// A bundle whose head was read and checked.
pub enum Bundle {
    /// From files.
    Indexed(IndexedBundle),
    /// From standard input.
    Stream(BundleStream),
}

impl Bundle {
    /// What was read and checked first, whichever way.
    pub fn head(&self) -> &BundleHead {
        match self {
            Self::Indexed(bundle) => bundle.head(),
            Self::Stream(stream) => stream.head(),
        }
    }
}

/// What `--key`, `--threshold`, `--signature` and `--unsigned` ask for.
pub struct Asked {
    trusted: Option<Trusted>,
    detached: Vec<SignatureFile>,
}

impl Asked {
    pub fn of(arguments: &TrustArgs) -> anyhow::Result<Self> {
        let trusted =
            if arguments.unsigned { None } else { Some(Trusted::read(&arguments.key, &arguments.signatures)?) };
        Ok(Self { trusted, detached: keys::detached(&arguments.signatures)? })
    }

    pub fn check(&self) -> SignatureCheck<'_> {
        match &self.trusted {
            Some(trusted) => SignatureCheck::Required { trust: &trusted.policy, detached: &self.detached },
            None => SignatureCheck::Skipped,
        }
    }
}
