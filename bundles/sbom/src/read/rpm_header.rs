//! A header of an rpm package, in the database's form.
//!
//! Source: "RPM V4 Package format", section "Header"; tags in `include/rpm/rpmtag.h`. The database leaves the magic number out: two counts,
//! rows of four numbers, and the values.

use std::collections::HashMap;

use crate::package::{Ecosystem, Package};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENCE: u32 = 1014;
const ARCHITECTURE: u32 = 1022;
const SOURCE_PACKAGE: u32 = 1044;

const INT32: u32 = 4;
const STRING: u32 = 6;
const TEXTS_OF_LOCALES: u32 = 9;

/// The subject of a header.
pub enum Subject {
    /// A package.
    Package(Package),
    /// A key that signs packages.
    Key,
}

/// The content of a header; `None` if it cannot be read.
pub fn subject(header: &[u8]) -> Option<Subject> {
    let header = Header::parse(header)?;
    let (name, version, release) = (header.text(NAME)?, header.text(VERSION)?, header.text(RELEASE)?);
    if name == "gpg-pubkey" {
        return Some(Subject::Key);
    }
    let mut package = Package::new(Ecosystem::Rpm, &name, &format!("{version}-{release}"))
        .with("arch", &header.text(ARCHITECTURE).unwrap_or_default())
        .with("epoch", &header.number(EPOCH).map(|epoch| epoch.to_string()).unwrap_or_default())
        .with("upstream", &header.text(SOURCE_PACKAGE).unwrap_or_default());
    package.licences.extend(header.text(LICENCE).filter(|text| !text.is_empty()));
    Some(Subject::Package(package))
}

struct Header<'a> {
    /// Type and offset of each tag.
    rows: HashMap<u32, (u32, usize)>,
    values: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = number(bytes)?;
        let (_, rest) = number(rest)?;
        let (rows, values) = rest.split_at_checked(usize::try_from(count).ok()?.checked_mul(16)?)?;
        let row = |row: &[u8]| {
            let (tag, rest) = number(row)?;
            let (kind, rest) = number(rest)?;
            Some((tag, (kind, usize::try_from(number(rest)?.0).ok()?)))
        };
        Some(Self { rows: rows.chunks_exact(16).filter_map(row).collect(), values })
    }

    fn text(&self, tag: u32) -> Option<String> {
        let (kind, offset) = *self.rows.get(&tag)?;
        let bytes = self.values.get(offset..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        [STRING, TEXTS_OF_LOCALES].contains(&kind).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn number(&self, tag: u32) -> Option<u32> {
        let (kind, offset) = *self.rows.get(&tag)?;
        if kind == INT32 { Some(number(self.values.get(offset..)?)?.0) } else { None }
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*first), rest))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A header with epoch 1, of the licence GPLv3+.
    pub fn header(name: &str, version: &str, release: &str) -> Vec<u8> {
        let source = format!("{name}-{version}-{release}.src.rpm");
        let texts = [
            (NAME, name),
            (VERSION, version),
            (RELEASE, release),
            (LICENCE, "GPLv3+"),
            (ARCHITECTURE, "x86_64"),
            (SOURCE_PACKAGE, &source),
        ];
        let (mut rows, mut values) = (Vec::new(), 1_u32.to_be_bytes().to_vec());
        let mut row = |tag: u32, kind: u32, offset: usize| {
            let numbers = [tag, kind, u32::try_from(offset).unwrap(), 1];
            rows.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
        };
        row(EPOCH, INT32, 0);
        for (tag, text) in texts {
            row(tag, STRING, values.len());
            values.extend([text.as_bytes(), &[0]].concat());
        }
        let counts = [rows.len() / 16, values.len()].map(|count| u32::try_from(count).unwrap().to_be_bytes());
        [counts.concat(), rows, values].concat()
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes: Vec<u8>) {
            let _ = subject(&bytes);
        }

        #[test]
        fn a_changed_header_does_not_make_it_panic(place in 0_usize..200, byte: u8) {
            let mut bytes = header("a", "1", "2");
            if let Some(there) = bytes.get_mut(place) {
                *there = byte;
            }
            let _ = subject(&bytes);
        }
    }
}
