//! Java archives: packages from Maven's files in them, or else from their manifest; also in nested archives.
//!
//! Source: "Maven Archiver" (`META-INF/maven/GROUP/ARTIFACT/pom.properties`) and the JAR file specification (`META-INF/MANIFEST.MF`).

use std::io::{Cursor, Read, Seek};

use zip::ZipArchive;

use crate::limits::{MAX_JAR_BYTES, MAX_JAR_DEPTH, MAX_JAR_FILES, MAX_JAR_TEXT_BYTES};
use crate::package::{Ecosystem, Finding, Package};

const EXTENSIONS: [&str; 4] = [".jar", ".war", ".ear", ".par"];

/// Whether a file of this name is a Java archive.
pub fn is_archive(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.len() > extension.len() && name.ends_with(extension))
}

/// The packages in the archive with this `name`.
#[must_use]
pub fn archive(name: &str, content: impl Read + Seek) -> Finding {
    let mut reader = Reader { packages: Vec::new(), left: MAX_JAR_BYTES };
    match reader.read(name, content, 0) {
        Ok(()) => Finding::Packages(reader.packages),
        Err(reason) => Finding::NotRead(format!("the Java archive {reason}")),
    }
}

struct Reader {
    packages: Vec<Package>,
    /// The number of bytes of content that may still be read.
    left: u64,
}

impl Reader {
    fn read(&mut self, name: &str, content: impl Read + Seek, depth: u32) -> Result<(), String> {
        let mut zip = ZipArchive::new(content).map_err(|error| format!("cannot be read: {error}"))?;
        if zip.len() > MAX_JAR_FILES {
            return Err(format!("has more than {MAX_JAR_FILES} files"));
        }
        let (mut manifest, mut from_maven) = (None, false);
        for index in 0..zip.len() {
            let Some(path) = zip.name_for_index(index).map(str::to_owned) else {
                continue;
            };
            if path == "META-INF/MANIFEST.MF" {
                manifest = Some(self.text(&mut zip, index)?);
            } else if path.starts_with("META-INF/maven/") && path.ends_with("/pom.properties") {
                let package = of_maven(&self.text(&mut zip, index)?);
                from_maven |= package.is_some();
                self.packages.extend(package);
            } else if is_archive(&path) {
                if depth == MAX_JAR_DEPTH {
                    return Err(format!("has archives more than {MAX_JAR_DEPTH} deep"));
                }
                let nested = self.bytes(&mut zip, index, self.left)?;
                self.read(&path, Cursor::new(nested), depth + 1)?;
            }
        }
        if !from_maven {
            self.packages.extend(of_manifest(name, &manifest.unwrap_or_default()));
        }
        Ok(())
    }

    fn text<R: Read + Seek>(&mut self, zip: &mut ZipArchive<R>, index: usize) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.bytes(zip, index, MAX_JAR_TEXT_BYTES)?).into_owned())
    }

    fn bytes<R: Read + Seek>(&mut self, zip: &mut ZipArchive<R>, index: usize, most: u64) -> Result<Vec<u8>, String> {
        let most = most.min(self.left);
        let file = zip.by_index(index).map_err(|error| format!("has a file that cannot be read: {error}"))?;
        let mut bytes = Vec::new();
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("has a file that cannot be read: {error}"))?;
        let size = bytes.len() as u64;
        if size > most {
            return Err("has more content than is read of one".to_owned());
        }
        self.left -= size;
        Ok(bytes)
    }
}

fn of_maven(properties: &str) -> Option<Package> {
    let field = |name: &str| {
        let mut lines = properties.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    };
    let mut package = Package::new(Ecosystem::Maven, field("artifactId")?, field("version")?);
    package.namespace = Some(field("groupId")?.to_owned());
    Some(package)
}

/// The package with the name of the file, and the version from the manifest or from the file's name.
fn of_manifest(name: &str, manifest: &str) -> Option<Package> {
    // The main section ends at the first empty line; a long line continues on the next after a space.
    let manifest = manifest.replace("\r\n", "\n").replace("\n ", "");
    let main = manifest.split("\n\n").next().unwrap_or_default();
    let field = |names: &[&str]| {
        names.iter().find_map(|name| {
            let found = main.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(found.trim()).filter(|value| !value.is_empty())
        })
    };
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let (title, of_name) = split_version(stem);
    let version = field(&["Implementation-Version", "Bundle-Version", "Specification-Version"]).or(of_name)?;
    let mut package = Package::new(Ecosystem::Maven, title, version);
    package.namespace = field(&["Implementation-Vendor-Id"]).map(str::to_owned);
    package.licences = field(&["Bundle-License"]).map(str::to_owned).into_iter().collect();
    Some(package)
}

/// `slf4j-api-1.7.36` is `slf4j-api` in version 1.7.36.
fn split_version(stem: &str) -> (&str, Option<&str>) {
    let places = stem.match_indices('-').map(|(place, _)| place);
    let version = |place: &usize| stem[place + 1..].starts_with(|first: char| first.is_ascii_digit());
    match places.into_iter().find(version) {
        Some(place) => (&stem[..place], Some(&stem[place + 1..])),
        None => (stem, None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn purls(name: &str, bytes: Vec<u8>) -> Vec<String> {
        match archive(name, Cursor::new(bytes)) {
            Finding::Packages(packages) => packages.iter().filter_map(|package| package.purl(None)).collect(),
            other => panic!("{other:?}"),
        }
    }

    const POM: &[u8] = b"#x\nversion=1.2.17\ngroupId=log4j\nartifactId=log4j\n";

    #[test]
    fn archives_within_archives_are_read() {
        let inner = jar(&[("META-INF/maven/log4j/log4j/pom.properties", POM)]);
        let outer = jar(&[
            ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nImplementation-Version: 2\r\n .1\r\n\r\nName: x\r\n"),
            ("BOOT-INF/lib/x.jar", &inner),
        ]);
        assert_eq!(purls("opt/app.jar", outer), ["pkg:maven/log4j/log4j@1.2.17", "pkg:maven/app@2.1"]);
    }

    #[test]
    fn a_name_may_state_the_version() {
        assert_eq!(purls("a/slf4j-api-1.7.36.jar", jar(&[])), ["pkg:maven/slf4j-api@1.7.36"]);
        assert_eq!(purls("a/plain.jar", jar(&[])), [""; 0]);
    }

    #[test]
    fn what_is_too_deep_or_no_archive_is_reported() {
        let mut bytes = jar(&[]);
        for _ in 0..=MAX_JAR_DEPTH {
            bytes = jar(&[("x.jar", &bytes)]);
        }
        assert!(matches!(archive("x.jar", Cursor::new(bytes)), Finding::NotRead(reason) if reason.contains("deep")));
        assert!(matches!(archive("x.jar", Cursor::new(b"none".to_vec())), Finding::NotRead(_)));
    }
}
