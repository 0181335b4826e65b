//! Limits for reading advisories: they come from other people, in zips and in JSON.

/// Most bytes of one OSV record; the largest of Ubuntu's kernels have about 4 MiB.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;
/// Most records of one file of advisories; all of osv.dev has less than a million.
pub const MAX_RECORDS: usize = 2_000_000;
/// Most files of one zip or folder.
pub const MAX_FILES: usize = 2_000_000;
/// Most bytes that all zips and folders together may have after decompression.
pub const MAX_INPUT_BYTES: u64 = 64 << 30;
/// Most bytes of one VEX document.
pub const MAX_VEX_BYTES: u64 = 16 << 20;
/// Most VEX documents; all of them stay in memory.
pub const MAX_VEX_DOCUMENTS: usize = 64;
/// Most bytes of the manifest, which names every file.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Base-two logarithm of zstd's window.
pub const WINDOW_LOG: u32 = 23;
/// Most characters that are kept of an advisory's name or summary.
pub const MAX_TEXT_CHARS: usize = 200;
