//! The bundle that a command reads: from files with random access, or from standard input in one pass.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use kbundle_cli::arguments::{VolumeArguments, is_standard_input};
use kbundle_cli::failure::explained;
use kbundle_cli::program::typed;
use kbundle_cli::{Explained as _, failure, output, progress};
use kbundle_format::attestation::AttestationError;
use kbundle_format::diagnosis::Diagnosed;
use kbundle_format::sealed::Opener;
use kbundle_format::volume::MendedVolume;
use kbundle_format::{
    BundleHead, BundleSource, BundleStream, Diagnosis, Entry, IndexedBundle, KeyId, ReadError, SignatureCheck,
    SignatureFile,
};

use crate::arguments::{BaseArgs, BundleArgs, TrustArgs};
use crate::provenance;
use crate::sealing::OpeningArgs;
use crate::signers::{self, Signer, Trusted};

/// A bundle that is not opened yet.
pub struct Input {
    /// The bundle's name in messages.
    pub name: String,
    /// The beginning of errors about it.
    refused: String,
    source: Option<BundleSource>,
    /// Opens the bundle and its bases if they are sealed.
    opener: Option<Arc<Opener>>,
    /// The volumes that the command has warned about.
    warned: RefCell<Vec<MendedVolume>>,
}

impl Input {
    /// Finds the files; for `-`, nothing yet. Warns about a missing volume that parity replaces.
    pub fn find(arguments: &BundleArgs) -> anyhow::Result<Self> {
        Self::find_refusing(arguments, format!("refused {}", name(arguments)))
    }

    /// The same with another beginning for errors about the bundle.
    pub fn find_refusing(arguments: &BundleArgs, refused: String) -> anyhow::Result<Self> {
        let opener = arguments.opening.read()?.map(Arc::new);
        Self::with_opener(arguments, refused, opener)
    }

    fn with_opener(arguments: &BundleArgs, refused: String, opener: Option<Arc<Opener>>) -> anyhow::Result<Self> {
        let (name, warned) = (name(arguments), RefCell::default());
        if is_standard_input(&arguments.bundle) {
            if !arguments.volumes.volumes.is_empty() {
                return Err(failure::usage(
                    "--volumes makes no sense with standard input",
                    "name a volume or a folder with volumes instead of `-`",
                ));
            }
            return Ok(Self { name, refused, source: None, opener, warned });
        }
        let places: Vec<PathBuf> = [&arguments.bundle].into_iter().chain(&arguments.volumes.volumes).cloned().collect();
        let source = BundleSource::open_all(&places).explained().with_context(|| refused.clone())?;
        let source = if source.is_sealed().explained().with_context(|| refused.clone())? {
            unsealed(&source, opener.as_ref()).with_context(|| refused.clone())?
        } else {
            source
        };
        let input = Self { name, refused, source: Some(source), opener, warned };
        input.warn_of_mended()?;
        Ok(input)
    }

    /// Finds a bundle from a single path.
    pub fn find_file(path: &Path) -> anyhow::Result<Self> {
        Self::find_file_with(path, None)
    }

    fn find_file_with(path: &Path, opener: Option<Arc<Opener>>) -> anyhow::Result<Self> {
        let (volumes, opening) = (VolumeArguments::default(), OpeningArgs::default());
        let arguments = BundleArgs { bundle: path.to_owned(), volumes, opening };
        let refused = format!("refused {}", name(&arguments));
        Self::with_opener(&arguments, refused, opener)
    }

    /// The files, for commands that need more than one pass.
    pub fn source(&self) -> anyhow::Result<&BundleSource> {
        self.source.as_ref().ok_or_else(|| {
            failure::usage("this cannot be done in one pass over standard input", "store the bundle in a file first")
        })
    }

    /// Opens the files with random access, or standard input for one pass. With bases, only files.
    pub fn open(&self, check: SignatureCheck<'_>, bases: &BaseArgs) -> anyhow::Result<Bundle> {
        if self.source.is_some() || !bases.base.is_empty() {
            return Ok(Bundle::Indexed(self.open_completed(check, bases)?));
        }
        Ok(Bundle::Stream(self.open_stdin(check)?))
    }

    /// Opens the files with random access.
    pub fn open_indexed(&self, check: SignatureCheck<'_>) -> anyhow::Result<IndexedBundle> {
        let opened = IndexedBundle::open_source(self.source()?.clone(), check);
        let bundle = opened.map_err(|error| self.refusal(error))?;
        self.warn_of_mended()?;
        Ok(bundle)
    }

    /// The same, completed with content from bases. The bases' signatures do not matter: their content is compared with the list of this
    /// bundle.
    pub fn open_completed(&self, check: SignatureCheck<'_>, bases: &BaseArgs) -> anyhow::Result<IndexedBundle> {
        let bundle = self.open_indexed(check)?;
        let open =
            |path: &PathBuf| Self::find_file_with(path, self.opener.clone())?.open_indexed(SignatureCheck::Skipped);
        Ok(bundle.completed_from(bases.base.iter().map(open).collect::<anyhow::Result<_>>()?))
    }

    /// Opens it for one pass, which is enough to read the head.
    pub fn open_stream(&self, check: SignatureCheck<'_>) -> anyhow::Result<BundleStream> {
        let opened = match &self.source {
            None => return self.open_stdin(check),
            Some(source) => match BundleStream::open(source.reader(), check) {
                Err(error) if error.may_be_damage() && source.mend() => BundleStream::open(source.reader(), check),
                opened => opened,
            },
        };
        let stream = opened.map_err(|error| self.refusal(error))?;
        self.warn_of_mended()?;
        Ok(stream)
    }

