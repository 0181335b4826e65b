//! Archives of charts: made from a folder, with the same bytes each time; and the name and version in an archive.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use fs_err as fs;
use serde::Deserialize;

use super::ignore::Ignore;

/// The file that a chart's folder has.
const CHART_FILE: &str = "Chart.yaml";
/// Most bytes of a chart, unpacked; Helm's own limit (`archive.go`, `MaxDecompressedChartSize`) is 100 MiB.
const MAX_BYTES: u64 = 64 << 20;
/// Limit of nested folders.
const MAX_DEPTH: usize = 16;

/// The name and version in a chart's Chart.yaml.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ChartIdentity {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl ChartIdentity {
    /// Those in the archive `content`: from the Chart.yaml in its only folder.
    pub fn of(content: &[u8]) -> io::Result<Self> {
        let no_archive = |error: io::Error| invalid(format!("it is not an archive of a chart: {error}"));
        let mut archive = tar::Archive::new(GzDecoder::new(content).take(MAX_BYTES));
        for entry in archive.entries().map_err(no_archive)? {
            let mut entry = entry.map_err(no_archive)?;
            let path = entry.path()?.into_owned();
            if path.components().count() == 2 && path.file_name().is_some_and(|name| name == CHART_FILE) {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                return Self::parse(&text);
            }
        }
        Err(invalid(format!("the archive has no {CHART_FILE}")))
    }

    fn parse(text: &str) -> io::Result<Self> {
        serde_yaml::from_str(text).map_err(|error| invalid(format!("{CHART_FILE}: {error}")))
    }
}

/// The archive of a chart's folder, as by `helm package`, but without times, owners and compression: the bundle itself is compressed, and
/// another version of a compression library may give other bytes.
///
/// # Errors
/// Also for links to folders, devices, and charts that are too large.
pub(crate) fn package(folder: &Path) -> io::Result<Vec<u8>> {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let identity = ChartIdentity::parse(&read(CHART_FILE)?)?;
    let rules = match read(".helmignore") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut files = Vec::new();
    list(folder, "", &Ignore::parse(&rules)?, MAX_DEPTH, &mut files)?;
    files.sort();
    let mut archive = tar::Builder::new(Vec::new());
    let mut total = 0;
    for file in files {
        let content = read_bounded(&folder.join(&file), MAX_BYTES - total)?;
        total += content.len() as u64;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{}/{file}", identity.name), content.as_slice())?;
    }
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::none());
    packed.write_all(&archive.into_inner()?)?;
    packed.finish()
}

/// The files below `folder`; their paths are relative to the chart's folder.
fn list(chart: &Path, folder: &str, ignore: &Ignore, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    if depth == 0 {
        return Err(invalid(format!("{folder} lies in too many folders")));
    }
    for entry in fs::read_dir(chart.join(folder))? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| invalid(format!("{} is not a name in UTF-8", name.display())))?;
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if ignore.ignores(&path, kind.is_dir()) {
            continue;
        }
        if kind.is_dir() {
            list(chart, &path, ignore, depth - 1, files)?;
        } else if fs::metadata(entry.path())?.is_file() {
            files.push(path);
        } else {
            return Err(invalid(format!("{path} is neither a file nor a folder")));
        }
    }
    Ok(())
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(invalid(format!("the chart is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("templates")).unwrap();
        for (name, text) in [
            ("Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3\n"),
            ("templates/b.yaml", "b"),
            ("templates/a.yaml", "a"),
            ("notes.bak", "no"),
            (".helmignore", "# old files\n*.bak\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_gives_the_same_archive_each_time() {
        let packed = package(chart().path()).unwrap();
        assert_eq!(packed, package(chart().path()).unwrap());
        let mut archive = tar::Archive::new(GzDecoder::new(packed.as_slice()));
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["app/.helmignore", "app/Chart.yaml", "app/templates/a.yaml", "app/templates/b.yaml"]);
        assert_eq!(
            ChartIdentity::of(&packed).unwrap(),
            ChartIdentity { name: "app".to_owned(), version: "1.2.3".to_owned() }
        );
    }

    #[test]
    fn what_is_no_chart_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(package(empty.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(ChartIdentity::of(b"text").unwrap_err().to_string().starts_with("it is not an archive of a chart"));
        let folder = chart();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("endless")).unwrap();
        assert_eq!(package(folder.path()).unwrap_err().to_string(), "endless is neither a file nor a folder");
    }
}
