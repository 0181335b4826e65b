//! Images from files of this machine: OCI image layouts (folder or tar) and archives of `docker save`.
//!
//! An image is named `oci:PATH[:TAG]` or `docker-archive:PATH[:REFERENCE]`, as in skopeo. [`ImageFile::read`] reads its documents and
//! determines the digest that pins it. [`FoundImage::copy`] copies a piece of it and verifies the digest in its descriptor.
//! [`crate::fetch`] puts the pieces into the cache. After that the image is fetched like images of registries, but only from the cache.
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

/// The place of an image on this machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    form: Form,
    /// Relative to the folder of the file that names it.
    path: PathBuf,
    /// Which image it is, if there are several.
    name: Option<String>,
}

/// The forms of image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// An OCI image layout, as a folder or as a tar archive.
    Layout,
    /// An archive of `docker save`.
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

/// The text does not name an image file.
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
        /// The image file.
        file: ImageFile,
        /// The cause.
        source: io::Error,
    },
    /// It is not a layout or archive, or it cannot be trusted.
    #[error("{file}: {reason}")]
    Refused {
        /// The image file.
        file: ImageFile,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has no image of this name, or has several images and no name was given.
    #[error("{file}: {reason}")]
    Choice {
        /// The image file.
        file: ImageFile,
        /// What the file has.
        reason: String,
    },
    /// It is another image than the expected one.
    #[error("{file} has the image {actual} instead of {expected}")]
    Changed {
        /// The image file.
        file: ImageFile,
        /// The expected digest.
        expected: Digest,
        /// The digest of the image in the file.
        actual: Digest,
    },
}

/// What is wrong with a file, before the file's name is added.
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
    /// Digest of its index, or of its manifest if it has no index.
    pub digest: Digest,
    /// Its content, as far as it exists and the platforms need it.
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
    /// Content that is in no file.
    Made(Vec<u8>),
}

impl ImageFile {
    /// The same with an absolute path, which is valid in any working folder.
    ///
    /// # Errors
    /// When the current folder is gone.
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

    /// Writes the piece with this digest to `target`, and compares size and digest with its descriptor. Errors name `file`.
    ///
    /// # Errors
    /// [`ImageFileError`]. The bytes that were written are useless then.
    pub fn copy(&self, file: &ImageFile, digest: &Digest, target: &Path) -> Result<(), ImageFileError> {
        self.copy_piece(digest, target).map_err(|fault| fault.of(file))
    }

    fn copy_piece(&self, digest: &Digest, target: &Path) -> Result<(), Fault> {
        let piece = self.pieces.get(digest).ok_or_else(|| Fault::Refused(format!("it has no {digest}")))?;
        let mut hasher = Hasher::new(fs::File::create(target)?);
        match &piece.content {
            // One additional byte shows that it is too large.
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
