//! What a long command reports while it works, and how results are printed.
//!
//! For people, events are lines and a progress bar on standard error; the plan of a dry run is what was asked for and goes to
//! standard output. For programs, events are JSON on standard output, one a line.

mod event;
mod reporter;

use std::os::fd::AsFd;

use crate::steps::Progress;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use event::{Event, Source};
pub use kbundle_cli::output::{print_json, print_text};
pub use reporter::{Console, Percent, Reporter};

/// The version of the form of events and of other JSON results.
pub const SCHEMA: u32 = 1;

/// Receives events.
pub trait Observer: Progress {
    /// Takes note of an event.
    fn event(&self, event: &Event);
}

/// Whether the other end of a pipe or socket is open. What cannot be told counts as open.
fn has_reader(output: impl AsFd) -> bool {
    let mut ends = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    match poll(&mut ends, PollTimeout::ZERO) {
        Ok(_) => !ends[0].revents().is_some_and(|found| found.intersects(gone)),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// sshd gives a program either.
    #[test]
    fn an_end_that_is_closed_is_noticed_on_pipes_and_sockets() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(has_reader(&writer));
        drop(reader);
        assert!(!has_reader(&writer));
        let (here, there) = UnixStream::pair().unwrap();
        assert!(has_reader(&here));
        drop(there);
        assert!(!has_reader(&here));
    }
}
