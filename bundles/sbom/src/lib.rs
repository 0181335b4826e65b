//! The packages inside of a bundle's images and programs, with versions, licences and places, as CycloneDX and SPDX.
//!
//! ```text
//! image layers, archives, programs ──▶ layer: one pass over the files ──▶ read/*: one file
//!                                        │
//!                      overlay: layers of an image put over each other
//!                                        │
//!              inventory: all images and files of a bundle, on all cores
//!                                        │
//!                 cyclonedx: the document ──▶ spdx: the same as SPDX
//! ```
//!
//! Everything is read in one pass and with limits (`limits`). The documents name what was not read. Nothing depends on the clock, on chance
//! or on the machine: the same content gives the same bytes. `docs/how-to/sbom.md` is the page for users, `docs/decisions/sbom.md` has the
//! reasons.

pub mod cyclonedx;
mod describe;
mod file_class;
#[cfg(test)]
mod fixtures;
pub mod inventory;
mod layer;
pub mod licence;
pub mod licence_text;
pub mod limits;
mod overlay;
pub mod package;
mod privileged;
mod read;
pub mod spdx;
mod tar_files;

pub use cyclonedx::Bom;
pub use describe::{CYCLONEDX_PATH, SPDX_PATH, describe};
pub use inventory::{Content, Inventory, SbomError};
pub use overlay::{Located, NotRead, PackagePlace, View};
pub use privileged::{Privilege, PrivilegedFile};
