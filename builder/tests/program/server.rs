//! An HTTP server on loopback that gives each request a scripted answer, including false ones.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The answer to one request.
#[derive(Clone)]
pub enum Answer {
    /// Like a good server: with ranges and an entity tag.
    Content(Vec<u8>),
    /// The whole content, whatever range was asked for.
    WithoutRange(Vec<u8>),
    /// The length of the whole content, but only this many bytes of it.
    CutOff(Vec<u8>, usize),
    /// This many bytes of it, and then silence.
    Stalls(Vec<u8>, usize),
    /// An empty answer of this status.
    Status(u16),
    /// Status 429, with the request to come again after this many seconds.
    TooMany(u64),
    /// A redirection to this path.
    Redirect(String),
    /// A demand for a bearer token, which `/token` gives. A request with the token gets the content.
    Behind(&'static str, Vec<u8>),
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
    authorization: Option<String>,
}

/// Stands for every path without answers of its own.
const ALL_ELSE: &str = "*";

type Answers = HashMap<String, VecDeque<Answer>>;

/// It runs until the process ends.
pub struct Server {
    port: u16,
    answers: Arc<Mutex<Answers>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let server = Self { port, answers: Arc::clone(&answers), requests: Arc::clone(&requests) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, requests) = (Arc::clone(&answers), Arc::clone(&requests));
                // Clients that hang up are part of the tests.
                thread::spawn(move || drop(handle(stream, port, &answers, &requests)));
            }
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers every request for `path` with `content`.
    pub fn serve(&self, path: &str, content: &[u8]) {
        self.answer(path, [Answer::Content(content.to_vec())]);
    }

    /// Answers requests for `path` with `answers` in turn; the last one from then on.
    pub fn answer(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().insert(path.to_owned(), answers.into_iter().collect());
    }

    /// Answers all other requests with `content`.
    pub fn answer_all_else(&self, content: &[u8]) {
        self.serve(ALL_ELSE, content);
    }

    /// The requests for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.requests.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }
}

fn handle(
    stream: TcpStream,
    port: u16,
    answers: &Mutex<Answers>,
    requests: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(request) = read_request(&mut reader)? else { return Ok(()) };
    requests.lock().unwrap().push(request.clone());
    let answer = {
        let mut answers = answers.lock().unwrap();
        let path = if answers.contains_key(&request.path) { &request.path } else { ALL_ELSE };
        match answers.get_mut(path) {
            Some(queue) if queue.len() > 1 => queue.pop_front(),
            Some(queue) => queue.front().cloned(),
            None => None,
        }
    };
    let mut stream = stream;
    let answer = answer.unwrap_or(Answer::Status(404));
    if request.method == "HEAD" {
        let mut whole = Vec::new();
        give(&mut whole, port, &request, answer)?;
        let end = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
        stream.write_all(&whole[..end])?;
    } else {
        give(&mut stream, port, &request, answer)?;
    }
    stream.flush()?;
    stream.shutdown(Shutdown::Both)
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let Some((method, rest)) = first.split_once(' ') else { return Ok(None) };
    let Some(target) = rest.split(' ').next() else { return Ok(None) };
    let path = target.split('?').next().unwrap_or(target).to_owned();
    let mut request = Request { method: method.to_owned(), path, range: None, if_range: None, authorization: None };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { return Ok(Some(request)) };
        let field = match name.to_ascii_lowercase().as_str() {
            "range" => &mut request.range,
            "if-range" => &mut request.if_range,
            "authorization" => &mut request.authorization,
            _ => continue,
        };
        *field = Some(value.to_owned());
    }
}

fn give(stream: &mut impl Write, port: u16, request: &Request, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Content(content) => content_answer(stream, request, &content),
        Answer::WithoutRange(content) => {
            head(stream, 200, content.len(), "")?;
            stream.write_all(&content)
        }
        Answer::CutOff(content, length) => {
            head(stream, 200, content.len(), "ETag: \"cut\"\r\n")?;
            stream.write_all(&content[..length])
        }
        Answer::Stalls(content, length) => {
            head(stream, 200, content.len(), "ETag: \"cut\"\r\n")?;
            stream.write_all(&content[..length])?;
            stream.flush()?;
            thread::sleep(Duration::from_secs(5));
            Ok(())
        }
        Answer::Status(status) => head(stream, status, 0, ""),
        Answer::TooMany(seconds) => head(stream, 429, 0, &format!("Retry-After: {seconds}\r\n")),
        Answer::Redirect(path) => head(stream, 302, 0, &format!("Location: http://127.0.0.1:{port}{path}\r\n")),
        Answer::Behind(token, content) => {
            if request.authorization.as_deref() == Some(&format!("Bearer {token}")) {
                return content_answer(stream, request, &content);
            }
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"test\"\r\n");
            head(stream, 401, 0, &challenge)
        }
    }
}

fn content_answer(stream: &mut impl Write, request: &Request, content: &[u8]) -> std::io::Result<()> {
    let start =
        request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match start {
        Some(start) if request.if_range.as_deref().is_none_or(|tag| tag == "\"cut\"") && start < content.len() => {
            let range = format!("Content-Range: bytes {start}-{}/{}\r\n", content.len() - 1, content.len());
            head(stream, 206, content.len() - start, &range)?;
            stream.write_all(&content[start..])
        }
        _ => {
            head(stream, 200, content.len(), "ETag: \"cut\"\r\n")?;
            stream.write_all(content)
        }
    }
}

fn head(stream: &mut impl Write, status: u16, length: usize, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
}
