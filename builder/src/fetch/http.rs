//! Downloads one piece of content into the cache: resumed where a beginning is there, hashed on the way, bounded in size.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use fs_err as fs;
use kbundle_format::oci::DOCUMENT_TYPES;
use kbundle_format::{Digest, Hasher};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, Response, StatusCode, Url};

use super::FetchError;
use super::cache::Cache;
use super::progress::Item;
use super::retry::{Insistence, RetryPolicy, retry_after};
use crate::mirror::Repository;
use crate::registry::{Operation, Session};
use crate::upstream::origin;

/// One piece of content.
#[derive(Clone, Debug)]
pub(super) struct Download {
    /// Where to ask for it, in this order: the mirrors, or else upstream. At least one place.
    pub places: Vec<Location>,
    /// The expected digest; absent only if nothing pins the content.
    pub digest: Option<Digest>,
    /// The expected size, if a descriptor or a lock states it.
    pub size: Option<u64>,
    /// An upper bound in bytes, whatever the server says.
    pub most: u64,
}

/// One piece of content on one server.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub url: String,
    /// How to ask the server for it.
    pub access: Access,
}

impl Location {
    fn origin(&self) -> &str {
        origin(&self.url).unwrap_or(&self.url)
    }
}

/// What kind of server it is.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// A plain web server.
    Web,
    /// A registry, for a blob.
    Blob(Repository),
    /// A registry, for an image index or manifest.
    Manifest(Repository),
    /// Only in the cache, where it is put from a file.
    File,
}

/// Fetches content into the cache.
#[derive(Debug)]
pub(super) struct Downloader {
    pub session: Session,
    pub cache: Cache,
    pub retry: RetryPolicy,
    pub in_flight: InFlight,
    /// Origins that could not be reached in this run. If there are several places, these are asked last.
    pub unreachable: Mutex<HashSet<String>>,
}

/// Keeps two tasks from fetching the same content at the same time, for example an index that two platforms of an image share.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl InFlight {
    async fn turn(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turns =
            Arc::clone(self.0.lock().expect("nothing panics while holding it").entry(name.to_owned()).or_default());
        turns.lock_owned().await
    }
}

impl Downloader {
    /// Puts the content into the cache if it is missing; returns its digest and size.
    ///
    /// # Errors
    /// Any [`FetchError`]. Content with another digest or size is not kept.
    pub async fn fetch(&self, wanted: &Download, item: &Item<'_>) -> Result<(Digest, u64), FetchError> {
        // Content without a pin has no digest yet: its address names the partial file.
        let name = wanted.digest.unwrap_or_else(|| Digest::of(wanted.places[0].url.as_bytes())).hex();
        let _turn = self.in_flight.turn(&name).await;
        if let Some(digest) = wanted.digest
            && let Some(size) = self.whole(digest).await?
        {
            check_size(wanted, &wanted.places[0].url, size)?;
            item.cached(size);
            return Ok((digest, size));
        }
        let partial = self.cache.partial(&name);
        let (digest, size) = self.try_places(wanted, &partial, item).await?;
        let cache = self.cache.clone();
        beside_the_network(move || cache.keep(&partial, &digest)).await?;
        item.fetched(size);
        Ok((digest, size))
    }

    /// Asks one place after another, until one gives the content.
    async fn try_places(
        &self,
        wanted: &Download,
        partial: &Path,
        item: &Item<'_>,
    ) -> Result<(Digest, u64), FetchError> {
        let mut places: Vec<&Location> = wanted.places.iter().collect();
        places.sort_by_key(|place| self.is_unreachable(place));
        let mut failed = Vec::new();
        while !places.is_empty() {
            let place = places.remove(0);
            match self.try_place(wanted, place, !places.is_empty(), partial, item).await {
                Ok(done) => return Ok(done),
                Err(error @ (FetchError::Cache { .. } | FetchError::Task { .. })) => return Err(error),
                Err(error) => {
                    if error.is_unreachable() {
                        self.unreachable
                            .lock()
                            .expect("nothing panics while holding it")
                            .insert(place.origin().to_owned());
                    }
                    if let Some(next) = places.first() {
                        tracing::warn!(url = place.url, %error, next = next.url, "asking the next mirror");
                    }
                    failed.push(error);
                }
            }
        }
        Err(if failed.len() == 1 { failed.remove(0) } else { FetchError::NoMirror { failed } })
    }