    /// Standard input; if there is an opener, it is sealed.
    fn open_stdin(&self, check: SignatureCheck<'_>) -> anyhow::Result<BundleStream> {
        let opened = match &self.opener {
            None => BundleStream::open(io::stdin(), check),
            Some(opener) => BundleStream::open(opener.open(io::stdin()).explained().context(self.refused())?, check),
        };
        opened.map_err(|error| self.refusal(error))
    }

    /// The refusal of the bundle for `error`: whether it is damaged or was changed, where, and how that was noticed.
    pub fn refusal(&self, error: ReadError) -> anyhow::Error {
        let diagnosis = match &self.source {
            Some(source) => Diagnosis::of_source(&error, source),
            None => Diagnosis::of_stream(&error),
        };
        let error = Diagnosed::new(diagnosis, error).map_or_else(explained, explained);
        error.context(self.refused())
    }

    /// The beginning of errors about the bundle.
    pub fn refused(&self) -> String {
        self.refused.clone()
    }

    /// The missing or damaged volumes that others replace.
    #[must_use]
    pub fn mended(&self) -> Vec<MendedVolume> {
        self.source.as_ref().map(BundleSource::mended).unwrap_or_default()
    }

    /// Warns, once for each, about missing or damaged volumes that others replace. The command continues.
    pub fn warn_of_mended(&self) -> io::Result<()> {
        let mut warned = self.warned.borrow_mut();
        for volume in self.mended() {
            if !warned.contains(&volume) {
                let repair = typed("repair").map(|repair| format!(", or write it again with `{repair}`"));
                let repair = repair.unwrap_or_default();
                output::warning(&format!("WARNING: {volume}. Nothing is lost yet; copy it again{repair}"))?;
                warned.push(volume);
            }
        }
        Ok(())
    }
}

/// The content of a sealed bundle.
fn unsealed(source: &BundleSource, opener: Option<&Arc<Opener>>) -> anyhow::Result<BundleSource> {
    let opener = opener.ok_or_else(|| {
        failure::refused(
            "it is sealed, and nothing was given that opens it",
            "give the identity that it was sealed to with `--identity FILE`, or its passphrase with `--passphrase-file FILE`",
        )
    })?;
    source.unsealed(opener).explained()
}

/// The bundle's name in messages.
fn name(arguments: &BundleArgs) -> String {
    if is_standard_input(&arguments.bundle) {
        "standard input".to_owned()
    } else {
        arguments.bundle.display().to_string()
    }
}

/// A bundle in files as a source of content, whoever signed it.
pub struct Opened {
    /// Its input, for messages.
    pub input: Input,
    /// The bundle.
    pub bundle: IndexedBundle,
}

impl Opened {
    /// Opens the bundle in the arguments; signatures are not checked.
    pub fn of(arguments: &BundleArgs) -> anyhow::Result<Self> {
        Self::new(Input::find(arguments)?)
    }

    /// The same for a bundle with a single path.
    pub fn file(path: &Path) -> anyhow::Result<Self> {
        Self::new(Input::find_file(path)?)
    }

    fn new(input: Input) -> anyhow::Result<Self> {
        let bundle = input.open_indexed(SignatureCheck::Skipped)?;
        Ok(Self { input, bundle })
    }

    /// Compares the content of some of its entries with their digests.
    ///
    /// # Errors
    /// The refusal of this bundle, which names everything that is damaged.
    pub fn check(&self, entries: &[&Entry]) -> anyhow::Result<()> {
        let bar = progress::bar("verifying", entries.iter().map(|entry| entry.size).sum());
        let damage = self.bundle.check_each(entries, &|count| bar.inc(count));
        bar.finish_and_clear();
        self.input.refuse_damage(&self.bundle, damage)?;
        Ok(self.input.warn_of_mended()?)
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
    /// The part that was read and checked first, whichever way the bundle is read.
    pub fn head(&self) -> &BundleHead {
        match self {
            Self::Indexed(bundle) => bundle.head(),
            Self::Stream(stream) => stream.head(),
        }
    }
}

/// The demands of `--key`, `--threshold`, `--signature` and `--unsigned`.
pub struct Asked {
    trusted: Option<Trusted>,
    detached: Vec<SignatureFile>,
}

impl Asked {
    /// Reads the keys and signatures that the arguments name.
    pub fn of(arguments: &TrustArgs) -> anyhow::Result<Self> {
        if arguments.unsigned && !arguments.signatures.revocations.is_empty() {
            return Err(failure::usage(
                "a list of revocations was given, and no key to verify it with",
                "give the public key of whoever signs your bundles with `--key`, and leave out `--unsigned`",
            ));
        }
        let trusted =
            if arguments.unsigned { None } else { Some(Trusted::read(&arguments.key, &arguments.signatures)?) };
        Ok(Self { trusted, detached: signers::detached(&arguments.signatures)? })
    }

    /// The required check of a bundle's signatures.
    #[must_use]
    pub fn check(&self) -> SignatureCheck<'_> {
        match &self.trusted {
            Some(trusted) => SignatureCheck::Required { trust: &trusted.policy, detached: &self.detached },
            None => SignatureCheck::Skipped,
        }
    }

    /// The signers in `ids` that are trusted, with what is known about them.
    #[must_use]
    pub fn signers(&self, ids: &[KeyId]) -> Vec<Signer> {
        self.trusted.as_ref().map(|trusted| trusted.signers(ids)).unwrap_or_default()
    }

    /// How far the provenance can be trusted, in words.
    ///
    /// # Errors
    /// When a trusted key signed the provenance, but it is malformed or about another list.
    pub fn provenance(&self, head: &BundleHead) -> Result<String, AttestationError> {
        match &self.trusted {
            Some(trusted) => Ok(provenance::check(head, trusted)?.to_string()),
            None => Ok("nobody asked who signed it".to_owned()),
        }
    }
}
