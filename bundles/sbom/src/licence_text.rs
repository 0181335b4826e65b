//! Licence texts and notices in a bundle's images and archives.
//!
//! Every layer counts, including files that an upper layer hides: a person who passes the bundle on passes these on too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use kbundle_format::oci::Document;
use kbundle_format::{BundleList, Digest, Entry, EntryKind, EntryPath};

use crate::inventory::{Content, SbomError, bytes_of};
use crate::limits::{MAX_LICENCE_TEXT_BYTES, MAX_LICENCE_TEXTS};
use crate::tar_files::{self, TarFile};

/// Where a text was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// An image's reference, or a file's path in the bundle.
    pub subject: String,
    /// The path inside of the image or archive.
    pub path: String,
}

/// The texts that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LicenceTexts {
    /// The places of each text, by the digest of its bytes.
    pub places: BTreeMap<Digest, BTreeSet<TextPlace>>,
    /// Files that may be texts and were not read, with the reasons.
    pub not_read: Vec<String>,
}

/// Finds the texts in `list`. Passes each one to `save` once, when it occurs for the first time.
///
/// # Errors
/// [`SbomError`], also when `save` fails.
pub fn find<C: Content>(
    list: &BundleList,
    content: &C,
    progress: &dyn Fn(u64),
    save: &mut dyn FnMut(&Digest, &[u8]) -> io::Result<()>,
) -> Result<LicenceTexts, SbomError<C::Error>> {
    let images = images_of_layers(list, content)?;
    let has_texts =
        |entry: &&Entry| matches!(entry.kind, EntryKind::Archive | EntryKind::Chart | EntryKind::ImageLayer);
    let mut texts = LicenceTexts::default();
    for entry in list.entries.iter().filter(has_texts) {
        let subjects = images.get(&entry.path).cloned().unwrap_or_else(|| [entry.path.to_string()].into());
        let mut search = Search { texts: &mut texts, subjects: &subjects, save, failed: None };
        let mut broken = None;
        let mut look = |reader: &mut dyn Read| {
            broken = tar_files::each(reader, &mut |mut file| search.take(&mut file)).err();
        };
        content.read(entry, &mut look).map_err(SbomError::Content)?;
        if let Some(source) = search.failed {
            return Err(SbomError::Look { path: entry.path.clone(), source });
        }
        texts.not_read.extend(broken.map(|error| format!("{}: {error}", entry.path)));
        progress(entry.size);
    }
    Ok(texts)
}

/// The images that contain each layer.
fn images_of_layers<C: Content>(
    list: &BundleList,
    content: &C,
) -> Result<BTreeMap<EntryPath, BTreeSet<String>>, SbomError<C::Error>> {
    let mut images: BTreeMap<EntryPath, BTreeSet<String>> = BTreeMap::new();
    for image in &list.images {
        let wrong = |reason: String| SbomError::Image { reference: image.reference.to_string(), reason };
        let path = EntryPath::blob(&image.manifest);
        let entry = list.entry(path.as_str()).ok_or_else(|| wrong(format!("has no entry {path}")))?;
        if let Document::Manifest { layers, .. } = Document::parse(&bytes_of(entry, content)?).map_err(wrong)? {
            for layer in layers {
                images.entry(EntryPath::blob(&layer.digest)).or_default().insert(image.reference.to_string());
            }
        }
    }
    Ok(images)
}

struct Search<'a> {
    texts: &'a mut LicenceTexts,
    subjects: &'a BTreeSet<String>,
    save: &'a mut dyn FnMut(&Digest, &[u8]) -> io::Result<()>,
    /// The error of saving a text, which says nothing about the layer.
    failed: Option<io::Error>,
}

