//! The commands about bundles that kbundle and kinstall share, and the rule for all of their output.
//!
//! | module | what it has |
//! |---|---|
//! | [`arguments`] | which bundle, from which bases, which keys to trust, what may be replaced |
//! | [`input`], [`damage`] | the bundle that a command reads; the refusal of one that is damaged |
//! | [`signers`], [`provenance`], [`required_audit`] | trusted keys and signers; how far the provenance can be trusted; the record of an audit |
//! | [`signing_key`], [`recording`] | private keys and their passphrases; the signed record of an audit |
//! | [`verify`], [`inspect`], [`extract`], [`join`], [`repair`] | one command each: its arguments, what it does, what it prints |
//! | [`unpack`], [`target`], [`composed`] | content written to a folder; bundles made of bundles |
//! | [`destination`], [`interrupt`], [`small_file`] | where output goes and what it may replace; what a signal does to it; a file that is written at once |
//!
//! Why it is a separate crate: `docs/decisions/shared-commands.md`.

mod advice;
pub mod arguments;
pub mod composed;
pub mod damage;
pub mod destination;
pub mod extract;
pub mod input;
pub mod inspect;
pub mod interrupt;
pub mod join;
pub mod provenance;
pub mod recording;
pub mod repair;
pub mod required_audit;
pub mod sealing;
pub mod sidecar;
pub mod signers;
pub mod signing_key;
pub mod small_file;
pub mod target;
pub mod timestamp;
pub mod unpack;
pub mod verify;
