//! The format of bundles: a signed list of content-addressed entries, and a file that carries some or all of them.
//!
//! `docs/bundle-format.md` is the exact specification. The modules, from the inside out:
//!
//! | module | what it knows |
//! |---|---|
//! | [`digest`], [`names`], [`component`], [`prerequisites`], [`list`] | the list: entries, images, the order of add-ons, their types and bounds |
//! | [`oci`] | the documents that images are made of |
//! | [`sha256`] | hashes two messages at a time, to check all entries |
//! | [`key`], [`key_file`], [`key_notes`], [`signature`], [`attestation`] | the signers of the list, whether they suffice, their statements |
//! | [`audit_record`] | what an audit found, as a signed statement about the list |
//! | [`text_file`], [`shell`], [`moment`] | text files as people have them; words of commands; moments |
//! | [`frame`], [`seek_table`], [`tar_layer`] | the file: zstd frames around a strict tar |
//! | [`volume`], [`source`] | the file cut into volumes, with parity; reading either |
//! | [`write`](mod@write), [`stream`], [`indexed`], [`whole`] | writing a bundle; reading it in one pass, by entry, or all entries at once |
//! | [`file_kind`], [`diagnosis`] | the kind of a file that is not a bundle; what is wrong with a bundle, where, and why |
//! | [`compose`] | bundles made from bundles: signed again, cut down to a role, completed from a base |
//!
//! `fixtures`, behind the feature of that name, makes bundles for tests.
//!
//! This crate uses no network and changes no host.

pub mod atomic_file;
pub mod attestation;
pub mod audit_record;
pub mod bases;
pub mod component;
pub mod compose;
pub mod diagnosis;
pub mod digest;
mod entry_kind;
mod envelope;
pub mod file_kind;
#[cfg(feature = "fixtures")]
pub mod fixtures;
pub mod frame;
pub mod head;
pub mod host_file;
pub mod indexed;
pub mod key;
pub mod key_file;
mod key_found;
pub mod key_notes;
pub mod limits;
pub mod list;
pub mod moment;
pub mod names;
pub mod oci;
mod ordered;
pub mod os_package;
mod pieces;
pub mod prerequisites;
mod read_error;
pub mod revocations;
mod role;
pub mod sealed;
pub mod seek_table;
pub mod sha256;
pub mod shell;
pub mod signature;
pub mod source;
mod stored;
pub mod stream;
pub mod tar_layer;
pub mod text;
pub mod text_file;
pub mod timestamp;
pub mod volume;
pub mod whole;
pub mod write;

pub use audit_record::AuditRecord;
pub use component::{Component, ComponentName};
pub use diagnosis::Diagnosis;
pub use digest::{Digest, Hasher};
pub use head::{BundleHead, ReadError, SignatureCheck};
pub use host_file::HostFile;
pub use indexed::IndexedBundle;
pub use key::{KeyId, SigningKey, VerifyingKey};
pub use key_notes::KeyNotes;
pub use list::{BundleList, Compression, Entry, EntryKind, Image, Origin, PinSource, Role, Source};
pub use moment::Moment;
pub use names::{EntryPath, ImageRef, KubeVersion, Platform};
pub use prerequisites::Prerequisites;
pub use revocations::Revocations;
pub use signature::{SignatureFile, TrustPolicy, Verified};
pub use source::BundleSource;
pub use stream::BundleStream;
pub use write::BundleWriter;
