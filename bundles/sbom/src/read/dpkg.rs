//! dpkg's database and the copyright files of its packages.
//!
//! Source: dpkg-query(1), deb-control(5); distroless images have a file for each package below `status.d`. Copyright files: "Machine-readable
//! debian/copyright file" 1.0.

use super::text::{Paragraph, paragraphs};
use crate::limits::MAX_PACKAGES;
use crate::package::{Ecosystem, Finding, Package};

/// The packages in `status` or in a file below `status.d`. Removed packages whose configuration was kept do not count.
#[must_use]
pub fn status(text: &str) -> Finding {
    Finding::Packages(paragraphs(text).filter_map(|paragraph| package(&paragraph)).take(MAX_PACKAGES).collect())
}

fn package(fields: &Paragraph<'_>) -> Option<Package> {
    let (name, version) = (fields.get("Package")?, fields.get("Version")?);
    // distroless leaves the field out.
    let installed = fields.get("Status").is_none_or(|status| {
        !status.split(' ').any(|word| word == "deinstall" || word == "not-installed" || word == "config-files")
    });
    if name.is_empty() || !installed {
        return None;
    }
    let package =
        Package::new(Ecosystem::Deb, name, version).with("arch", fields.get("Architecture").unwrap_or_default());
    Some(package.with("upstream", &source(fields.get("Source").unwrap_or_default())))
}

/// `glibc (2.36-9)` in the form of the qualifier `upstream`.
fn source(text: &str) -> String {
    match text.split_once(" (") {
        Some((name, version)) => format!("{name}@{}", version.trim_end_matches(')')),
        None => text.to_owned(),
    }
}

/// The licences that the copyright file of `package` names; of files in free text none.
#[must_use]
pub fn copyright(package: &str, text: &str) -> Finding {
    let mut licences = Vec::new();
    if text.lines().take(5).any(|line| line.starts_with("Format:") || line.starts_with("Format-Specification:")) {
        let lines = text.lines().filter_map(|line| line.strip_prefix("License:"));
        licences = lines.map(|name| name.trim().to_owned()).filter(|name| is_short_name(name)).collect();
        licences.sort();
        licences.dedup();
    }
    Finding::DebianLicences { package: package.to_owned(), licences }
}

fn is_short_name(text: &str) -> bool {
    (1..=200).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_do_not_count() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nSource: src (1:2)\nVersion: 1\nDescription: x\n Version: 9\n\n\n\
            Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\nPackage: c\nVersion: 3\n";
        let Finding::Packages(packages) = status(text) else { panic!() };
        let purls: Vec<_> = packages.iter().filter_map(|package| package.purl(None)).collect();
        assert_eq!(purls, ["pkg:deb/a@1?arch=amd64&upstream=src%401:2", "pkg:deb/c@3"]);
    }

    #[test]
    fn copyright_files_of_the_known_form_name_licences() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: MIT\n\nFiles: b\nLicense: GPL-2+\n text\nLicense: MIT\n";
        assert_eq!(
            copyright("a", text),
            Finding::DebianLicences { package: "a".to_owned(), licences: vec!["GPL-2+".to_owned(), "MIT".to_owned()] }
        );
        assert_eq!(
            copyright("a", "License: MIT\n"),
            Finding::DebianLicences { package: "a".to_owned(), licences: vec![] }
        );
    }
}
