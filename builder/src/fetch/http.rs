//! Downloads one piece of content into the cache: resumed where a beginning is there, hashed on the way, bounded in size.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use kbundle_format::{Digest, Hasher};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};

use super::cache::Cache;
use super::progress::Item;
use super::retry::RetryPolicy;
use super::{Breakdown, FetchError, registry};

/// One piece of content on a server.
#[derive(Clone, Debug)]
pub(super) struct Download {
    /// Where it is asked for, mirrors considered.
    pub url: String,
    /// What it has to be; absent only where it is taken as it comes.
    pub digest: Option<Digest>,
    /// Its size, where a descriptor or lock says it.
    pub size: Option<u64>,
    /// It may not be larger, whatever the server says.
    pub most: u64,
    /// Which door it lies behind.
    pub access: Access,
}

/// How a server is asked.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// A plain web server.
    Web,
    /// A registry, for a blob.
    Blob(crate::mirror::Repository),
    /// A registry, for an image index or manifest.
    Manifest(crate::mirror::Repository),
}

/// Fetches content into the cache.
#[derive(Debug)]
pub(super) struct Downloader {
    pub client: reqwest::Client,
    pub registry: registry::Authorizer,
    pub cache: Cache,
    pub retry: RetryPolicy,
    pub in_flight: InFlight,
}

/// Keeps two tasks from fetching the same content at the same time: two platforms of an image have one index.
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
    /// Makes sure that the content is in the cache; returns its digest and size.
    ///
    /// # Errors
    /// Any [`FetchError`]; content that is not what was wanted leaves nothing behind.
    pub async fn fetch(&self, wanted: &Download, item: &Item<'_>) -> Result<(Digest, u64), FetchError> {
        // Content that nobody pins has no name yet; its address serves.
        let name = wanted.digest.unwrap_or_else(|| Digest::of(wanted.url.as_bytes())).hex();
        let _turn = self.in_flight.turn(&name).await;
        if let Some(digest) = wanted.digest
            && let Some(size) = self.whole(digest).await?
        {
            check_size(wanted, size)?;
            item.cached(size);
            return Ok((digest, size));
        }
        let partial = self.cache.partial(&name);
        let had_beginning = fs::metadata(&partial).is_ok_and(|metadata| metadata.len() > 0);
        let attempts = || self.retry.run(&wanted.url, || self.attempt(wanted, &partial, item));
        let result = match attempts().await {
            // Perhaps the beginning that an earlier run left is to blame; by now it is gone.
            Err(error) if error.is_refusal() && had_beginning => attempts().await,
            result => result,
        };
        let (digest, size) = result?;
        let cache = self.cache.clone();
        beside_the_network(move || cache.keep(&partial, &digest)).await?;
        item.fetched(size);
        Ok((digest, size))
    }

    async fn whole(&self, digest: Digest) -> Result<Option<u64>, FetchError> {
        let cache = self.cache.clone();
        beside_the_network(move || cache.whole(&digest)).await
    }

    /// Asks once. What came stays in `partial` for the next attempt, unless it turned out to be the wrong content.
    async fn attempt(&self, wanted: &Download, partial: &Path, item: &Item<'_>) -> Result<(Digest, u64), FetchError> {
        let path = partial.to_owned();
        let mut beginning = beside_the_network(move || Beginning::open(&path)).await?;
        let response = self.ask(wanted, &beginning).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues_at(&response, beginning.size) => {}
            StatusCode::OK => beginning.restart(response.headers())?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if beginning.size > 0 => {
                // The beginning is longer than the content, or the server answers with another range: start over.
                let (url, kept) = (wanted.url.clone(), beginning.size);
                beginning.discard()?;
                return Err(FetchError::NotContinued { url, kept });
            }
            status => return Err(FetchError::Status { url: wanted.url.clone(), status }),
        }
        let result = receive(wanted, response, &mut beginning, item).await;
        if result.as_ref().is_err_and(FetchError::is_refusal) {
            beginning.discard()?;
        }
        result
    }

    async fn ask(&self, wanted: &Download, beginning: &Beginning) -> Result<Response, FetchError> {
        let mut request = self.client.get(&wanted.url).header(ACCEPT_ENCODING, "identity");
        if let Access::Blob(repository) | Access::Manifest(repository) = &wanted.access
            && let Some(token) = self.registry.authorization(repository).await?
        {
            request = token.apply(request);
        }
        if let Access::Manifest(_) = wanted.access {
            request = request.header(ACCEPT, super::image::DOCUMENT_TYPES.join(", "));
        }
        // Without a validator a changed file would be glued to the beginning of another; only the pin tells, so ask anyway.
        if beginning.size > 0 {
            request = request.header(RANGE, format!("bytes={}-", beginning.size));
            if let Some(validator) = &beginning.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        request.send().await.map_err(|error| no_answer(&wanted.url, &error))
    }
}

/// Runs what reads or syncs a whole file on a thread of its own: the network has one thread, which must not wait for a disk.
async fn beside_the_network<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(|source| FetchError::Task { source })?
}

/// The error for an address that gave no answer, or half of one.
pub(super) fn no_answer(url: &str, error: &reqwest::Error) -> FetchError {
    let host = |url: &reqwest::Url| url.host_str().map(str::to_owned);
    let asked = reqwest::Url::parse(url).ok().as_ref().and_then(host);
    let redirected = error.url().and_then(host).filter(|last| asked.as_ref().is_some_and(|asked| asked != last));
    FetchError::Transport { url: url.to_owned(), redirected, source: Breakdown::of(error) }
}

/// Whether a partial answer begins where we stand.
fn continues_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

/// Takes the body and says what it is, or why it is refused.
async fn receive(
    wanted: &Download,
    mut response: Response,
    beginning: &mut Beginning,
    item: &Item<'_>,
) -> Result<(Digest, u64), FetchError> {
    let url = || wanted.url.clone();
    let announced = response.content_length().map(|rest| beginning.size + rest);
    if let Some(announced) = announced {
        check_size(wanted, announced)?;
        item.set_length(announced);
    }
    item.set_position(beginning.size);
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&wanted.url, &error))? {
        beginning.append(&chunk)?;
        item.set_position(beginning.size);
        let most = wanted.size.unwrap_or(wanted.most);
        if beginning.size > most {
            check_size(wanted, beginning.size)?;
        }
    }
    if let Some(expected) = announced.or(wanted.size)
        && beginning.size < expected
    {
        return Err(FetchError::ShortBody { url: url(), actual: beginning.size, expected });
    }
    check_size(wanted, beginning.size)?;
    let (actual, size) = beginning.digest()?;
    match wanted.digest {
        Some(expected) if expected != actual => Err(FetchError::DigestMismatch { url: url(), expected, actual }),
        _ => Ok((actual, size)),
    }
}

fn check_size(wanted: &Download, actual: u64) -> Result<(), FetchError> {
    match wanted.size {
        Some(expected) if expected != actual => {
            Err(FetchError::SizeMismatch { url: wanted.url.clone(), expected, actual })
        }
        _ if actual > wanted.most => Err(FetchError::TooLarge { url: wanted.url.clone(), most: wanted.most }),
        _ => Ok(()),
    }
}

/// The part of some content that is on disk already, hashed.
struct Beginning {
    path: PathBuf,
    file: File,
    hasher: Hasher<io::Sink>,
    size: u64,
    /// The entity tag or date of the answer that it came from.
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

    /// Empties the file for an answer that begins at 0, and notes what that answer is.
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
