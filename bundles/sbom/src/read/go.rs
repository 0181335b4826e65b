//! Go's build information: the modules that are linked into a program, and the version of Go.
//!
//! Source: `debug/buildinfo` in Go's standard library, both forms: strings behind the header since Go 1.18, pointers to string headers
//! before.

use super::sections::Sections;
use crate::limits::{MAX_BUILD_INFO_BYTES, MAX_PACKAGES};
use crate::package::{Ecosystem, Package};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
const HEADER_BYTES: usize = 32;
/// How far `debug/buildinfo` searches in the data segment if there is no named section.
pub const SEARCHED_BYTES: u64 = 64 << 10;
/// The linker writes this many bytes before and after the modules.
const SENTINEL_BYTES: usize = 16;

/// The modules of a program; `None` if Go did not link it.
pub fn packages(elf: &impl Sections) -> Option<Result<Vec<Package>, String>> {
    let data = elf.section(".go.buildinfo").or_else(|| elf.data_segment())?;
    let at = (0..data.len()).step_by(ALIGNMENT).find(|at| data[*at..].starts_with(MAGIC))?;
    let header = data[at..].get(..HEADER_BYTES)?;
    let (pointer_bytes, flags) = (header[14], header[15]);
    let read =
        if flags & 2 == 0 { pointed(elf, header, pointer_bytes, flags) } else { inline(&data[at + HEADER_BYTES..]) };
    let Some((version, modules)) = read else {
        return Some(Err("Go's build information cannot be read".to_owned()));
    };
    let modules = String::from_utf8_lossy(without_sentinels(modules)).into_owned();
    Some(Ok(of_text(&String::from_utf8_lossy(version), &modules)))
}

/// Two strings, each preceded by its length as a variable-length number.
fn inline(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = counted(data)?;
    Some((version, counted(rest)?.0))
}

fn counted(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_u64;
    for (place, byte) in data.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return data[place + 1..].split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

/// Two addresses of string headers: an address and a length each.
fn pointed<'a>(elf: &'a impl Sections, header: &[u8], pointer_bytes: u8, flags: u8) -> Option<(&'a [u8], &'a [u8])> {
    let is_big_endian = flags & 1 != 0;
    if ![4, 8].contains(&pointer_bytes) || is_big_endian != elf.is_big_endian() {
        return None;
    }
    let size = usize::from(pointer_bytes);
    let number = |bytes: &[u8]| {
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if is_big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    };
    let string = |address: u64| {
        let head = elf.loaded(address, 2 * u64::from(pointer_bytes))?;
        let (start, length) = head.split_at(size);
        match number(length) {
            0 => Some(&[][..]),
            length if length > MAX_BUILD_INFO_BYTES => None,
            length => elf.loaded(number(start), length),
        }
    };
    let pointers = header.get(16..16 + 2 * size)?;
    let (version, modules) = pointers.split_at(size);
    Some((string(number(version))?, if number(modules) == 0 { &[] } else { string(number(modules))? }))
}

/// `readRawBuildInfo` of `debug/buildinfo`: text that is not between sentinels does not count.
fn without_sentinels(modules: &[u8]) -> &[u8] {
    let length = modules.len();
    if length > 2 * SENTINEL_BYTES && modules[length - SENTINEL_BYTES - 1] == b'\n' {
        &modules[SENTINEL_BYTES..length - SENTINEL_BYTES]
    } else {
        &[]
    }
}

