//! Images from files of this machine: OCI image layouts (folder or tar) and archives of `docker save`.
//!
//! An image is named `oci:PATH[:TAG]` or `docker-archive:PATH[:REFERENCE]`, as skopeo names it. [`ImageFile::read`] reads its documents and
//! finds out the digest that pins it. [`FoundImage::copy`] copies a piece of it, which has to have the digest that its descriptor says.
//! [`crate::fetch`] puts the pieces into the cache. After that the image is fetched as images of registries are, from the cache alone.
//!
//! | module | what it knows |
//! |---|---|
//! | `members` | files in a folder or tar archive; refuses links that lead out, `..`, sparse files and compressed archives |
//! | `layout` | OCI image-spec 1.1, "OCI Image Layout Specification" |
//! | `docker` | `manifest.json` of `docker save` (moby, `image/tarexport`) |

mod docker;
mod layout;
mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;
use kbundle_format::{Digest, Hasher, Platform};

use self::members::Members;

/// Where an image lies on this machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    form: Form,
    /// Relative to where it was named.
    path: PathBuf,
    /// Which image it is, where there are several.
    name: Option<String>,
}

/// How images lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// An OCI image layout, as a folder or as a tar archive.
    Layout,
    /// What `docker save` writes.
    DockerArchive,
}

impl Form {
    const ALL: [Self; 2] = [Self::Layout, Self::DockerArchive];

    fn scheme(self) -> &'static str {
        match self {
            Self::Layout => "oci:",
            Self::DockerArchive => "docker-archive:",
        }
    }
}

/// The text does not say where an image lies.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not `oci:PATH[:TAG]` or `docker-archive:PATH[:REFERENCE]`")]
pub struct ImageFileSyntax {
    text: String,
}

impl FromStr for ImageFile {
    type Err = ImageFileSyntax;

    /// The path ends at the first colon, as with skopeo.
    fn from_str(text: &str) -> Result<Self, ImageFileSyntax> {
        let known = Form::ALL.into_iter().find_map(|form| Some((form, text.strip_prefix(form.scheme())?)));
        let error = || ImageFileSyntax { text: text.to_owned() };
        let (form, rest) = known.ok_or_else(error)?;
        let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
        // `oci://` is the address of a registry elsewhere.
        if path.is_empty() || path.starts_with("//") || name.is_some_and(str::is_empty) {
            return Err(error());
        }
        Ok(Self { form, path: path.into(), name: name.map(str::to_owned) })
    }
}

impl fmt::Display for ImageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.form.scheme(), self.path.display())?;
        self.name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

kbundle_format::text_type!(ImageFile, "^(oci|docker-archive):[^:]");

/// Why the image in a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFileError {
    /// It could not be read.
    #[error("cannot read the image {file}")]
    Read {
        /// Where it lies.
        file: ImageFile,
        /// The cause.
        source: io::Error,
    },
    /// It is not a layout or archive, or one that nobody should trust.
    #[error("{file}: {reason}")]
    Refused {
        /// Where it lies.
        file: ImageFile,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has no image of the name, or several without one.
    #[error("{file}: {reason}")]
    Choice {
        /// Where it lies.
        file: ImageFile,
        /// What is there.
        reason: String,
    },
    /// It is another image than the one expected.
    #[error("{file} has the image {actual} instead of {expected}")]
    Changed {
        /// Where it lies.
        file: ImageFile,
        /// The expected digest.
        expected: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
}

/// What is wrong with a file, before it is said with which one.
enum Fault {
    Read(io::Error),
    Refused(String),
    Choice(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Fault {
    fn of(self, file: &ImageFile) -> ImageFileError {
        let file = file.clone();
        match self {
            Self::Read(source) => ImageFileError::Read { file, source },
            Self::Refused(reason) => ImageFileError::Refused { file, reason },
            Self::Choice(reason) => ImageFileError::Choice { file, reason },
        }
    }
}

/// An image in a file, whose documents were read.
pub struct FoundImage {
    /// Digest of its index, or of its manifest where it has no index.
    pub digest: Digest,
    /// What it is made of, as far as it is there and the platforms need it.
    pieces: BTreeMap<Digest, Piece>,
    members: Members,
}

struct Piece {
    size: u64,
    content: Content,
}

enum Content {
    /// The file of this name.
    Member(String),
    /// It is in no file.
    Made(Vec<u8>),
}

impl ImageFile {
    /// With a path that is valid in another folder than the one of this process.
    ///
    /// # Errors
    /// The current folder is gone.
    pub fn absolute(self) -> Result<Self, ImageFileError> {
        match std::path::absolute(&self.path) {
            Ok(path) => Ok(Self { path, ..self }),
            Err(source) => Err(ImageFileError::Read { file: self, source }),
        }
    }

    /// Reads the documents of the image. Its path is relative to `base`. Layers are not read, except compressed ones of a docker-archive.
    ///
    /// # Errors
    /// [`ImageFileError`].
    pub fn read(&self, base: &Path, platforms: &BTreeSet<Platform>) -> Result<FoundImage, ImageFileError> {
        let find = || {
            let path = base.join(&self.path);
            let members = Members::open(&path)?;
            let (digest, pieces) = match self.form {
                Form::Layout => layout::find(&members, self.name.as_deref(), platforms)?,
                Form::DockerArchive => docker::find(&members, self.name.as_deref())?,
            };
            Ok(FoundImage { digest, pieces, members })
        };
        find().map_err(|fault: Fault| fault.of(self))
    }
}

impl FoundImage {
    /// The digests of its pieces.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.pieces.keys()
    }

    /// Writes the piece with this digest to `target`, and compares size and digest with what its descriptor says. `file` is named in errors.
    ///
    /// # Errors
    /// [`ImageFileError`]. What was written is of no use then.
    pub fn copy(&self, file: &ImageFile, digest: &Digest, target: &Path) -> Result<(), ImageFileError> {
        self.copy_piece(digest, target).map_err(|fault| fault.of(file))
    }

    fn copy_piece(&self, digest: &Digest, target: &Path) -> Result<(), Fault> {
        let piece = self.pieces.get(digest).ok_or_else(|| Fault::Refused(format!("it has no {digest}")))?;
        let mut hasher = Hasher::new(fs::File::create(target)?);
        match &piece.content {
            // One byte more shows that it is too large.
            Content::Member(name) => io::copy(&mut self.members.reader(name)?.take(piece.size + 1), &mut hasher)?,
            Content::Made(bytes) => io::copy(&mut bytes.as_slice(), &mut hasher)?,
        };
        let (actual, size, _) = hasher.finish();
        if actual == *digest && size == piece.size {
            return Ok(());
        }
        let name = match &piece.content {
            Content::Member(name) => name.as_str(),
            Content::Made(_) => "its manifest",
        };
        Err(Fault::Refused(format!(
            "{name} has digest {actual} and {size} bytes instead of {digest} and {}",
            piece.size
        )))
    }
}

#[cfg(test)]
mod tests;
