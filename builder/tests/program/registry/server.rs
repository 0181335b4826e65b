//! A registry on loopback that has oddities, keeps what is pushed, and records requests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use kbundle_format::Digest;
use serde_json::{Value, json};

use super::http::{Reply, Request};

/// The authorization that requests need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    #[default]
    Nothing,
    /// A user and a password; only the header of `/v2/` says so.
    Basic,
    /// A token, for everything.
    Bearer,
    /// A token, only for blobs, with a separate scope and token server.
    BearerForBlobs,
    /// Both at once, Basic first.
    Both,
}

/// Whether the registry accepts an index without all of its manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indexes {
    #[default]
    OnlyWhole,
    Sparse,
}

#[derive(Default)]
pub struct State {
    pub demand: Demand,
    pub indexes: Indexes,
    /// By repository and tag or digest: media type and content.
    pub manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// By repository.
    pub blobs: BTreeMap<(String, String), Vec<u8>>,
    /// Blobs on another host, to which a redirect leads.
    pub elsewhere: BTreeSet<String>,
    /// How many pieces of uploads break off in the middle.
    pub broken_pieces: usize,
    uploads: Vec<Vec<u8>>,
    pub requests: Vec<Request>,
}

/// It runs until the process ends.
pub struct Registry {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

/// The first byte that a TLS client sends (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// A part of every password and token in these tests.
pub const SECRET: &str = "s3cret";

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // Clients that hang up are part of the tests.
                thread::spawn(move || drop(handle(&stream, port, &state)));
            }
        });
        Self { port, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Serves a document under its digest, and under a tag if one is given.
    pub fn document(&self, repository: &str, tag: Option<&str>, document: &Value) -> Digest {
        let content = document.to_string().into_bytes();
        let media_type = document["mediaType"].as_str().unwrap().to_owned();
        let digest = Digest::of(&content);
        for name in tag.map(str::to_owned).into_iter().chain([digest.to_string()]) {
            self.state().manifests.insert((repository.to_owned(), name), (media_type.clone(), content.clone()));
        }
        digest
    }

    pub fn blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.state().blobs.insert((repository.to_owned(), digest.to_string()), content.to_vec());
        digest
    }

    /// The requests, as `METHOD PATH`.
    pub fn asked(&self) -> Vec<String> {
        self.state().requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// The authorizations in requests for paths with this prefix.
    pub fn authorizations(&self, path: &str) -> BTreeSet<String> {
        let state = self.state();
        let requests = state.requests.iter().filter(|request| request.path.starts_with(path));
        requests.filter_map(|request| request.header("authorization")).map(str::to_owned).collect()
    }
}

fn handle(stream: &TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    if reader.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
        let mut stream = stream;
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    }
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request::new(method, path, query);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let breaks_off = method == "PATCH" && {
        let mut state = state.lock().unwrap();
        let breaks_off = state.broken_pieces > 0;
        state.broken_pieces -= usize::from(breaks_off);
        breaks_off
    };
    let length = if breaks_off { length / 2 } else { length };
    reader.take(length).read_to_end(&mut request.body)?;
    let reply = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        answer(&mut state, port, &request)
    };
    if !breaks_off {
        reply.write(stream, request.method == "HEAD")?;
    }
    stream.shutdown(Shutdown::Both)
}

fn answer(state: &mut State, port: u16, request: &Request) -> Reply {
    if request.path.starts_with("/token") {
        return token(state, request);
    }
    if let Some(digest) = request.path.strip_prefix("/elsewhere/") {
        let found = state.blobs.iter().find(|((_, known), _)| known == digest);
        return found.map_or(Reply::status(404), |(_, content)| Reply::content("application/octet-stream", content));
    }
    if let Some(refusal) = refusal(state, port, request) {
        return refusal;
    }
    let parts: Vec<&str> = request.path.trim_start_matches("/v2/").split('/').collect();
    match parts.as_slice() {
        [""] => Reply::content("application/json", b"{}"),
        [repository @ .., "manifests", name] => manifest(state, &repository.join("/"), name, request),
        [repository @ .., "blobs", "uploads", id] => upload(state, &repository.join("/"), id, request),
        [repository @ .., "blobs", digest] => blob(state, port, &repository.join("/"), digest),
        _ => Reply::status(404),
    }
}

/// The answer to a request without the demanded authorization.
fn refusal(state: &State, port: u16, request: &Request) -> Option<Reply> {
    let carried = request.header("authorization").unwrap_or_default();
    let is_blob = request.path.contains("/blobs/");
    let bearer = |folder: &str, scope: &str| {
        format!("Bearer realm=\"http://127.0.0.1:{port}/token{folder}\",service=\"test\"{scope}")
    };
    let (good, challenges) = match state.demand {
        Demand::Nothing => return None,
        // Only the root states its demand.
        Demand::Basic if request.path != "/v2/" => (carried.starts_with("Basic "), vec![]),
        Demand::Basic => (carried.starts_with("Basic "), vec!["Basic realm=\"test\"".to_owned()]),
        Demand::BearerForBlobs if !is_blob => return None,
        Demand::BearerForBlobs => (
            carried == format!("Bearer {SECRET}-blobs"),
            vec![bearer("/blobs", ",scope=\"repository:of-blobs:pull other\"")],
        ),
        Demand::Bearer => (carried == format!("Bearer {SECRET}"), vec![bearer("", "")]),
        Demand::Both => {
            (carried == format!("Bearer {SECRET}"), vec!["Basic realm=\"test\"".to_owned(), bearer("", "")])
        }
    };
    if good {
        return None;
    }
    let reply = Reply::error(401, "UNAUTHORIZED", "authentication required");
    Some(challenges.iter().fold(reply, |reply, challenge| reply.with("WWW-Authenticate", challenge)))
}

