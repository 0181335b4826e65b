//! Finds out which servers cannot be reached, after a download got no answer.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Breakdown, FetchError, Fetcher};
use crate::registry::http_client;
use crate::upstream::{Server, Upstream};

/// A server that does not answer within this time counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(10);

impl Fetcher {
    /// If `error` means that a server did not answer, names the servers of `upstream` that cannot be reached. Returns other errors
    /// unchanged.
    ///
    /// Each server is asked once, all in parallel. Any answer counts as reachable.
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
