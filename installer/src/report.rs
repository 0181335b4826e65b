//! What a long command reports while it works, and how results are printed.
//!
//! For people, events are lines and a progress bar on standard error. The plan of a dry run is a result and goes to standard output. For
//! programs, events are JSON on standard output, one on each line.

mod event;
#[cfg(test)]
mod noted;
mod reporter;

pub use event::{Event, Observer, Source};
pub use kbundle_cli::output::{SCHEMA, print_json, print_text};
pub(crate) use reporter::EventLine;
pub use reporter::{Console, Percent, Reporter};