fn token(state: &State, request: &Request) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    match (state.demand.clone(), request.method.as_str()) {
        (Demand::BearerForBlobs, _) => Reply::json(&json!({ "access_token": format!("{SECRET}-blobs") })),
        (_, "POST")
            if body.contains("grant_type=refresh_token") && body.contains(&format!("refresh_token={SECRET}")) =>
        {
            Reply::json(&json!({ "access_token": SECRET }))
        }
        (_, "GET") if request.header("authorization").is_some_and(|carried| carried.starts_with("Basic ")) => {
            Reply::json(&json!({ "token": SECRET }))
        }
        _ => Reply::status(401),
    }
}

fn manifest(state: &mut State, repository: &str, name: &str, request: &Request) -> Reply {
    let key = (repository.to_owned(), name.to_owned());
    if request.method != "PUT" {
        let Some((media_type, content)) = state.manifests.get(&key) else {
            return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        return Reply::content(media_type, content).with("Docker-Content-Digest", &Digest::of(content).to_string());
    }
    let document: Value = serde_json::from_slice(&request.body).unwrap();
    let named = |field: &str| {
        document[field].as_array().into_iter().flatten().map(|named| named["digest"].as_str().unwrap().to_owned())
    };
    let is_there = |digest: &String| state.manifests.contains_key(&(repository.to_owned(), digest.clone()));
    if state.indexes == Indexes::OnlyWhole && !named("manifests").all(|digest| is_there(&digest)) {
        return Reply::error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    }
    let config = document["config"]["digest"].as_str().map(str::to_owned);
    let has_blob = |digest: &String| state.blobs.contains_key(&(repository.to_owned(), digest.clone()));
    if !config.into_iter().chain(named("layers")).all(|digest| has_blob(&digest)) {
        return Reply::error(400, "BLOB_UNKNOWN", "a blob of the manifest is not here");
    }
    let digest = Digest::of(&request.body).to_string();
    let media_type = request.header("content-type").unwrap().to_owned();
    for name in [name.to_owned(), digest.clone()] {
        state.manifests.insert((repository.to_owned(), name), (media_type.clone(), request.body.clone()));
    }
    Reply::status(201).with("Docker-Content-Digest", &digest)
}

fn blob(state: &State, port: u16, repository: &str, digest: &str) -> Reply {
    if state.elsewhere.contains(digest) {
        return Reply::status(307).with("Location", &format!("http://localhost:{port}/elsewhere/{digest}"));
    }
    match state.blobs.get(&(repository.to_owned(), digest.to_owned())) {
        Some(content) => Reply::content("application/octet-stream", content),
        None => Reply::error(404, "BLOB_UNKNOWN", "blob unknown"),
    }
}

fn upload(state: &mut State, repository: &str, id: &str, request: &Request) -> Reply {
    let here = |id: usize| format!("/v2/{repository}/blobs/uploads/{id}?state=kept");
    if request.method == "POST" {
        let source = request.question("from").map(|source| source.replace("%2F", "/"));
        if let (Some(source), Some(digest)) = (source, request.question("mount"))
            && let Some(content) = state.blobs.get(&(source, digest.clone())).cloned()
        {
            state.blobs.insert((repository.to_owned(), digest), content);
            return Reply::status(201);
        }
        state.uploads.push(Vec::new());
        return Reply::status(202).with("Location", &here(state.uploads.len() - 1));
    }
    let number: usize = id.parse().unwrap();
    let held = state.uploads[number].len();
    let range = |held: usize| format!("0-{}", held.saturating_sub(1));
    match request.method.as_str() {
        "GET" => Reply::status(204).with("Location", &here(number)).with("Range", &range(held)),
        "PATCH" => {
            let begins = request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
            if begins != Some(held) {
                return Reply::status(416);
            }
            state.uploads[number].extend(&request.body);
            Reply::status(202).with("Location", &here(number)).with("Range", &range(held + request.body.len()))
        }
        _ => {
            assert_eq!(request.question("state").as_deref(), Some("kept"), "what the address had is kept");
            let content = state.uploads[number].clone();
            let digest = request.question("digest").unwrap();
            if Digest::of(&content).to_string() != digest {
                return Reply::error(400, "DIGEST_INVALID", "digest does not match");
            }
            state.blobs.insert((repository.to_owned(), digest), content);
            Reply::status(201)
        }
    }
}
