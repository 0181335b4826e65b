//! The inventory of a bundle: examines all images and files on all cores.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{num, thread};

use kbundle_format::oci::Document;
use kbundle_format::{BundleList, Digest, Entry, EntryKind, EntryPath, Image, IndexedBundle, ReadError};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::layer::Layer;
use crate::overlay::View;

/// The source of the content of a bundle's entries.
pub trait Content: Sync {
    /// Why content is not available.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Lets `look` read the content of `entry`.
    ///
    /// # Errors
    /// When the content is not available, or is not what the list says. The result of `look` must be discarded then.
    fn read(&self, entry: &Entry, look: Look<'_>) -> Result<(), Self::Error>;
}

/// Reads content.
pub type Look<'a> = &'a mut dyn FnMut(&mut dyn Read);

/// Content of a bundle file, compared with its digest.
impl Content for IndexedBundle {
    type Error = ReadError;

    fn read(&self, entry: &Entry, look: Look<'_>) -> Result<(), ReadError> {
        let failed = |source| ReadError::Sink { path: entry.path.clone(), source };
        let (mut reader, mut writer) = io::pipe().map_err(failed)?;
        thread::scope(|scope| {
            let copied = scope.spawn(move || self.copy_entry(entry, &mut writer));
            look(&mut reader);
            // If `look` stopped early, the copy would fail for no reason of its own.
            let rest = io::copy(&mut reader, &mut io::sink());
            copied.join().expect("copying does not panic")?;
            rest.map_err(failed).map(drop)
        })
    }
}

/// Why the inventory of a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError<E: std::error::Error + 'static> {
    /// Content is not available.
    #[error(transparent)]
    Content(E),
    /// It cannot be examined, for a reason of this machine.
    #[error("cannot look into {path}")]
    Look {
        /// The entry.
        path: EntryPath,
        /// The cause.
        source: io::Error,
    },
    /// The documents of an image contradict each other.
    #[error("image {reference} {reason}")]
    Image {
        /// The image.
        reference: String,
        /// What is wrong.
        reason: String,
    },
}

/// The inventory of a bundle.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Images, in the order of the list.
    pub images: Vec<ImageInventory>,
    /// Files that are not part of an image, in the order of the list.
    pub files: Vec<FileInventory>,
    /// The creation time of the newest image; the only time that belongs to the content.
    pub newest: Option<OffsetDateTime>,
}

/// An image and its packages.
#[derive(Clone, Debug)]
pub struct ImageInventory {
    /// The image.
    pub image: Image,
    /// The licence in the list.
    pub licence: Option<String>,
    /// Its packages.
    pub view: View,
}

/// A file and its packages.
#[derive(Clone, Debug)]
pub struct FileInventory {
    /// The file.
    pub entry: Entry,
    /// Its packages.
    pub view: View,
}

impl Inventory {
    /// Looks into everything that `list` names.
    ///
    /// # Errors
    /// [`SbomError`].
    pub fn of<C: Content>(
        list: &BundleList,
        content: &C,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self, SbomError<C::Error>> {
        let layers = look_into(list, content, progress)?;
        let mut newest = None;
        let mut images = Vec::new();
        for image in &list.images {
            let (view, created) = view_of_image(list, image, content, &layers)?;
            newest = newest.max(created);
            let manifest = list.entries.iter().find(|entry| entry.digest == image.manifest);
            let licence = manifest.and_then(|entry| entry.licence.clone());
            images.push(ImageInventory { image: image.clone(), licence, view });
        }
        let files = list.entries.iter().filter(|entry| entry.kind.is_artifact()).map(|entry| {
            let layer = layers.get(&entry.path);
            let view = layer.map(|layer| View::through(&[(None, layer)])).unwrap_or_default();
            FileInventory { entry: entry.clone(), view }
        });
        Ok(Self { images, files: files.collect(), newest })
    }
}

/// The content of each layer, archive and program, by its path in the bundle.
fn look_into<C: Content>(
    list: &BundleList,
    content: &C,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<HashMap<EntryPath, Layer>, SbomError<C::Error>> {
    let has_content =
        |entry: &&Entry| matches!(entry.kind, EntryKind::Binary | EntryKind::Archive | EntryKind::ImageLayer);
    let mut entries: Vec<_> = list.entries.iter().filter(has_content).collect();
    // The largest first, so that no core starts one when the others are done.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.size));
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((index, entry)) =
            entries.get(next.fetch_add(1, Ordering::Relaxed)).map(|entry| (entry.path.clone(), *entry))
        {
            let layer = look_at(entry, content);
            progress(entry.size);
            let failed = layer.is_err();
            results.lock().expect("no thread panics while it holds the lock").insert(index, layer);
            if failed {
                next.store(entries.len(), Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, num::NonZero::get).min(entries.len());
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let results = results.into_inner().expect("no thread panics while it holds the lock");
    results.into_iter().map(|(path, layer)| Ok((path, layer?))).collect()
}

fn look_at<C: Content>(entry: &Entry, content: &C) -> Result<Layer, SbomError<C::Error>> {
    let mut looked = None;
    let is_program = entry.kind == EntryKind::Binary;
    let mut look = |reader: &mut dyn Read| {
        looked = Some(if is_program { Layer::program(entry.path.as_str(), reader) } else { Layer::read(reader) });
    };
    content.read(entry, &mut look).map_err(SbomError::Content)?;
    let failed = |source| SbomError::Look { path: entry.path.clone(), source };
    looked.unwrap_or_else(|| Ok(Layer::default())).map_err(failed)
}

/// The visible packages of an image, and its creation time.
fn view_of_image<C: Content>(
    list: &BundleList,
    image: &Image,
    content: &C,
    layers: &HashMap<EntryPath, Layer>,
) -> Result<(View, Option<OffsetDateTime>), SbomError<C::Error>> {
    let wrong = |reason: String| SbomError::Image { reference: image.reference.to_string(), reason };
    let document = |digest: &Digest| {
        let path = EntryPath::blob(digest);
        let entry = list.entry(path.as_str()).ok_or_else(|| wrong(format!("has no entry {path}")))?;
        bytes_of(entry, content)
    };
    let parsed = Document::parse(&document(&image.manifest)?).map_err(wrong)?;
    let Document::Manifest { config, layers: blobs, .. } = parsed else {
        return Err(wrong("is an image index where a manifest is expected".to_owned()));
    };
    let config: Config = serde_json::from_slice(&document(&config.digest)?).unwrap_or_default();
    let mut stack = Vec::new();
    for blob in blobs {
        let path = EntryPath::blob(&blob.digest);
        let layer = layers.get(&path).ok_or_else(|| wrong(format!("has no layer {path}")))?;
        stack.push((Some(blob.digest), layer));
    }
    Ok((View::through(&stack), config.created.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok())))
}

/// The needed parts of an image config. Source: OCI image-spec 1.1, "Image Configuration".
#[derive(Default, Deserialize)]
struct Config {
    created: Option<String>,
}

/// The bytes of a small document.
pub(crate) fn bytes_of<C: Content>(entry: &Entry, content: &C) -> Result<Vec<u8>, SbomError<C::Error>> {
    let mut bytes = Vec::new();
    let mut read = Ok(0);
    content
        .read(entry, &mut |reader| read = reader.take(kbundle_format::oci::MAX_DOCUMENT_BYTES).read_to_end(&mut bytes))
        .map_err(SbomError::Content)?;
    read.map_err(|source| SbomError::Look { path: entry.path.clone(), source })?;
    Ok(bytes)
}