    fn is_unreachable(&self, place: &Location) -> bool {
        self.unreachable.lock().expect("nothing panics while holding it").contains(place.origin())
    }

    async fn try_place(
        &self,
        wanted: &Download,
        place: &Location,
        has_another: bool,
        partial: &Path,
        item: &Item<'_>,
    ) -> Result<(Digest, u64), FetchError> {
        let insistence = if has_another { Insistence::LeavesTheUnreachable } else { Insistence::TriesAgain };
        let had_beginning = fs::metadata(partial).is_ok_and(|metadata| metadata.len() > 0);
        let attempts = || self.retry.run(&place.url, insistence, || self.attempt(wanted, place, partial, item));
        match attempts().await {
            // The cause may be the beginning that an earlier run left. It was removed, so start again once.
            Err(error) if error.is_refusal() && had_beginning => attempts().await,
            result => result,
        }
    }

    async fn whole(&self, digest: Digest) -> Result<Option<u64>, FetchError> {
        let cache = self.cache.clone();
        beside_the_network(move || cache.whole(&digest)).await
    }

    /// One attempt. The received bytes stay in `partial` for the next attempt, unless the content is wrong.
    async fn attempt(
        &self,
        wanted: &Download,
        place: &Location,
        partial: &Path,
        item: &Item<'_>,
    ) -> Result<(Digest, u64), FetchError> {
        if let Access::File = place.access {
            return Err(FetchError::NotInFile { file: place.url.clone(), digest: wanted.digest });
        }
        let path = partial.to_owned();
        let mut beginning = beside_the_network(move || Beginning::open(&path)).await?;
        let response = self.ask(place, &beginning).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues_at(&response, beginning.size) => {}
            StatusCode::OK => beginning.restart(response.headers())?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if beginning.size > 0 => {
                // The beginning is longer than the content, or the server answers with another range: start over.
                let (url, kept) = (place.url.clone(), beginning.size);
                beginning.discard()?;
                return Err(FetchError::NotContinued { url, kept });
            }
            status => {
                let retry_after = retry_after(response.headers(), SystemTime::now());
                return Err(FetchError::Status { url: place.url.clone(), status, retry_after });
            }
        }
        let result = receive(wanted, &place.url, response, &mut beginning, item).await;
        if result.as_ref().is_err_and(FetchError::is_refusal) {
            beginning.discard()?;
        }
        result
    }

    async fn ask(&self, place: &Location, beginning: &Beginning) -> Result<Response, FetchError> {
        let request = |client: &Client, url: Url| {
            let mut request = client.get(url).header(ACCEPT_ENCODING, "identity");
            if let Access::Manifest(_) = place.access {
                request = request.header(ACCEPT, DOCUMENT_TYPES.join(", "));
            }
            // Without a validator, the rest may come from a changed file. The pin detects that, so resume all the same.
            if beginning.size > 0 {
                request = request.header(RANGE, format!("bytes={}-", beginning.size));
                if let Some(validator) = &beginning.validator {
                    request = request.header(IF_RANGE, validator);
                }
            }
            request
        };
        match &place.access {
            Access::Web | Access::File => self.session.web(&place.url, request).await,
            Access::Blob(repository) | Access::Manifest(repository) => {
                self.session.registry(&place.url, (repository, Operation::Pull), request).await
            }
        }
    }
}

/// Runs work that reads or syncs a whole file on a separate thread: the network has one thread, which must not wait for a disk.
pub(super) async fn beside_the_network<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(|source| FetchError::Task { source })?
}

/// Whether a partial answer begins at `offset`.
fn continues_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

