//! The link back to the kinstall that leads: it reads what this kinstall writes to standard output.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::protocol::Message;
use super::questions::Ask;
use crate::failure::FailureReport;
use crate::report::{Event, Observer, Percent, print_json};
use crate::step_progress::StepProgress;

/// The kinstall that leads this one.
#[derive(Default)]
pub struct LeaderLink {
    verified: Percent,
}

impl LeaderLink {
    /// Does `work` and sends its result as the answer to `question`.
    ///
    /// # Errors
    /// When the answer could not be sent. Work that failed is an answer as well.
    pub fn answer<Q: Ask>(&self, question: &Q, work: impl FnOnce(&Q) -> anyhow::Result<Q::Answer>) -> io::Result<()> {
        match work(question) {
            Ok(answer) => print_json(&Message::Answer(answer)),
            Err(error) => self.fail(&error),
        }
    }

    /// Sends a failure instead of an answer.
    #[expect(clippy::unused_self, reason = "it goes to this leader")]
    pub fn fail(&self, error: &anyhow::Error) -> io::Result<()> {
        print_json(&Message::<()>::Failed(FailureReport::from(error)))
    }

    /// Reports that `done` of `total` bytes are verified.
    pub fn verified_so_far(&self, done: u64, total: u64) {
        if self.verified.rises_to(done, total) {
            self.event(&Event::VerifyProgress { content_bytes: done });
        }
    }
}

impl Observer for LeaderLink {
    fn event(&self, event: &Event) {
        // Work that has begun continues when nobody reads its answer any more.
        drop(print_json(&Message::<()>::Event(event.clone())));
    }
}

impl StepProgress for LeaderLink {
    fn detail(&self, text: &str) {
        self.event(&Event::StepDetail { text: text.to_owned() });
    }

    fn remark(&self, text: &str) {
        self.event(&Event::StepRemark { text: text.to_owned() });
    }

    fn is_heard(&self) -> bool {
        has_reader(io::stdout())
    }
}

/// Whether the other end of a pipe or socket is open. Where that is unknown, it counts as open.
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
    use std::os::unix::net::UnixStream;

    use super::*;

    /// sshd gives a program either a pipe or a socket.
    #[test]
    fn a_closed_end_is_noticed_on_pipes_and_sockets() {
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
