//! Puts one blob into a registry: by a mount if another repository has it, or else by an upload in pieces.
//!
//! After a broken connection, a piece continues at the registry's own position; an upload that the registry has forgotten begins again.
//! Source: OCI distribution-spec 1.1, "Pushing a blob in chunks" and "Mounting a blob from another repository".

use std::io::{self, Write};
use std::sync::Arc;

use kbundle_format::{Digest, EntryPath, IndexedBundle, ReadError};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::PushError;
use super::copies::carried;
use super::remote::{Remote, refused};
use crate::fetch::progress::Item;
use crate::fetch::{FetchError, Insistence};
use crate::mirror::Repository;
use crate::registry::url;

/// Bytes of a piece: all registries accept this size. Some demand larger pieces, and say so.
const PIECE_BYTES: usize = 4 << 20;
/// The largest piece, whatever a registry demands.
const MAX_PIECE_BYTES: usize = 64 << 20;
const MINIMUM: &str = "OCI-Chunk-Min-Length";

/// How a blob got into the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    Uploaded,
    Mounted,
}

/// A blob for a repository that lacks it.
pub(super) struct BlobUpload<'a> {
    pub remote: &'a Remote,
    pub bundle: &'a Arc<IndexedBundle>,
    pub repository: &'a Repository,
    pub digest: Digest,
}

/// An upload that has begun.
struct Begun {
    /// The address for the next piece.
    location: String,
    piece_bytes: usize,
}

impl BlobUpload<'_> {
    /// Mounts the blob from `source`, or uploads it.
    pub async fn run(&self, source: Option<&Repository>, item: &Item<'_>) -> Result<Transfer, PushError> {
        let uploads = url(self.repository, "blobs/uploads/");
        let address = match source {
            Some(source) => format!("{uploads}?mount={}&from={}", self.digest, source.path),
            None => uploads,
        };
        let response = self.remote.ask(self.repository, &address, begin).await?;
        let begun = match response.status() {
            StatusCode::CREATED => return Ok(Transfer::Mounted),
            StatusCode::ACCEPTED => begun(&address, &response)?,
            _ => return Err(refused(response, self.what()).await),
        };
        self.upload(begun, item).await?;
        Ok(Transfer::Uploaded)
    }

    fn what(&self) -> String {
        format!("to store blob {} in {}", self.digest, self.repository.path)
    }

    async fn upload(&self, begun: Begun, item: &Item<'_>) -> Result<(), PushError> {
        let Some(entry) = carried(self.bundle, &self.digest) else {
            return Err(PushError::Missing { path: EntryPath::blob(&self.digest) });
        };
        let (sender, mut pieces) = mpsc::channel(1);
        let (bundle, entry) = (Arc::clone(self.bundle), entry.clone());
        let piece_bytes = begun.piece_bytes;
        let reading = tokio::task::spawn_blocking(move || {
            let mut sink = Pieces { sender, piece: Vec::new(), piece_bytes };
            bundle.copy_entry(&entry, &mut sink)?;
            // It fails only if the upload has failed, whose own error says why.
            drop(sink.flush());
            Ok::<(), ReadError>(())
        });
        let mut location = begun.location;
        let mut offset = 0;
        while let Some(piece) = pieces.recv().await {
            location = self.send(location, &piece, offset).await?;
            offset += piece.len() as u64;
            item.set_position(offset);
        }
        // The blob gets its name only after its whole content was compared with the list.
        reading.await.map_err(|source| PushError::Registry(FetchError::Task { source }))??;
        self.finish(&location).await
    }

    /// Sends a piece that begins at `offset`; returns the address for the next one.
    async fn send(&self, location: String, piece: &[u8], offset: u64) -> Result<String, PushError> {
        let mut is_first = true;
        let attempt = || {
            let is_first = std::mem::replace(&mut is_first, false);
            let location = location.clone();
            async move {
                let (location, sent) =
                    if is_first { (location, 0) } else { self.progress(&location, offset, piece.len()).await? };
                if sent == piece.len() {
                    return Ok(Ok(location));
                }
                let from = offset + sent as u64;
                self.patch(location, &piece[sent..], from).await
            }
        };
        self.remote.retry.run(&location, Insistence::TriesAgain, attempt).await?
    }

    async fn patch(&self, location: String, piece: &[u8], from: u64) -> Result<Result<String, PushError>, FetchError> {
        let range = format!("{from}-{}", from + piece.len() as u64 - 1);
        let patch = |client: &Client, url: Url| {
            let request = client.patch(url).header(CONTENT_TYPE, "application/octet-stream");
            request.header(CONTENT_RANGE, &range).body(piece.to_vec())
        };
        let response = self.remote.once(self.repository, &location, &patch).await?;
        if response.status().is_success() {
            Ok(Ok(next_location(&location, &response).unwrap_or(location)))
        } else {
            Ok(Err(refused(response, self.what()).await))
        }
    }

    /// How much of a piece the registry has after the connection broke, and the address for the rest.
    async fn progress(&self, location: &str, offset: u64, length: usize) -> Result<(String, usize), FetchError> {
        let response = self.remote.once(self.repository, location, &|client: &Client, url| client.get(url)).await?;
        let range = response.headers().get(RANGE).and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.trim_start_matches("bytes=").strip_prefix("0-")?.parse::<u64>().ok());
        let there = next_location(location, &response).unwrap_or_else(|| location.to_owned());
        // An empty upload has the range 0-0, and so has an upload of a single byte.
        let has = last.map_or(0, |last| if last == 0 { 0 } else { last + 1 });
        let sent = usize::try_from(has.saturating_sub(offset)).unwrap_or(usize::MAX);
        if response.status().is_success() && has >= offset && sent <= length {
            Ok((there, sent))
        } else {
            let (url, status) = (location.to_owned(), response.status());
            Err(FetchError::Status { url, status, retry_after: None })
        }
    }

    async fn finish(&self, location: &str) -> Result<(), PushError> {
        let mut address = Url::parse(location).map_err(|_| FetchError::Address { url: location.to_owned() })?;
        address.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        let put = |client: &Client, url: Url| client.put(url).header(CONTENT_LENGTH, 0);
        let response = self.remote.ask(self.repository, address.as_str(), put).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response, self.what()).await) }
    }
}

fn begin(client: &Client, url: Url) -> reqwest::RequestBuilder {
    client.post(url).header(CONTENT_LENGTH, 0)
}

fn begun(address: &str, response: &Response) -> Result<Begun, PushError> {
    let location = next_location(address, response).ok_or_else(|| FetchError::Address { url: String::new() })?;
    let minimum = response.headers().get(MINIMUM).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    Ok(Begun { location, piece_bytes: minimum.unwrap_or(0).clamp(PIECE_BYTES, MAX_PIECE_BYTES) })
}

/// The address of the header `Location`, which may be relative.
fn next_location(asked: &str, response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    Some(Url::parse(asked).ok()?.join(location).ok()?.to_string())
}

/// Passes content on in pieces of the same size.
struct Pieces {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    piece_bytes: usize,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.piece_bytes - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == self.piece_bytes {
            self.flush()?;
        }
        Ok(taken)
    }

    /// Passes on the collected content; also called at the end.
    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        // Nobody receives it any more: the upload failed, and its own error says why.
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
