//! Requests and replies of the registry of these tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str, query: &str) -> Self {
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        Self { method, path, query, headers: BTreeMap::new(), body: Vec::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A value of the query.
    pub fn question(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value.replace("%3A", ":"));
        found.next()
    }
}

pub struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: Vec::new() }
    }

    pub fn content(media_type: &str, content: &[u8]) -> Self {
        Self { body: content.to_vec(), ..Self::status(200) }.with("Content-Type", media_type)
    }

    pub fn json(value: &Value) -> Self {
        Self::content("application/json", value.to_string().as_bytes())
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self { status, ..Self::json(&json!({ "errors": [{ "code": code, "message": message }] })) }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    pub fn write(&self, mut stream: &TcpStream, is_head: bool) -> std::io::Result<()> {
        let Self { status, headers, body } = self;
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n")?;
        if is_head { Ok(()) } else { stream.write_all(body) }
    }
}