/// Receives the body; returns its digest and size.
async fn receive(
    wanted: &Download,
    asked: &str,
    mut response: Response,
    beginning: &mut Beginning,
    item: &Item<'_>,
) -> Result<(Digest, u64), FetchError> {
    let url = || asked.to_owned();
    let announced = response.content_length().map(|rest| beginning.size + rest);
    if let Some(announced) = announced {
        check_size(wanted, asked, announced)?;
        item.set_length(announced);
    }
    item.set_position(beginning.size);
    while let Some(chunk) = response.chunk().await.map_err(|error| FetchError::no_answer(asked, &error))? {
        beginning.append(&chunk)?;
        item.set_position(beginning.size);
        let most = wanted.size.unwrap_or(wanted.most);
        if beginning.size > most {
            check_size(wanted, asked, beginning.size)?;
        }
    }
    if let Some(expected) = announced.or(wanted.size)
        && beginning.size < expected
    {
        return Err(FetchError::ShortBody { url: url(), actual: beginning.size, expected });
    }
    check_size(wanted, asked, beginning.size)?;
    let (actual, size) = beginning.digest()?;
    match wanted.digest {
        Some(expected) if expected != actual => Err(FetchError::DigestMismatch { url: url(), expected, actual }),
        _ => Ok((actual, size)),
    }
}

fn check_size(wanted: &Download, asked: &str, actual: u64) -> Result<(), FetchError> {
    let url = || asked.to_owned();
    match wanted.size {
        Some(expected) if expected != actual => Err(FetchError::SizeMismatch { url: url(), expected, actual }),
        _ if actual > wanted.most => Err(FetchError::TooLarge { url: url(), most: wanted.most }),
        _ => Ok(()),
    }
}

/// The part of a download that is on disk, and its hash so far.
struct Beginning {
    path: PathBuf,
    file: File,
    hasher: Hasher<io::Sink>,
    size: u64,
    /// The entity tag or date of the answer that it belongs to.
    validator: Option<HeaderValue>,
}

impl Beginning {
    fn open(path: &Path) -> Result<Self, FetchError> {
        let open = || -> io::Result<Self> {
            let options = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            let mut file = options.into_file();
            let mut hasher = Hasher::new(io::sink());
            let size = io::copy(&mut file, &mut hasher)?;
            let validator = fs::read(validator_path(path)).ok().and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
            Ok(Self { path: path.to_owned(), file, hasher, size, validator })
        };
        open().map_err(|source| FetchError::Cache { path: path.to_owned(), source })
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        let written = self.file.write_all(chunk).and_then(|()| self.hasher.write_all(chunk));
        self.size += chunk.len() as u64;
        self.at_path(written)
    }

    /// Empties the file for an answer that begins at 0, and records the validator of that answer.
    fn restart(&mut self, headers: &HeaderMap) -> Result<(), FetchError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        self.hasher = Hasher::new(io::sink());
        self.size = 0;
        self.at_path(emptied)?;
        // RFC 9110, 13.1.5: a weak entity tag must not be used with If-Range.
        let strong = |value: &&HeaderValue| !value.as_bytes().starts_with(b"W/");
        let noted = match headers.get(ETAG).filter(strong).or(headers.get(LAST_MODIFIED)) {
            Some(validator) => fs::write(validator_path(&self.path), validator.as_bytes()),
            None => remove_if_there(&validator_path(&self.path)),
        };
        self.at_path(noted)
    }

    fn discard(&mut self) -> Result<(), FetchError> {
        let removed = remove_if_there(&self.path).and_then(|()| remove_if_there(&validator_path(&self.path)));
        self.at_path(removed)
    }

    /// The digest and size of the whole, after its last byte.
    fn digest(&mut self) -> Result<(Digest, u64), FetchError> {
        self.at_path(remove_if_there(&validator_path(&self.path)))?;
        let (digest, size, _) = std::mem::replace(&mut self.hasher, Hasher::new(io::sink())).finish();
        Ok((digest, size))
    }

    fn at_path<T>(&self, result: io::Result<T>) -> Result<T, FetchError> {
        result.map_err(|source| FetchError::Cache { path: self.path.clone(), source })
    }
}

fn validator_path(partial: &Path) -> PathBuf {
    partial.with_extension("validator")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
