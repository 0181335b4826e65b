//! The crates of a Rust program that was built with `cargo auditable`.
//!
//! Source: `PARSING.md` of rust-secure-code/cargo-auditable: JSON, compressed by zlib, in the section `.dep-v0`.

use std::io::Read as _;

use auditable_serde::{DependencyKind, Source, VersionInfo};
use flate2::read::ZlibDecoder;

use super::sections::Sections;
use crate::limits::{MAX_BUILD_INFO_BYTES, MAX_PACKAGES};
use crate::package::{Ecosystem, Package};

/// The crates; `None` if the program does not list them.
pub fn packages(elf: &impl Sections) -> Option<Result<Vec<Package>, String>> {
    let section = elf.section(".dep-v0")?;
    let mut json = Vec::new();
    let read = ZlibDecoder::new(section).take(MAX_BUILD_INFO_BYTES).read_to_end(&mut json);
    let parsed = read.ok().and_then(|_| serde_json::from_slice::<VersionInfo>(&json).ok());
    Some(match parsed {
        Some(info) => Ok(of_info(info)),
        None => Err("the crates that `cargo auditable` lists cannot be read".to_owned()),
    })
}

fn of_info(info: VersionInfo) -> Vec<Package> {
    let linked = info.packages.into_iter().filter(|package| package.kind == DependencyKind::Runtime);
    let package = |package: auditable_serde::Package| {
        let made = Package::new(Ecosystem::Cargo, &package.name, &package.version.to_string());
        match package.source {
            Source::CratesIo => made,
            other => made.with("source", &String::from(other)),
        }
    };
    linked.map(package).take(MAX_PACKAGES).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Fake(Vec<u8>);

    impl Sections for Fake {
        fn section(&self, name: &str) -> Option<&[u8]> {
            (name == ".dep-v0").then_some(&self.0)
        }
        fn data_segment(&self) -> Option<&[u8]> {
            None
        }
        fn loaded(&self, _: u64, _: u64) -> Option<&[u8]> {
            None
        }
        fn is_big_endian(&self) -> bool {
            false
        }
    }

    fn compressed(text: &str) -> Fake {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        Fake(writer.finish().unwrap())
    }

    #[test]
    fn crates_that_only_built_the_program_are_no_part_of_it() {
        let elf = compressed(
            r#"{"packages":[{"name":"a","version":"1.2.3","source":"crates.io","dependencies":[1]},{"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},{"name":"me","version":"0.1.0","source":"local","root":true,"dependencies":[0]}]}"#,
        );
        let found = packages(&elf).unwrap().unwrap();
        let purls: Vec<_> = found.iter().map(|package| package.purl(None).unwrap()).collect();
        assert_eq!(purls, ["pkg:cargo/a@1.2.3", "pkg:cargo/me@0.1.0?source=local"]);
    }

    #[test]
    fn what_is_no_list_is_reported() {
        assert!(packages(&compressed("{}")).unwrap().is_err());
        assert!(packages(&Fake(vec![1, 2, 3])).unwrap().is_err());
    }
}