/// Modules from lines such as `dep\tk8s.io/api\tv0.25.2\th1:…`, and Go's own library.
fn of_text(version: &str, modules: &str) -> Vec<Package> {
    let mut packages = vec![standard_library(version)];
    // A replacement is for the module in the line before.
    let mut replaceable = None;
    for line in modules.lines().take(MAX_PACKAGES) {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("mod" | "dep"), Some(path), version) => {
                replaceable = Some(packages.len());
                packages.push(module(path, version.unwrap_or_default()));
            }
            // A folder beside the source still counts as the module that it replaces.
            (Some("=>"), Some(path), version) if !path.starts_with(['.', '/']) => {
                if let Some(index) = replaceable.take() {
                    packages[index] = module(path, version.unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    packages
}

fn module(path: &str, version: &str) -> Package {
    // A module built from a source tree has no version of its own.
    let version = if version == "(devel)" { "" } else { version };
    let (namespace, name) = match path.rsplit_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, path),
    };
    Package { namespace, ..Package::new(Ecosystem::Go, name, version) }
}

/// Go's own library: advisories about Go itself name the module `stdlib`. Source: Go's vulnerability database; the version has no leading
/// `go`.
fn standard_library(version: &str) -> Package {
    // In `go1.20.2 X:boringcrypto`, experiments follow the version.
    let version = version.split(' ').next().unwrap_or_default();
    let version = version.strip_prefix("go").unwrap_or(version);
    let mut package = Package::new(Ecosystem::Go, "stdlib", version);
    if version.starts_with(|first: char| first.is_ascii_digit()) {
        let escaped = version.replace('+', "\\+");
        package.cpe = Some(format!("cpe:2.3:a:golang:go:{escaped}:*:*:*:*:*:*:*"));
    }
    package
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = "path\tk8s.io/kubernetes/cmd/kubelet\nmod\tk8s.io/kubernetes\t(devel)\t\ndep\tk8s.io/api\tv0.0.0\t\n=>\t./staging/src/k8s.io/api\t(devel)\t\ndep\told.example/a\tv1.0.0\th1:x\n=>\tnew.example/b/v2\tv2.1.0\th1:y\nbuild\tCGO_ENABLED=0\n";

    /// An ELF file that consists only of its sections.
    struct Fake {
        section: Vec<u8>,
        memory: Vec<u8>,
    }

    impl Sections for Fake {
        fn section(&self, name: &str) -> Option<&[u8]> {
            (name == ".go.buildinfo").then_some(&self.section)
        }
        fn data_segment(&self) -> Option<&[u8]> {
            None
        }
        fn loaded(&self, address: u64, length: u64) -> Option<&[u8]> {
            let start = usize::try_from(address).ok()?;
            self.memory.get(start..start.checked_add(usize::try_from(length).ok()?)?)
        }
        fn is_big_endian(&self) -> bool {
            false
        }
    }

    fn framed(modules: &str) -> Vec<u8> {
        [&[b'<'; SENTINEL_BYTES][..], modules.as_bytes(), &[b'>'; SENTINEL_BYTES]].concat()
    }

    fn purls(elf: &Fake) -> Vec<String> {
        packages(elf).unwrap().unwrap().iter().map(|package| package.purl(None).unwrap()).collect()
    }

    const EXPECTED: [&str; 4] = [
        "pkg:golang/stdlib@1.19.1",
        "pkg:golang/k8s.io/kubernetes",
        "pkg:golang/k8s.io/api@v0.0.0",
        "pkg:golang/new.example/b/v2@v2.1.0",
    ];

    #[test]
    fn strings_may_lie_behind_the_header() {
        let modules = framed(MODULES);
        let length = [u8::try_from(modules.len() & 0x7f).unwrap() | 0x80, u8::try_from(modules.len() >> 7).unwrap()];
        let header = [MAGIC, &[8, 2], &[0; 16]].concat();
        let section = [&[0; 16][..], &header, &[8], b"go1.19.1", &length, &modules].concat();
        assert_eq!(purls(&Fake { section, memory: vec![] }), EXPECTED);
    }

    #[test]
    fn strings_may_be_pointed_at() {
        let modules = framed(MODULES);
        let header_of = |address: u64, length: usize| [address.to_le_bytes(), (length as u64).to_le_bytes()].concat();
        let memory = [header_of(32, 8), header_of(40, modules.len()), b"go1.19.1".to_vec(), modules.clone()].concat();
        let section = [MAGIC, &[8, 0], &0_u64.to_le_bytes(), &16_u64.to_le_bytes()].concat();
        assert_eq!(purls(&Fake { section, memory }), EXPECTED);
    }

    #[test]
    fn lengths_that_lead_nowhere_are_reported() {
        let header = [MAGIC, &[8, 2], &[0; 16], &[0xff; 12]].concat();
        assert!(packages(&Fake { section: header, memory: vec![] }).unwrap().is_err());
        let pointers = [MAGIC, &[8, 0], &[0xff; 16]].concat();
        assert!(packages(&Fake { section: pointers, memory: vec![] }).unwrap().is_err());
        assert!(packages(&Fake { section: vec![1; 99], memory: vec![] }).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(tail: Vec<u8>, memory: Vec<u8>) {
            let section = [MAGIC, &tail].concat();
            let _ = packages(&Fake { section, memory });
        }
    }
}