impl Search<'_> {
    fn take(&mut self, file: &mut TarFile<'_>) -> io::Result<()> {
        if self.failed.is_some() || !file.is_regular() || !is_licence_text(&file.path) {
            return Ok(());
        }
        if file.size_bytes > MAX_LICENCE_TEXT_BYTES {
            let reason = format!("it has {} bytes, at most {MAX_LICENCE_TEXT_BYTES} are read", file.size_bytes);
            self.not_read(&file.path, &reason);
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.content.read_to_end(&mut bytes)?;
        if bytes.is_empty() || bytes.contains(&0) {
            return Ok(());
        }
        self.add(&file.path, &bytes);
        Ok(())
    }

    fn add(&mut self, path: &str, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        if !self.texts.places.contains_key(&digest) {
            if self.texts.places.len() == MAX_LICENCE_TEXTS {
                self.not_read(path, &format!("at most {MAX_LICENCE_TEXTS} texts are read"));
                return;
            }
            if let Err(error) = (self.save)(&digest, bytes) {
                self.failed = Some(error);
                return;
            }
        }
        let places = self.texts.places.entry(digest).or_default();
        places
            .extend(self.subjects.iter().map(|subject| TextPlace { subject: subject.clone(), path: path.to_owned() }));
    }

    fn not_read(&mut self, path: &str, reason: &str) {
        let lines = self.subjects.iter().map(|subject| format!("{subject}: {path}: {reason}"));
        self.texts.not_read.extend(lines);
    }
}

/// Folders of distributions that contain only licences.
const FOLDERS: [&str; 2] = ["usr/share/licenses/", "usr/share/common-licenses/"];
/// The beginnings of names of licence texts, in lowercase.
const NAMES: [&str; 7] = ["license", "licence", "licenses", "copying", "copyright", "notice", "unlicense"];
/// Endings of program files; some programs about licences have similar names.
const CODE: [&str; 14] = ["go", "py", "pyc", "js", "mjs", "ts", "rb", "rs", "c", "h", "java", "class", "so", "json"];

/// Whether a file is a licence text by its path: `LICENSE`, `COPYING.LIB`, `NOTICE.txt`, `usr/share/doc/*/copyright` and so on.
#[must_use]
pub fn is_licence_text(path: &str) -> bool {
    if FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return true;
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let word = name.split(['.', '-', '_']).next().unwrap_or_default();
    let is_code = name.rsplit_once('.').is_some_and(|(_, end)| CODE.contains(&end));
    NAMES.contains(&word) && !is_code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tar;

    #[test]
    fn texts_are_known_by_their_paths() {
        for path in [
            "LICENSE",
            "usr/share/doc/libc6/copyright",
            "opt/a/LICENSE-MIT",
            "a/COPYING.LIB",
            "a/NOTICE.txt",
            "usr/share/licenses/zlib/whatever",
            "usr/share/common-licenses/GPL-2",
        ] {
            assert!(is_licence_text(path), "{path}");
        }
        for path in
            ["usr/bin/license.py", "a/licensed", "etc/notices.d/x", "usr/share/doc/libc6/changelog.gz", "a/license.go"]
        {
            assert!(!is_licence_text(path), "{path}");
        }
    }

    #[test]
    fn a_text_is_saved_once_and_named_with_all_of_its_places() {
        let mut texts = LicenceTexts::default();
        let mut saved = Vec::new();
        let mut save = |digest: &Digest, bytes: &[u8]| {
            saved.push((*digest, bytes.to_vec()));
            Ok(())
        };
        let subjects = ["a:1".to_owned(), "b:1".to_owned()].into();
        let mut search = Search { texts: &mut texts, subjects: &subjects, save: &mut save, failed: None };
        let bytes = tar(&[("LICENSE", b"MIT"), ("x/COPYING", b"MIT"), ("NOTICE", b"\0binary"), ("COPYING", b"")]);
        tar_files::each(&mut &bytes[..], &mut |mut file| search.take(&mut file)).unwrap();
        assert_eq!(saved, [(Digest::of(b"MIT"), b"MIT".to_vec())]);
        let places: Vec<_> = texts.places[&Digest::of(b"MIT")]
            .iter()
            .map(|place| (place.subject.as_str(), place.path.as_str()))
            .collect();
        assert_eq!(places, [("a:1", "LICENSE"), ("a:1", "x/COPYING"), ("b:1", "LICENSE"), ("b:1", "x/COPYING")]);
    }

    #[test]
    fn a_text_that_cannot_be_saved_ends_the_search() {
        let mut texts = LicenceTexts::default();
        let mut save = |_: &Digest, _: &[u8]| Err(io::Error::other("full"));
        let subjects = ["a:1".to_owned()].into();
        let mut search = Search { texts: &mut texts, subjects: &subjects, save: &mut save, failed: None };
        tar_files::each(&mut &tar(&[("LICENSE", b"MIT"), ("COPYING", b"GPL")])[..], &mut |mut file| {
            search.take(&mut file)
        })
        .unwrap();
        assert_eq!(search.failed.unwrap().to_string(), "full");
        assert!(texts.places.is_empty());
    }
}
