//! The shared parts of the command lines of kbundle and kinstall.
//!
//! | module | what it has |
//! |---|---|
//! | [`failure`] | an error's kind, hint and exit code; its text and its JSON document |
//! | [`advice`] | kind and hint of the errors of `kbundle-format` |
//! | [`output`], [`progress`] | results on standard output, notes and bars on standard error |
//! | [`arguments`], [`logging`] | the flags that every command takes, and those about a bundle |
//! | [`schema`] | JSON Schemas of commands' output |
//! | [`keys`], [`revocations`] | public keys, detached signatures and lists of revocations from files |
//! | [`definition`], [`program`] | the parts of a program; the way from its command line to the exit code |
//! | [`help`], [`examples`], [`documentation`], [`completion`] | grouped help, examples; manual pages; completion scripts and what they offer |
//! | [`yaml`], [`similar`] | files of users with all of their errors, each with its place; the probable word for an unknown one |
//!
//! Why it is a separate crate: `docs/decisions/shared-command-line.md`.

pub mod advice;
pub mod arguments;
pub mod completion;
pub mod definition;
pub mod documentation;
pub mod examples;
pub mod failure;
pub mod help;
pub mod keys;
pub mod logging;
pub mod output;
pub mod program;
pub mod progress;
pub mod revocations;
pub mod schema;
pub mod similar;
pub mod yaml;

pub use arguments::CommonArguments;
pub use definition::{Guide, Program};
pub use failure::{Advise, Explain, Explained};
pub use output::OutputFormat;
pub use schema::Documents;
