//! Makes a file of advisories.
//!
//! The file is a tar in one zstd frame: the manifest, its signatures, the records, the VEX documents. The same records and documents give the
//! same bytes, whatever their order and wherever they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err as fs;
use kbundle_format::key_notes::Day;
use kbundle_format::list::canonical_json;
use kbundle_format::tar_layer::{END, TarHeader};
use kbundle_format::{Digest, EntryPath, Hasher, SignatureFile, SigningKey};
use tempfile::SpooledTempFile;

use crate::ecosystem::Ecosystem;
use crate::limits::{MAX_INPUT_BYTES, MAX_RECORDS, MAX_VEX_BYTES, MAX_VEX_DOCUMENTS, WINDOW_LOG};
use crate::manifest::{FORMAT_VERSION, MANIFEST_PATH, Manifest, RECORDS_PATH, Stored};
use crate::osv::{self, Parsed};
use crate::pack_error::PackError;
use crate::record::Record;
use crate::sources;
use crate::vex::Document;

/// The memory for records before they go to a temporary file.
const SPOOL_BYTES: usize = 16 << 20;
/// zstd's level: records are packed once and read often.
const LEVEL: i32 = 12;
/// An earlier date means that a database has none: Go's writes year 1.
const FIRST_DAY: &str = "1990-01-01";

fn writing(source: io::Error) -> PackError {
    PackError::Write { source }
}

/// Collects records and documents.
pub struct Packer {
    /// Records, one on each line, in the order in which they were added.
    spool: SpooledTempFile,
    end: u64,
    records: BTreeMap<String, Line>,
    withdrawn: BTreeSet<String>,
    elsewhere: usize,
    ecosystems: Vec<String>,
    documents: BTreeMap<Digest, Vec<u8>>,
    read_bytes: u64,
}

/// A record in the spool.
struct Line {
    start: u64,
    length: usize,
    modified: String,
    digest: Digest,
    /// Indexes into the packer's list of names.
    ecosystems: Vec<u16>,
}

/// A complete file of advisories, ready to be written.
pub struct Packed {
    /// Its manifest.
    pub manifest: Manifest,
    spool: SpooledTempFile,
    lines: Vec<(u64, usize)>,
    documents: BTreeMap<Digest, Vec<u8>>,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            spool: SpooledTempFile::new(SPOOL_BYTES),
            end: 0,
            records: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            elsewhere: 0,
            ecosystems: Vec::new(),
            documents: BTreeMap::new(),
            read_bytes: 0,
        }
    }
}

impl Packer {
    /// Adds all records of a folder or a zip. Of two records with the same name, the one that was changed last counts; if one of them says
    /// that it was withdrawn, none counts.
    ///
    /// # Errors
    /// [`PackError`] for the first file that is not a record.
    pub fn add(&mut self, path: &Path) -> Result<(), PackError> {
        sources::for_each(path, &mut |name, bytes| {
            self.read_bytes += bytes.len() as u64;
            if self.read_bytes > MAX_INPUT_BYTES {
                return Err(PackError::TooMuch { what: "bytes of records" });
            }
            match osv::parse(&bytes).map_err(|reason| PackError::Record { name: name.to_owned(), reason })? {
                Parsed::Record(record) => self.add_record(&record),
                Parsed::Withdrawn(id) => {
                    self.withdrawn.insert(id);
                    Ok(())
                }
                Parsed::Elsewhere => {
                    self.elsewhere += 1;
                    Ok(())
                }
            }
        })
    }

    fn add_record(&mut self, record: &Record) -> Result<(), PackError> {
        let mut line = canonical_json(record);
        line.push(b'\n');
        let digest = Digest::of(&line);
        let newer = |line: &Line| (line.modified.as_str(), line.digest) >= (record.modified.as_str(), digest);
        if self.records.get(&record.id).is_some_and(newer) {
            return Ok(());
        }
        if self.records.len() == MAX_RECORDS {
            return Err(PackError::TooMuch { what: "records" });
        }
        self.spool.write_all(&line).map_err(writing)?;
        let keys: BTreeSet<_> = record
            .affected
            .iter()
            .filter_map(|affected| Ecosystem::of_osv(&affected.ecosystem))
            .map(|of| of.key)
            .collect();
        let ecosystems = keys.into_iter().map(|key| self.place_of(key)).collect::<Result<_, _>>()?;
        let modified = record.modified.clone();
        self.records
            .insert(record.id.clone(), Line { start: self.end, length: line.len(), modified, digest, ecosystems });
        self.end += line.len() as u64;
        Ok(())
    }

