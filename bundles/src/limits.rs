//! Limits that a reader enforces before it trusts anything, each with its reason.

/// Most bytes of content in one zstd frame. This limits a decoder's memory, and it is the unit in which work is spread over the cores.
pub const MAX_FRAME_BYTES: usize = 8 << 20;

/// Most compressed bytes of one frame: zstd's own limit for incompressible content of [`MAX_FRAME_BYTES`].
pub const MAX_COMPRESSED_FRAME_BYTES: usize = MAX_FRAME_BYTES + (MAX_FRAME_BYTES >> 8) + 64;

/// Most bytes of `bundle.json`. An entry takes about 500 bytes, so this is room for more than 60 000 of them.
pub const MAX_LIST_BYTES: u64 = 32 << 20;

/// Most entries in a list: each needs memory while a reader records what it has seen.
pub const MAX_ENTRIES: usize = 65_536;

/// Longest entry path in bytes: the size of the name field in a plain ustar header.
pub const MAX_PATH_BYTES: usize = 100;

/// Largest entry: the limit of the octal size field in a ustar header.
pub const MAX_ENTRY_BYTES: u64 = (8 << 30) - 1;

/// Most signature files in a bundle: more than any approval needs, few enough to verify all.
pub const MAX_SIGNATURES: usize = 64;

/// Most bytes of one signature file: an ECDSA or Ed25519 signature in base64 takes about 100.
pub const MAX_SIGNATURE_BYTES: u64 = 4096;

/// Most attestations in a bundle.
pub const MAX_ATTESTATIONS: usize = 16;

/// Most bytes of the record of an audit, which may have a verdict for each of many packages.
pub const MAX_AUDIT_RECORD_BYTES: u64 = 64 << 20;

/// Most bytes of a time stamp; with four certificates it has about 6 KB.
pub const MAX_TIMESTAMP_BYTES: u64 = 256 << 10;

/// Most bytes of a file of revocations. A revocation takes about 300 bytes.
pub const MAX_REVOCATIONS_BYTES: u64 = 4 << 20;

/// Most bytes of one attestation: all of them together stay in memory.
pub const MAX_ATTESTATION_BYTES: u64 = 4 << 20;

/// Most threads that decode or compress: together with the limits for frames above, this keeps readers under 256 MiB.
pub const MAX_THREADS: usize = 8;
