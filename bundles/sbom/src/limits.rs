//! Limits for reading layers and programs. The documents name larger items as "not read"; the rest is read.

/// Most bytes of a text file that is held in memory: dpkg's and apk's databases, metadata of Python and Node packages.
pub const MAX_TEXT_BYTES: u64 = 32 << 20;
/// Most bytes of one copyright file; those of Debian's largest packages have about 2 MiB.
pub const MAX_COPYRIGHT_BYTES: u64 = 4 << 20;
/// Most bytes of rpm's database, which is held in memory.
pub const MAX_RPM_BYTES: u64 = 128 << 20;
/// Most packages of one database.
pub const MAX_PACKAGES: usize = 100_000;
/// Most bytes of a program. Programs beyond [`SPOOL_BYTES`] are kept in a temporary file while they are read.
pub const MAX_PROGRAM_BYTES: u64 = 2 << 30;
/// Most bytes of a Java archive together with its nested archives.
pub const MAX_JAR_BYTES: u64 = 1 << 30;
/// Limit of nested Java archives.
pub const MAX_JAR_DEPTH: u32 = 4;
/// Most files of one Java archive.
pub const MAX_JAR_FILES: usize = 200_000;
/// Most bytes of `pom.properties` or `MANIFEST.MF`.
pub const MAX_JAR_TEXT_BYTES: u64 = 1 << 20;
/// Most memory for a program or a Java archive before it goes to a temporary file.
pub const SPOOL_BYTES: usize = 8 << 20;
/// Most sections of a program.
pub const MAX_SECTIONS: u32 = 65_536;
/// Most bytes of Go's build information, and of a Rust program's after decompression. Kubernetes has about 20 KiB.
pub const MAX_BUILD_INFO_BYTES: u64 = 8 << 20;
/// Most files of one layer.
pub const MAX_LAYER_FILES: usize = 2_000_000;
/// Most bytes of a layer after decompression.
pub const MAX_LAYER_BYTES: u64 = 64 << 30;
/// Most packages of a bundle's document.
pub const MAX_BUNDLE_PACKAGES: usize = 1_000_000;
/// Most bytes of a long name in a tar, with the other fields of its pax header: names of 4 KiB, and extended attributes.
pub const MAX_TAR_NAME_BYTES: u64 = 1 << 20;
/// Most bytes of one licence text.
pub const MAX_LICENCE_TEXT_BYTES: u64 = 4 << 20;
/// Most different licence texts in a bundle.
pub const MAX_LICENCE_TEXTS: usize = 100_000;
