//! apk's database of installed packages.
//!
//! Source: "Apk spec", section "Installed Database V2", in Alpine's wiki.

use std::collections::BTreeMap;

use crate::limits::MAX_PACKAGES;
use crate::package::{Ecosystem, Finding, Package};

/// The packages of `lib/apk/db/installed`.
#[must_use]
pub fn installed(text: &str) -> Finding {
    let mut packages = Vec::new();
    let mut fields = BTreeMap::new();
    // The empty line behind the last package may be missing.
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            packages.extend(package(&fields));
            fields.clear();
            if packages.len() == MAX_PACKAGES {
                break;
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.entry(name).or_insert(value);
        }
    }
    Finding::Packages(packages)
}

fn package(fields: &BTreeMap<&str, &str>) -> Option<Package> {
    let field = |name| fields.get(name).copied().unwrap_or_default();
    let (name, version) = (fields.get("P")?, fields.get("V")?);
    if name.is_empty() {
        return None;
    }
    let origin = if field("o") == *name { "" } else { field("o") };
    let mut package = Package::new(Ecosystem::Apk, name, version).with("arch", field("A")).with("upstream", origin);
    package.licences.extend(fields.get("L").filter(|text| !text.is_empty()).map(|text| (*text).to_owned()));
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_versions_and_licences() {
        let Finding::Packages(packages) =
            installed("P:musl\nV:1.2.3-r4\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:x\n\nP:ssl_client\nV:1\no:busybox")
        else {
            panic!()
        };
        let purls: Vec<_> = packages.iter().filter_map(|package| package.purl(None)).collect();
        assert_eq!(purls, ["pkg:apk/musl@1.2.3-r4?arch=x86_64", "pkg:apk/ssl_client@1?upstream=busybox"]);
        assert_eq!(packages[0].licences, ["MIT"]);
    }
}
