//! After a download failed for want of an answer: which of the servers cannot be reached.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Breakdown, FetchError, Fetcher};
use crate::registry::http_client;
use crate::upstream::{Server, Upstream};

/// A server that says nothing for this long cannot be reached.
const PATIENCE: Duration = Duration::from_secs(10);

impl Fetcher {
    /// Adds to an error for want of an answer which of the servers of `upstream` cannot be reached; other errors stay as they are.
    ///
    /// Each server is asked once, all at the same time. Any answer counts.
    pub async fn explain(&self, error: FetchError, upstream: &Upstream) -> FetchError {
        if !error.is_breakdown() {
            return error;
        }
        let http = self.downloader.session.settings();
        let Ok(client) = http_client(http, reqwest::redirect::Policy::none()) else { return error };
        let mut asked = JoinSet::new();
        for server in upstream.servers(&self.mirrors) {
            let request = client.head(&server.origin).timeout(PATIENCE.min(http.timeout));
            asked.spawn(async move { Some((server, Breakdown::of(&request.send().await.err()?))) });
        }
        let mut failed: Vec<(Server, Breakdown)> = asked.join_all().await.into_iter().flatten().collect();
        failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        if failed.is_empty() { error } else { FetchError::Unreachable { failed, source: Box::new(error) } }
    }
}
