//! Readers of single files: each finds packages in one file. All accept hostile bytes: they have limits and do not panic.

pub mod apk;
pub mod dpkg;
mod elf;
mod go;
mod java;
mod node;
mod os_release;
mod python;
mod rpm;
mod rpm_header;
mod rust;
mod sections;
mod text;

pub use elf::{ELF_MAGIC, program};
pub use java::{archive as java_archive, is_archive as is_java_archive};
pub use node::package_json;
pub use os_release::os_release;
pub use python::metadata as python_metadata;
pub use rpm::sqlite as rpm_sqlite;
