//! OSV records in folders and zips, one at a time.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use zip::ZipArchive;

use crate::limits::{MAX_FILES, MAX_RECORD_BYTES};
use crate::pack_error::PackError;

/// Limit of nested folders; GitHub's database has four levels.
const MAX_DEPTH: usize = 16;

/// Receives a file: its name for messages, and its content.
pub type Task<'a> = dyn FnMut(&str, Vec<u8>) -> Result<(), PackError> + 'a;

/// Passes each file in `path` whose name ends in `.json` to `task`, with its name for messages. Links in folders are skipped.
pub fn for_each(path: &Path, task: &mut Task<'_>) -> Result<(), PackError> {
    if path.is_dir() {
        let mut files = Vec::new();
        list(path, 0, &mut files)?;
        files.sort();
        for file in files {
            let name = file.display().to_string();
            let bytes = bounded(fs::File::open(&file), &name)?;
            task(&name, bytes)?;
        }
        return Ok(());
    }
    let of_zip = |reason: String| PackError::Zip { path: path.to_owned(), reason };
    let opened = fs::File::open(path).map_err(|source| PackError::Read { path: path.display().to_string(), source })?;
    let mut zip = ZipArchive::new(opened).map_err(|error| of_zip(error.to_string()))?;
    if zip.len() > MAX_FILES {
        return Err(of_zip(format!("it has more than {MAX_FILES} files")));
    }
    for index in 0..zip.len() {
        let file = zip.by_index(index).map_err(|error| of_zip(error.to_string()))?;
        if !file.is_file() || !is_record(Path::new(file.name())) {
            continue;
        }
        let shown: String = file.name().chars().filter(|letter| !letter.is_control()).collect();
        let name = format!("{} of {}", shown, path.display());
        let bytes = bounded(Ok(file), &name)?;
        task(&name, bytes)?;
    }
    Ok(())
}

fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json")
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), PackError> {
    let read = |source| PackError::Read { path: folder.display().to_string(), source };
    for item in fs::read_dir(folder).map_err(read)? {
        let item = item.map_err(read)?;
        let (kind, path) = (item.file_type().map_err(read)?, item.path());
        if kind.is_dir() && depth < MAX_DEPTH {
            list(&path, depth + 1, files)?;
        } else if kind.is_file() && is_record(&path) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(PackError::TooMuch { what: "files" });
        }
    }
    Ok(())
}

/// The content of a record, whose size is limited.
fn bounded(content: io::Result<impl Read>, name: &str) -> Result<Vec<u8>, PackError> {
    let mut bytes = Vec::new();
    let read = content.and_then(|content| content.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|source| PackError::Read { path: name.to_owned(), source })?;
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        let reason = format!("it has more than {MAX_RECORD_BYTES} bytes");
        return Err(PackError::Record { name: name.to_owned(), reason });
    }
    Ok(bytes)
}
