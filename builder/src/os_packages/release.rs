//! The document of a suite: it is signed and lists the suite's indexes by digest.

use std::collections::BTreeMap;
use std::time::SystemTime;

use deb822_fast::Paragraph;
use kbundle_format::Digest;

use super::OsPackageError;

/// An index, with its digest and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its addresses below the suite, in the order to try them.
    pub paths: Vec<String>,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How it is compressed.
    pub compression: Compression,
}

/// How an index is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `.xz`
    Xz,
    /// `.gz`
    Gzip,
}

/// The forms of indexes that kbundle reads, the smallest first.
const FORMS: [(&str, Compression); 2] = [("xz", Compression::Xz), ("gz", Compression::Gzip)];

/// The document of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    names: Vec<String>,
    valid_until: Option<String>,
    by_hash: bool,
    files: BTreeMap<String, (Digest, u64)>,
}

impl Release {
    /// Reads the signed text of a document that came from `url`.
    ///
    /// # Errors
    /// [`OsPackageError::Release`].
    pub fn parse(text: &str, url: &str) -> Result<Self, OsPackageError> {
        let refuse = |reason: String| OsPackageError::Release { url: url.to_owned(), reason };
        let fields: Paragraph = text.trim_start().parse().map_err(|error| refuse(format!("{error}")))?;
        let sums = fields.get("SHA256").ok_or_else(|| refuse("it has no SHA256 digests".to_owned()))?;
        let lines = sums.lines().map(str::trim).filter(|line| !line.is_empty());
        let files =
            lines.map(|line| file(line).ok_or_else(|| refuse(format!("`{line}` is not a digest, size and name"))));
        Ok(Self {
            names: ["Suite", "Codename"].iter().filter_map(|field| fields.get(field)).map(str::to_owned).collect(),
            valid_until: fields.get("Valid-Until").map(str::to_owned),
            by_hash: fields.get("Acquire-By-Hash").is_some_and(|value| value == "yes"),
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// Refuses a document of another suite, which a mirror may give, and an expired one, which may hide later updates.
    ///
    /// # Errors
    /// [`OsPackageError::Suite`], [`OsPackageError::Expired`] or [`OsPackageError::Release`].
    pub fn check(&self, suite: &str, url: &str, now: SystemTime) -> Result<(), OsPackageError> {
        // Debian's former suites have a path behind the name, such as `stable/updates`.
        if !self.names.iter().any(|name| name == suite) {
            let (wanted, found) = (suite.to_owned(), self.names.join(", "));
            return Err(OsPackageError::Suite { url: url.to_owned(), wanted, found });
        }
        let Some(until) = &self.valid_until else { return Ok(()) };
        // Dates have the form of RFC 5322 with `UTC`; HTTP's have `GMT` instead.
        let end = httpdate::parse_http_date(&until.replace("UTC", "GMT"))
            .map_err(|_| OsPackageError::Release { url: url.to_owned(), reason: format!("`{until}` is not a date") })?;
        if end < now {
            return Err(OsPackageError::Expired { url: url.to_owned(), until: until.clone() });
        }
        Ok(())
    }

    /// The index of a component for an architecture.
    #[must_use]
    pub fn index(&self, component: &str, architecture: &str) -> Option<IndexFile> {
        let folder = format!("{component}/binary-{architecture}");
        FORMS.iter().find_map(|&(ending, compression)| {
            let path = format!("{folder}/Packages.{ending}");
            let &(digest, size) = self.files.get(&path)?;
            // An index remains available under its digest while a mirror is updated.
            let by_hash = self.by_hash.then(|| format!("{folder}/by-hash/SHA256/{}", digest.hex()));
            Some(IndexFile { paths: by_hash.into_iter().chain([path]).collect(), digest, size, compression })
        })
    }
}

/// The digest, size and name of a line.
fn file(line: &str) -> Option<(String, (Digest, u64))> {
    let mut words = line.split_ascii_whitespace();
    let (digest, size, name) = (words.next()?, words.next()?, words.next()?);
    Some((name.to_owned(), (Digest::from_hex(digest).ok()?, size.parse().ok()?)))
}
