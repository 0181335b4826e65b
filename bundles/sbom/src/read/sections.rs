//! The parts of an ELF file that the readers of programs need.

/// The parts of an ELF file that the readers need.
pub trait Sections {
    /// The content of the section with that name, at most [`MAX_BUILD_INFO_BYTES`](crate::limits::MAX_BUILD_INFO_BYTES); `None` if there is
    /// none.
    fn section(&self, name: &str) -> Option<&[u8]>;
    /// The beginning of the first segment that is loaded writable; Go keeps its data there.
    fn data_segment(&self) -> Option<&[u8]>;
    /// `length` bytes from the segment that is loaded at `address`.
    fn loaded(&self, address: u64, length: u64) -> Option<&[u8]>;
    /// Whether numbers are big-endian.
    fn is_big_endian(&self) -> bool;
}
