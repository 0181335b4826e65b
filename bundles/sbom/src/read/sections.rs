//! What the readers of programs need of a file in ELF.

/// What of an ELF file the readers need.
pub trait Sections {
    /// The content of the section of that name; `None` where there is none. At most [`MAX_BUILD_INFO_BYTES`](crate::limits::MAX_BUILD_INFO_BYTES) are given.
    fn section(&self, name: &str) -> Option<&[u8]>;
    /// The beginning of the first segment that is loaded writable, where Go keeps its data.
    fn data_segment(&self) -> Option<&[u8]>;
    /// `length` bytes that are loaded at `address`.
    fn loaded(&self, address: u64, length: u64) -> Option<&[u8]>;
    /// Whether numbers are big-endian.
    fn is_big_endian(&self) -> bool;
}
