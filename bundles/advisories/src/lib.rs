//! Advisories for sites without a network: one signed file of OSV records and OpenVEX documents, and the matching of these with a bundle.
//!
//! ```text
//! folders and zips of OSV ──▶ record: the part that matching needs ──▶ pack: one signed file
//!                                                                        │
//! list of packages (SBOM) ──▶ subject ──▶ matching ◀── read: signature, digests, one record at a time
//!                                            │
//!                         finding: aliases merged, VEX applied
//! ```
//!
//! The file's form is in `docs/advisories-format.md`; `docs/how-to/audit.md` is the page for users. Packing holds one record at a time and an index
//! in memory, reading holds one record at a time, both within [`limits`].

mod apk_version;
mod ecosystem;
mod finding;
pub mod limits;
mod manifest;
mod matching;
mod order;
mod osv;
mod pack;
mod pack_error;
mod read;
mod record;
mod severity;
mod sources;
mod subject;
mod vex;

pub use finding::{Excluded, Finding};
pub use manifest::{Manifest, Stored};
pub use matching::{Findings, Matching};
pub use order::Order;
pub use pack::{Packed, Packer};
pub use pack_error::PackError;
pub use read::{AdvisoriesError, Reader};
pub use record::Record;
pub use severity::Severity;
pub use subject::{Package, Place, Uncompared, packages, place};
pub use vex::{Status, VexError, covers};
