//! Programs in ELF: the sections that Go and `cargo auditable` leave in them. Only headers and those sections are read.

use std::io::{Read, Seek};

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, FileKind};

use super::sections::Sections;
use super::{go, rust};
use crate::limits::{MAX_BUILD_INFO_BYTES, MAX_SECTIONS};
use crate::package::{Finding, Package};

/// The first bytes of an ELF file.
pub const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// The packages that are linked into a program.
///
/// Programs in other languages, and files that only begin like ELF, have none.
#[must_use]
pub fn program<R: Read + Seek>(content: R) -> Option<Finding> {
    let data = ReadCache::new(content);
    match FileKind::parse(&data).ok()? {
        FileKind::Elf32 => of(&Elf::<FileHeader32<Endianness>, _>::parse(&data)?),
        FileKind::Elf64 => of(&Elf::<FileHeader64<Endianness>, _>::parse(&data)?),
        _ => None,
    }
}

fn of(sections: &impl Sections) -> Option<Finding> {
    let mut packages: Vec<Package> = Vec::new();
    for found in [go::packages(sections), rust::packages(sections)].into_iter().flatten() {
        match found {
            Ok(found) => packages.extend(found),
            Err(reason) => return Some(Finding::NotRead(reason)),
        }
    }
    (!packages.is_empty()).then_some(Finding::Packages(packages))
}

struct Elf<'data, H: FileHeader, R: ReadRef<'data>> {
    header: &'data H,
    endian: H::Endian,
    data: R,
}

impl<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>> Elf<'data, H, R> {
    fn parse(data: R) -> Option<Self> {
        let header = H::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let elf = Self { header, endian, data };
        // The tables themselves are read completely, so their size is limited.
        let sections = header.shnum(endian, data).ok()?;
        let segments = header.phnum(endian, data).ok()?;
        (sections <= MAX_SECTIONS && segments <= MAX_SECTIONS).then_some(elf)
    }

    fn segments(&self) -> impl Iterator<Item = (u64, u64, u64, bool)> + use<'data, H, R> {
        let (endian, segments) = (self.endian, self.header.program_headers(self.endian, self.data));
        segments.unwrap_or_default().iter().filter(move |segment| segment.p_type(endian) == object::elf::PT_LOAD).map(
            move |segment| {
                let (offset, size) = segment.file_range(endian);
                let is_writable = segment.p_flags(endian) & object::elf::PF_W == object::elf::PF_W;
                (segment.p_vaddr(endian).into(), offset, size, is_writable)
            },
        )
    }
}

impl<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>> Sections for Elf<'data, H, R> {
    fn section(&self, name: &str) -> Option<&[u8]> {
        let sections = self.header.sections(self.endian, self.data).ok()?;
        let (_, section) = sections.section_by_name(self.endian, name.as_bytes())?;
        let (offset, size) = section.file_range(self.endian)?;
        self.data.read_bytes_at(offset, size.min(MAX_BUILD_INFO_BYTES)).ok()
    }

    fn data_segment(&self) -> Option<&[u8]> {
        let (_, offset, size, _) = self.segments().find(|(_, _, _, is_writable)| *is_writable)?;
        self.data.read_bytes_at(offset, size.min(go::SEARCHED_BYTES)).ok()
    }

    fn loaded(&self, address: u64, length: u64) -> Option<&[u8]> {
        let within =
            |start: u64, size: u64| Some(address.checked_sub(start)?).filter(|at| at.saturating_add(length) <= size);
        let (_, at) = self
            .segments()
            .find_map(|(start, offset, size, _)| Some((start, offset.checked_add(within(start, size)?)?)))?;
        self.data.read_bytes_at(at, length).ok()
    }

    fn is_big_endian(&self) -> bool {
        self.endian == Endianness::Big
    }
}