    fn place_of(&mut self, key: String) -> Result<u16, PackError> {
        let place = self.ecosystems.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.ecosystems.push(key);
            self.ecosystems.len() - 1
        });
        u16::try_from(place).map_err(|_| PackError::TooMuch { what: "ecosystems" })
    }

    /// Takes a VEX document.
    ///
    /// # Errors
    /// [`PackError`].
    pub fn add_vex(&mut self, path: &Path) -> Result<(), PackError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(MAX_VEX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|source| PackError::Read { path: name.clone(), source })?;
        if bytes.len() as u64 > MAX_VEX_BYTES || self.documents.len() == MAX_VEX_DOCUMENTS {
            return Err(PackError::TooMuch { what: "VEX documents or bytes of one" });
        }
        Document::parse(&bytes).map_err(|source| PackError::Vex { name, source })?;
        self.documents.insert(Digest::of(&bytes), bytes);
        Ok(())
    }

    /// Ends the collection. `day` is the day of the data, if its maker states one; otherwise the day of the newest change is used.
    ///
    /// # Errors
    /// [`PackError::Nothing`] when there is no record; the error of the spool.
    pub fn finish(mut self, day: Option<Day>) -> Result<Packed, PackError> {
        self.records.retain(|id, _| !self.withdrawn.contains(id));
        if self.records.is_empty() {
            return Err(PackError::Nothing);
        }
        let newest = self.records.values().filter_map(|line| line.modified.get(..10)?.parse::<Day>().ok()).max();
        let first: Day = FIRST_DAY.parse().expect("a day");
        let mut ecosystems: BTreeMap<String, usize> = BTreeMap::new();
        for place in self.records.values().flat_map(|line| &line.ecosystems) {
            *ecosystems.entry(self.ecosystems[usize::from(*place)].clone()).or_default() += 1;
        }
        let lines: Vec<_> = self.records.values().map(|line| (line.start, line.length)).collect();
        let mut hasher = Hasher::new(io::sink());
        copy_lines(&mut self.spool, &lines, &mut hasher)?;
        let (digest, size_bytes, _) = hasher.finish();
        let stored = Stored { path: path(RECORDS_PATH), digest, size_bytes };
        let documents = self.documents.iter().zip(1..).map(|((digest, bytes), number)| Stored {
            path: path(&format!("vex/{number}.json")),
            digest: *digest,
            size_bytes: bytes.len() as u64,
        });
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            day: day.or(newest.filter(|newest| *newest >= first)),
            records: lines.len(),
            withdrawn: self.withdrawn.len(),
            elsewhere: self.elsewhere,
            ecosystems,
            files: [stored].into_iter().chain(documents).collect(),
        };
        Ok(Packed { manifest, spool: self.spool, lines, documents: self.documents })
    }
}

fn path(text: &str) -> EntryPath {
    text.parse().expect("a plain path")
}

fn copy_lines(spool: &mut SpooledTempFile, lines: &[(u64, usize)], sink: &mut impl Write) -> Result<(), PackError> {
    let mut buffer = Vec::new();
    for (start, length) in lines {
        spool.seek(SeekFrom::Start(*start)).map_err(writing)?;
        buffer.resize(*length, 0);
        spool.read_exact(&mut buffer).map_err(writing)?;
        sink.write_all(&buffer).map_err(writing)?;
    }
    Ok(())
}

impl Packed {
    /// Writes the file, signed by `keys`.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn write(&mut self, keys: &[&SigningKey], out: &mut dyn Write) -> Result<(), PackError> {
        let manifest = canonical_json(&self.manifest);
        let mut encoder = zstd::Encoder::new(BufWriter::new(out), LEVEL).map_err(writing)?;
        encoder.window_log(WINDOW_LOG).and_then(|()| encoder.include_checksum(true)).map_err(writing)?;
        file(&mut encoder, &TarHeader::of_file(path(MANIFEST_PATH), manifest.len() as u64), &manifest)?;
        for key in keys {
            let signature = SignatureFile::sign(&manifest, key);
            let header = TarHeader::of_signature(&signature).expect("the name of a signature is a path");
            file(&mut encoder, &header, &signature.content)?;
        }
        let mut stored = self.manifest.files.iter();
        let records = stored.next().expect("the records come first");
        let header = TarHeader::of_file(records.path.clone(), records.size_bytes);
        encoder.write_all(&header.to_block()).map_err(writing)?;
        copy_lines(&mut self.spool, &self.lines, &mut encoder)?;
        encoder.write_all(&vec![0; header.padding()]).map_err(writing)?;
        for (stored, bytes) in stored.zip(self.documents.values()) {
            file(&mut encoder, &TarHeader::of_file(stored.path.clone(), stored.size_bytes), bytes)?;
        }
        encoder.write_all(&END).map_err(writing)?;
        encoder.finish().and_then(|mut out| out.flush()).map_err(writing)
    }
}

fn file(out: &mut impl Write, header: &TarHeader, content: &[u8]) -> Result<(), PackError> {
    let padding = vec![0; header.padding()];
    [&header.to_block()[..], content, &padding].iter().try_for_each(|part| out.write_all(part)).map_err(writing)
}
